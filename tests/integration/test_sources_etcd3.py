"""What becomes of a pool while its etcd hangs, dies, is cut off or forgets: each fault, by version 3 of the API.

Each test prints how many seconds it took from the fault until a later change was heard.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, eventAsText

from pybal.core.model import Member
from tests.harness.etcd_pool import PATH, Reading, Stopwatch, begun3, put3, reading3, say3
from tests.harness.servers.etcd import Cluster, Etcd, debian, etcd, newest
from tests.harness.servers.relay import Relay


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Etcd]:
    """One etcd, with one server in the pool."""
    made = etcd(tmp_path)
    with made.server:
        put3(made, 1)
        yield made


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        put3(cluster.members[0], 1)
        yield cluster


def member_of(read: Reading, cluster: Cluster) -> Etcd:
    """Return the member that is followed."""
    endpoints = read.source._endpoints
    place = str(endpoints._known[endpoints._turn % 3])
    (member,) = [each for each in cluster.members if place.endswith(f":{each.port}")]
    return member


def others(cluster: Cluster, member: Etcd) -> list[Etcd]:
    return [each for each in cluster.members if each is not member]


def ports(cluster: Cluster) -> Sequence[int]:
    return [member.port for member in cluster.members]


@pytest.mark.parametrize("path", [debian, newest])
def test_a_change_is_heard_at_once(path: Callable[[], str], tmp_path: Path, watch: Stopwatch) -> None:
    one = etcd(tmp_path, path=path())

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        put3(one, 2)
        await read.weight(2)
        watch.stop()
        one.v3("kv/deleterange", key=f"{PATH}/a".encode())
        await read.until(lambda: read.lists[-1] == ())
        assert read.errors == []

    with one.server:
        put3(one, 1)
        reading3([one.port], story)


class TestACluster:
    def test_a_member_that_hangs_is_left(self, cluster: Cluster, watch: Stopwatch) -> None:
        """SIGSTOP, as of a machine whose disk hangs: the kernel goes on taking connections."""

        async def story(read: Reading) -> None:
            await begun3(read)
            member = member_of(read, cluster)
            rest = others(cluster, member)
            watch.start()
            member.server.pause()
            await read.meanwhile(partial(cluster.wait, rest))
            await read.meanwhile(partial(put3, rest[0], 2))
            await read.weight(2)
            watch.stop()
            assert read.errors == []

        reading3(ports(cluster), story)

    def test_a_member_that_is_cut_off_from_the_others_is_left(self, cluster: Cluster, watch: Stopwatch) -> None:
        """It goes on taking connections and questions, and is silent as if there were no changes."""

        async def story(read: Reading) -> None:
            await begun3(read)
            member = member_of(read, cluster)
            rest = others(cluster, member)
            watch.start()
            await read.meanwhile(lambda: cluster.isolate(member))
            await read.meanwhile(partial(cluster.wait, rest))
            await read.meanwhile(partial(put3, rest[0], 2))
            await read.weight(2)
            watch.stop()
            assert member_of(read, cluster) is not member
            assert read.errors == []

        reading3(ports(cluster), story)

    def test_the_death_of_the_leader_is_survived(self, cluster: Cluster, watch: Stopwatch) -> None:
        async def story(read: Reading) -> None:
            await read.weight(1)
            dead = cluster.leader()
            rest = others(cluster, dead)
            watch.start()
            dead.server.kill()
            await read.meanwhile(partial(cluster.wait, rest))
            await read.meanwhile(partial(put3, rest[0], 2))
            await read.weight(2)
            watch.stop()

        reading3(ports(cluster), story)

    def test_a_restart_of_all_is_survived(self, cluster: Cluster, watch: Stopwatch) -> None:
        def restart() -> None:
            for member in cluster.members:
                member.server.kill()
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda member: member.server.start(), cluster.members))
            cluster.wait()
            put3(cluster.members[0], 2)

        async def story(read: Reading) -> None:
            await read.weight(1)
            watch.start()
            await read.meanwhile(restart)
            await read.weight(2)
            watch.stop()
            await read.well()

        reading3(ports(cluster), story)


def test_a_restart_of_the_only_member_is_survived(one: Etcd, watch: Stopwatch) -> None:
    """T169893: no reconnect after a restart of etcd."""

    async def story(read: Reading) -> None:
        await begun3(read)
        one.server.stop()
        await read.problem("connection refused")
        watch.start()
        await read.meanwhile(one.server.start)
        put3(one, 2)
        await read.weight(2)
        watch.stop()
        await read.well()
        assert [str(error) for error in read.errors] == [
            f"etcd://127.0.0.1:{one.port}{PATH}?api=3: 127.0.0.1:{one.port}: connection refused"
        ]

    reading3([one.port], story)


def test_a_connection_that_is_lost_without_a_word_is_left(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T170847: half-open connections."""

    async def story(read: Reading) -> None:
        await begun3(read)
        watch.start()
        relay.drop()
        put3(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.errors == []

    reading3([relay.port], story)


def test_changes_of_which_etcd_knows_no_more_are_read(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T169765: an outdated index was retried for ever. Here all is compacted before the watch begins."""

    def compact(request: str) -> bool:
        if "/v3/watch" in request:
            relay.asked = lambda _: True
            for weight in (2, 3):
                put3(one, weight)
            revision = one.v3("kv/range", key=b"x")["header"]["revision"]
            one.v3("kv/compaction", revision=revision, physical=True)
            watch.start()
        return True

    async def story(read: Reading) -> None:
        await read.weight(3)
        watch.stop()
        await read.until(lambda: sum("/v3/watch" in request for request in relay.requests) == 2)
        await read.well()

    relay.asked = compact
    reading3([relay.port], story)


def test_an_etcd_that_begins_anew_is_believed(one: Etcd, tmp_path: Path, watch: Stopwatch) -> None:
    """Its revisions go back: whoever waited for the next one would wait long."""
    for _ in range(50):
        put3(one, 1)

    def wipe() -> None:
        one.server.kill()
        shutil.rmtree(tmp_path / "data")
        one.server.start()
        put3(one, 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        await read.meanwhile(wipe)
        await read.weight(2)
        put3(one, 3)
        await read.weight(3)
        watch.stop()

    with capturedLogs() as events:
        reading3([one.port], story)
    warning = (
        f"etcd://127.0.0.1:{one.port}{PATH}?api=3: etcd cluster of 127.0.0.1:{one.port} was re-created "
        "(different cluster ID, or lower revision); reading everything again"
    )
    assert [eventAsText(event, includeTimestamp=False) for event in events].count(
        f"[pybal.sources.etcd.v3.Etcd3Source#warn] {warning}"
    ) == 1


def test_a_value_that_is_no_json_keeps_the_last_one(one: Etcd) -> None:
    """T125397: one invalid value stopped all updates."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        say3(one, "{broken")
        await read.problem(f"key {PATH}/a: value of host 'a' is not JSON")
        put3(one, 3, "b")
        await read.until(lambda: read.lists[-1] == (Member("a", 1), Member("b", 3)))
        put3(one, 2)
        await read.until(lambda: read.lists[-1] == (Member("a", 2), Member("b", 3)))
        assert read.source.problem is None

    reading3([one.port], story)
