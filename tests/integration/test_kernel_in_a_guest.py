"""Run all tests that need a kernel with IPVS in two guests, one for each core of a machine of CI."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.guest import guest
from tests.harness.guest.suite import pass_in_a_guest

LVS = "tests/e2e/lvs"
BESIDE = tuple(f"{LVS}/test_{name}.py" for name in ("check_real_server", "conftool", "pages", "tools"))
"""The files of LVS that run beside the kernel's suite, so that both guests take about as long."""
SUITES = (
    (LVS, *(f"--ignore={file}" for file in BESIDE)),
    ("tests/kernel", "tests/contract/test_ipvs_backend.py", *BESIDE),
)


@pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")
@pytest.mark.parametrize("suites", SUITES, ids=lambda suites: suites[0])
def test_kernel_suite_passes_in_the_guest_without_skips(
    suites: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    pass_in_a_guest(suites, record_property)
