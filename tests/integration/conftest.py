"""What several tests need: an etcd with a pool, and the guest at the right time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.etcd_pool import Stopwatch, put
from tests.harness.servers.etcd import Etcd, etcd
from tests.harness.servers.relay import Relay


@pytest.fixture
def watch(record_property: Callable[[str, object], None]) -> Stopwatch:
    return Stopwatch(record_property)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    """One etcd, with one server in the pool."""
    made = etcd(tmp_path)
    with made.server:
        put(made, 1)
        yield made


@pytest.fixture
def relay(one: Etcd) -> Iterator[Relay]:
    with Relay(one.port) as relay:
        yield relay


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the guest first: it takes minutes, in which one worker waits and the others do everything else."""
    items.sort(key=lambda item: "test_kernel_in_a_guest" not in item.nodeid)
