"""Run all tests that need a kernel with IPVS in two guests, one for each core of a machine of CI."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.guest import guest

ROOT = Path(__file__).resolve().parents[2]
LVS = "tests/e2e/lvs"
BESIDE = tuple(f"{LVS}/test_{name}.py" for name in ("check_real_server", "conftool", "pages", "tools"))
"""The files of LVS that run beside the kernel's suite, so that both guests take about as long."""
SUITES = (
    (LVS, *(f"--ignore={file}" for file in BESIDE)),
    ("tests/kernel", "tests/contract/test_ipvs_backend.py", *BESIDE),
)
LONGEST = 2400.0


@pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")
@pytest.mark.parametrize("suites", SUITES, ids=lambda suites: suites[0])
def test_kernel_suite_passes_in_the_guest_without_skips(
    suites: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", *suites]
    command = ["env", "PYTHONDONTWRITEBYTECODE=1", *tests]
    with tempfile.TemporaryFile() as output:
        status = guest.run(command, stdout=output, stderr=output, cwd=ROOT, timeout=LONGEST)
        output.seek(0)
        text = output.read().decode(errors="replace")
    summary = text.strip().rpartition("\n")[2]
    for measured in re.findall(r"^measured: (.*)", text, re.MULTILINE):
        record_property("measured", measured)
    record_property("summary", summary)
    assert status == 0, text
    assert re.search(r"\b[1-9]\d* passed\b", summary), text
    assert "skipped" not in summary, text
