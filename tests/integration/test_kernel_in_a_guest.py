"""The tests that need a kernel with IPVS, all of them in one guest."""

from __future__ import annotations

import re

import pytest

from tests.integration.conftest import GuestRun
from tests.kernel import guest


@pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")
def test_the_kernel_suite_passes_in_a_guest_and_skips_nothing(
    guest_run: GuestRun, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = guest_run.result()
    summary = text.strip().rpartition("\n")[2]
    measured = re.findall(r"^measured: .*", text, re.MULTILINE)
    with capsys.disabled():
        print("\nin the guest:", *measured, summary, sep="\n  ")  # noqa: T201  # the one place where they are seen
    assert status == 0, text
    assert re.search(r"\b[1-9]\d* passed\b", summary), text
    assert "skipped" not in summary, text
