"""Faults of etcd, by both versions of the API: members hang, die, are isolated or lose their data.

Each test measures the seconds from the fault until a later change arrives.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.base import Trouble
from pybal.sources.etcd.v2 import Times
from tests.harness.etcd_pool import API, PATH, V2, Reading, Stopwatch
from tests.harness.servers.etcd import Cluster, Etcd, debian, etcd, newest
from tests.harness.servers.relay import Relay


def watched(read: Reading, cluster: Cluster) -> Etcd:
    """Return the member to which the source is connected."""
    (port,) = set(read.peers)
    return next(member for member in cluster.members if member.port == port)


def others(cluster: Cluster, member: Etcd) -> list[Etcd]:
    return [each for each in cluster.members if each is not member]


def ports(cluster: Cluster) -> Sequence[int]:
    return [member.port for member in cluster.members]


async def change(read: Reading, api: API, cluster: Cluster, rest: Sequence[Etcd]) -> None:
    """Wait until the rest of a cluster accepts writes, change the weight there, and wait for the change."""
    await read.in_thread(partial(cluster.wait, rest))
    await read.in_thread(partial(api.put, rest[0], 2))
    await read.weight(2)


@pytest.mark.parametrize("path", [debian, newest])
def test_change_arrives_immediately(api: API, path: Callable[[], str], tmp_path: Path, watch: Stopwatch) -> None:
    one = etcd(tmp_path, path=path())

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        api.put(one, 2)
        await read.weight(2)
        watch.stop()
        api.remove(one)
        await read.until(lambda: read.lists[-1] == ())
        assert read.errors == []

    with one.server:
        api.put(one, 1)
        api.run([one.port], story)


def test_hanging_member_is_replaced_within_its_deadline(api: API, cluster: Cluster, watch: Stopwatch) -> None:
    """The kernel still accepts connections, as with a disk that hangs. The times are the defaults."""
    api = V2(Times()) if isinstance(api, V2) else api

    async def story(read: Reading) -> None:
        await api.verified(read)
        member = watched(read, cluster)
        watch.start()
        member.server.pause()
        await change(read, api, cluster, others(cluster, member))
        watch.stop()
        assert read.source.problem is None
        if api.reports_each_member:
            assert str(read.errors[0]).endswith("no response within 3 s")
            assert read.errors[0].trouble is Trouble.SILENT
        else:
            assert read.errors == []

    api.run(ports(cluster), story)


def test_isolated_member_is_replaced(api: API, cluster: Cluster, watch: Stopwatch) -> None:
    """An isolated member accepts requests, and is silent like a member without changes."""

    async def story(read: Reading) -> None:
        await api.verified(read)
        member = watched(read, cluster)
        watch.start()
        await read.in_thread(lambda: cluster.isolate(member))
        await change(read, api, cluster, others(cluster, member))
        watch.stop()
        assert watched(read, cluster) is not member
        assert api.reports_each_member or read.errors == []

    api.run(ports(cluster), story)


def test_change_arrives_when_leader_is_dead(api: API, cluster: Cluster, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        dead = cluster.leader()
        watch.start()
        dead.server.kill()
        await change(read, api, cluster, others(cluster, dead))
        watch.stop()

    api.run(ports(cluster), story)


def test_change_arrives_when_all_members_were_restarted(api: API, cluster: Cluster, watch: Stopwatch) -> None:
    def restart() -> None:
        for member in cluster.members:
            member.server.kill()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda member: member.server.start(), cluster.members))
        cluster.wait()
        api.put(cluster.members[0], 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        await read.in_thread(restart)
        await read.weight(2)
        watch.stop()
        await read.well()

    api.run(ports(cluster), story)


def test_t169893_change_arrives_when_only_member_was_restarted(api: API, one: Etcd, watch: Stopwatch) -> None:
    """PyBal did not reconnect after a restart of etcd."""

    async def story(read: Reading) -> None:
        await api.verified(read)
        one.server.stop()
        await read.problem("connection refused")
        watch.start()
        await read.in_thread(one.server.start)
        api.put(one, 2)
        await read.weight(2)
        watch.stop()
        await read.well()
        assert str(read.errors[-1]) == f"{api.name([one.port])}: 127.0.0.1:{one.port}: connection refused"
        assert api.reports_each_member or len(read.errors) == 1

    api.run([one.port], story)


def test_t170847_half_open_connection_is_replaced(api: API, relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await api.verified(read)
        watch.start()
        relay.drop()
        api.put(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.errors == []
        # API v2 closes the connection before it reads; a probe of API v3 compares with the open watch.
        assert read.source.differences == (0 if isinstance(api, V2) else 1)

    api.run([relay.port], story)


def test_silent_member_is_replaced(api: API, relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        relay.hang()
        api.put(one, 2)
        await read.weight(2)
        watch.stop()

    api.run([relay.port, one.port], story)


def test_t169765_lost_history_is_replaced_by_a_read(api: API, relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """An outdated index was retried for ever. Here etcd forgets the changes before the watch begins."""
    api = V2(Times(poll=60)) if isinstance(api, V2) else api

    def forget(request: str) -> bool:
        if api.watch in request:
            relay.asked = lambda _: True
            watch.start()
            api.put(one, 2)
            api.put(one, 3)
            api.forget_changes(one)
        return True

    async def story(read: Reading) -> None:
        await read.weight(3)
        watch.stop()
        await read.until(lambda: sum(api.watch in request for request in relay.requests) >= 2)
        await read.well()

    relay.asked = forget
    api.run([relay.port], story)


def test_recreated_cluster_is_read_again(api: API, one: Etcd, tmp_path: Path, watch: Stopwatch) -> None:
    """The index starts again: a watch from the old index would wait for a long time."""
    for _ in range(50):
        api.put(one, 1)

    def recreate() -> None:
        one.server.kill()
        shutil.rmtree(tmp_path / "data")
        one.server.start()
        api.put(one, 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        await read.in_thread(recreate)
        await read.weight(2)
        api.put(one, 3)
        await read.weight(3)
        watch.stop()

    api.run([one.port], story)


def test_t125397_invalid_value_keeps_the_last_valid_one(api: API, one: Etcd) -> None:
    """One invalid value stopped all updates."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        api.write(one, "{broken")
        await read.problem(f"key {PATH}/a: value of host 'a' is not JSON")
        api.put(one, 3, "b")
        await read.until(lambda: read.lists[-1] == (Member("a", 1), Member("b", 3)))
        api.put(one, 2)
        await read.until(lambda: read.lists[-1] == (Member("a", 2), Member("b", 3)))
        assert read.source.problem is None

    api.run([one.port], story)
