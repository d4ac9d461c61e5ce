"""Shared fixtures: an etcd with a pool, by both versions of the API; and the order of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.etcd_pool import API, V2, V3, Stopwatch
from tests.harness.servers.etcd import Cluster, Etcd, etcd
from tests.harness.servers.relay import Relay


@pytest.fixture
def watch(record_property: Callable[[str, object], None]) -> Stopwatch:
    return Stopwatch(record_property)


@pytest.fixture(params=[V2, V3], ids=["v2", "v3"])
def api(request: pytest.FixtureRequest) -> API:
    """Return a version of the API; a file for one version only has its own fixture of this name."""
    made: API = request.param()
    return made


@pytest.fixture
def one(api: API, tmp_path: Path) -> Iterator[Etcd]:
    """Run one etcd with one server in the pool."""
    made = etcd(tmp_path)
    with made.server:
        api.put(made, 1)
        yield made


@pytest.fixture
def cluster(api: API, tmp_path: Path) -> Iterator[Cluster]:
    """Run three members of an etcd with one server in the pool."""
    with Cluster(tmp_path) as cluster:
        api.put(cluster.members[0], 1)
        yield cluster


@pytest.fixture
def relay(one: Etcd) -> Iterator[Relay]:
    with Relay(one.port) as relay:
        yield relay


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each guest be the first test of a worker: it takes minutes, while others run the rest."""
    guests = [item for item in items if "test_kernel_in_a_guest" in item.nodeid]
    share = len(items) // getattr(config, "workerinput", {"workercount": 1})["workercount"]
    items[:] = [item for item in items if item not in guests]
    for place, guest in enumerate(guests):
        items.insert(place * share, guest)
