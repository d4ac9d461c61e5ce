"""Run tests in a guest: all must pass, and none may be skipped."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO

from tests.harness.guest import guest
from tests.harness.guest.systemd_guest import REPOSITORY

LONGEST = 2400.0
"""Seconds until a guest is killed, which has a part of a busy machine."""


def run_tests(arguments: Sequence[str], output: IO[bytes], variables: Sequence[str] = ()) -> int:
    """Run pytest in a guest, with ``NAME=VALUE`` in its environment, and return its exit status."""
    tests = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", *arguments]
    command = ["env", "PYTHONDONTWRITEBYTECODE=1", *variables, *tests]
    return guest.run(command, stdout=output, stderr=output, cwd=REPOSITORY, timeout=LONGEST)


def pass_in_a_guest(arguments: Sequence[str], record_property: Callable[[str, object], None]) -> None:
    """Run pytest in a guest, and record its measurements and its summary.

    Raises AssertionError unless all tests pass and none is skipped.
    """
    with tempfile.TemporaryFile() as output:
        status = run_tests(arguments, output)
        output.seek(0)
        text = output.read().decode(errors="replace")
    summary = text.strip().rpartition("\n")[2]
    for measured in re.findall(r"^measured: (.*)", text, re.MULTILINE):
        record_property("measured", measured)
    record_property("summary", summary)
    assert status == 0, text
    assert re.search(r"\b[1-9]\d* passed\b", summary), text
    assert "skipped" not in summary, text
