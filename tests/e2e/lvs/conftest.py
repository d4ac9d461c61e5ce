"""The daemon on a real IPVS table: collected only in the guest or with a writable table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.guest import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a measurement to the output of the guest."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\nmeasured: {text}")  # noqa: T201  # shown in the summary

    return say
