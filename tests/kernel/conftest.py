"""These tests are collected only where a real IPVS is: in the guest, or on a machine that has one and lets us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.guest import namespace

collect_ignore_glob = [] if namespace.available() else ["test_*.py"]


@pytest.fixture(autouse=True)
def _own_namespace() -> Iterator[None]:
    with namespace.fresh():
        yield
