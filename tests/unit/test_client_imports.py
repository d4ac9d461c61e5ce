"""Commands start fast: they import little, and nothing of the daemon."""

from __future__ import annotations

import subprocess
import sys

import pytest

LISTED = """
import contextlib, sys
before = set(sys.modules)  # Debian's interpreter begins with zope
from pybal.cli import main
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print("modules:", *set(sys.modules) - before)
"""


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["pools", "web"], ["preflight"], ["diff", "--json"], ["--help"], ["drain", "--help"]],
)
def test_command_imports_neither_twisted_nor_the_daemon(arguments: list[str]) -> None:
    socket = [] if "--help" in arguments else ["--socket", "/nonexistent/control.sock"]
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *arguments, *socket], capture_output=True, text=True, timeout=120, check=True
    )
    modules = done.stdout.rpartition("modules: ")[2].split()
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {
        "twisted",
        "zope",
        "OpenSSL",
        "cryptography",
        "yaml",
        "prometheus_client",
        "asyncio",
        "email",
    }
    assert not {"pybal.daemon", "pybal.config.settings", "pybal.status.routes", "pybal.monitors"} & set(modules)
    assert len(modules) < 160
