"""Collect these tests only with a writable IPVS table: in the guest, or on such a machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.guest import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]


@pytest.fixture(autouse=True)
def _own_namespace() -> Iterator[None]:
    with namespace.fresh():
        yield
