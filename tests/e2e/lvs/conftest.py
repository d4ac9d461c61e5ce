"""The daemon on a real IPVS: collected only in the guest, or on a machine whose kernel lets us."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.guest import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print what was measured, for whoever runs the guest."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\nmeasured: {text}")  # noqa: T201  # to be seen

    return say
