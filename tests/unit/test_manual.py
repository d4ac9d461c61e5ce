"""The manual pages and the bash completion."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pybal.client.arguments import COMMANDS
from tests.harness.manual import CHECK_PYBAL_8, COMPLETION, PYBAL_8, PYBAL_CONF_5, ROOT

POOLS = "SERVICE  STATE\\ntext_80  ok\\nupload_443  ok\\n"
SERVERS = "SERVICE  STATE\\ntext_80  ok\\n\\nHOST  ADDRESS\\ncp1  10.0.0.1\\ncp2  10.0.0.2\\n"


@pytest.mark.skipif(shutil.which("groff") is None, reason="wants groff")
@pytest.mark.parametrize("page", [PYBAL_8, PYBAL_CONF_5, CHECK_PYBAL_8], ids=lambda page: page.name)
def test_manual_page_renders_without_warnings(page: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", page], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout) > 2000


def test_manual_page_describes_every_command_with_an_example() -> None:
    text = PYBAL_8.read_text().replace("\\-", "-")
    for command in COMMANDS:
        assert f"\n.SS {command.name}" in text
        for example in command.examples:
            assert f"\n{example}\n" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dep"], ["depool"]),
        (["pools", ""], ["text_80", "upload_443"]),
        (["depool", "te"], ["text_80"]),
        (["drain", "a"], ["all"]),
        (["depool", "text_80", ""], ["cp1", "cp2"]),
        (["-c", "f", "explain", "text_80", "cp2"], ["cp2"]),
        (["depool", "--for", "10m", "te"], ["text_80"]),
        (["depool", "text_80", "cp1", "--f"], ["--for", "--force"]),
        (["depool", "text_80", "cp1", "--reason", ""], []),
        (["thaw", ""], []),
        (["--check"], ["--check-config"]),
    ],
)
def test_completion_offers_what_fits(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    listing = f'case "$1 $2" in "pools text_80") printf "{SERVERS}" ;; *) printf "{POOLS}" ;; esac'
    assert complete(tmp_path, listing, *words) == expected


def test_completion_executes_no_name_of_a_service(tmp_path: Path) -> None:
    name = f"$(touch${{IFS}}{tmp_path}/owned)"
    (tmp_path / "names").write_text(f"SERVICE\n{name}\n`touch\t{tmp_path}/owned`\n")
    offered = complete(tmp_path, f"cat {tmp_path}/names", "pools", "--url", "http://192.0.2.9:9090", "")
    assert offered[0] == f"\\$\\(touch\\$\\{{IFS\\}}{tmp_path}/owned\\)"
    assert not (tmp_path / "owned").exists()


def complete(directory: Path, listing: str, *words: str) -> list[str]:
    """Return the completions of the last word; ``listing`` are the commands of a stand-in for pybal."""
    fake = directory / "pybal"
    fake.write_text(f"#!/bin/sh\n{listing}\n")
    fake.chmod(0o755)
    script = f'. "{COMPLETION}"; COMP_WORDS=(pybal "$@"); COMP_CWORD=$#; _pybal; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_package_installs_manual_pages_and_completion() -> None:
    assert (ROOT / "debian" / "pybal.manpages").read_text().split() == [
        "docs/man/pybal.8",
        "docs/man/pybal.conf.5",
        "docs/man/check_pybal.8",
    ]
    assert (
        "etc/bash-completion/pybal usr/share/bash-completion/completions" in (ROOT / "debian/pybal.install").read_text()
    )
