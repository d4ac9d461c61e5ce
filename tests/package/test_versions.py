"""Unit tests with the libraries of Debian 12 and 13 and with the newest ones: a part of `make matrix`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / ".venv-release/bin/python"
DEPENDENT = ("checks", "config", "core", "daemon", "http", "monitors", "resolve", "runtime", "sources", "status")
"""The core, and areas that depend on Twisted, OpenSSL, other libraries or Python itself.

`make matrix` runs all unit and property tests, in three times the CPU time.
"""

COSTLY = "turns"
"""Measurements of CPU time on large answers: half the time of these areas, unaffected by libraries."""

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="wants the tools of a release: make test-package")


@pytest.mark.parametrize("versions", ["debian12", "debian13", "newest-3.11"])
def test_unit_tests_pass_with_other_versions(versions: str) -> None:
    files = sorted(
        str(file.relative_to(REPOSITORY))
        for name in DEPENDENT
        for file in (REPOSITORY / "tests/unit").glob(f"test_{name}_*.py")
        if not file.stem.endswith(COSTLY)
    )
    assert len(files) > 10 * len(DEPENDENT)
    options = ("--hypothesis-profile=quick", "--numprocesses=2")
    command = [str(PROGRAM), "-m", "release.matrix", versions, "--", *options, *files]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800, check=False)
    last = (done.stdout.splitlines() or [""])[-1]
    if ": not run: " in last:
        pytest.skip(last)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert " passed" in last
