"""Standard output of a command that is full, closed, or read no further; and an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pybal.client.output import printing

PYBAL = f"'{sys.executable}' -m pybal"
VERSION = "--version"
FAILING = "alerts --json --socket /nonexistent"
FULL = "pybal: standard output: No space left on device\n"


def shell(script: str) -> tuple[int, str]:
    """Return the exit status and standard error of a script."""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [VERSION, FAILING, "--help", "check-config --json -c /nonexistent"])
def test_full_disk_is_a_failure_with_its_reason(command: str) -> None:
    assert shell(f"{PYBAL} {command} >/dev/full") == (1, FULL)


@pytest.mark.parametrize(("command", "status"), [(VERSION, 0), (FAILING, 1)])
@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_missing_standard_stream_is_empty(command: str, status: int, closed: str) -> None:
    assert shell(f"{PYBAL} {command} {closed}") == (status, "")


def test_reader_may_end_before_the_command() -> None:
    script = f"{PYBAL} {FAILING} | exec true; exit ${{PIPESTATUS[0]}}"
    assert shell(f"trap '' PIPE; {script}") == shell(script) == (0, "")


def test_interrupt_has_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        sys.stdout.write("begun\n")
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    assert printing(interrupted) == 130
    assert capsys.readouterr() == ("begun\n", "")


def test_large_output_fails_once(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pybal.client.output import printing\nsys.exit(printing(lambda: print('x' * 100_000) or 0))\n"
    )
    assert shell(f"'{sys.executable}' '{program}' >/dev/full") == (1, FULL)
