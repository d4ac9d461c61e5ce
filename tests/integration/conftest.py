"""Shared fixtures: an etcd with a pool, by both versions of the API."""

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
