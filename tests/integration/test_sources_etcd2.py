"""What becomes of a pool while its etcd hangs, dies, is cut off or forgets: each fault, by version 2 of the API.

Each test prints how many seconds it took from the fault until a later change was heard.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.base import Trouble
from pybal.sources.etcd.v2watch import Times
from tests.harness.etcd_pool import PATH, PLAIN, Reading, Stopwatch, put, reading
from tests.harness.servers.etcd import Cluster, Etcd
from tests.harness.servers.relay import Relay


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        put(cluster.members[0], 1)
        yield cluster


def change_at(member: Etcd, cluster: Cluster, rest: Sequence[Etcd]) -> Callable[[], None]:
    """Return what waits until the rest of a cluster can write, and changes the weight at one of them."""

    def change() -> None:
        cluster.wait(rest)
        put(member, 2)

    return change


def followed(read: Reading, cluster: Cluster) -> tuple[Etcd, Etcd]:
    """Return the member that is followed, and another."""
    place = str(read.source._endpoints._known[read.source._endpoints._turn % 3])
    (member,) = [each for each in cluster.members if place.endswith(f":{each.port}")]
    return member, next(each for each in cluster.members if each is not member)


def ports(cluster: Cluster) -> Sequence[int]:
    return [member.port for member in cluster.members]


def test_a_change_is_heard_at_once(one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        put(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.errors == []

    reading([one.port], story)


def test_a_member_that_hangs_is_left_within_the_time_that_is_promised(cluster: Cluster, watch: Stopwatch) -> None:
    """SIGSTOP, as of a machine whose disk hangs: the kernel goes on taking connections."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        member, other = followed(read, cluster)
        watch.start()
        member.server.pause()
        await read.meanwhile(change_at(other, cluster, [other]))
        await read.weight(2)
        watch.stop()
        assert str(read.errors[0]).endswith("no whole answer within 3 s")
        assert read.errors[0].trouble == Trouble.SILENT
        assert read.source.problem is None

    reading(ports(cluster), story, PLAIN, Times())


def test_a_member_that_is_cut_off_from_the_others_is_left(cluster: Cluster, watch: Stopwatch) -> None:
    """It goes on taking connections and questions, and is silent as if there were no changes."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        member, other = followed(read, cluster)
        watch.start()
        await read.meanwhile(lambda: cluster.isolate(member))
        rest = [each for each in cluster.members if each is not member]
        await read.meanwhile(change_at(other, cluster, rest))
        await read.weight(2)
        watch.stop()
        assert followed(read, cluster)[0] is not member

    reading(ports(cluster), story)


def test_the_death_of_the_leader_is_survived(cluster: Cluster, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        dead = cluster.leader()
        rest = [each for each in cluster.members if each is not dead]
        watch.start()
        dead.server.kill()
        await read.meanwhile(change_at(rest[0], cluster, rest))
        await read.weight(2)
        watch.stop()

    reading(ports(cluster), story)


def test_a_restart_of_the_whole_cluster_is_survived(cluster: Cluster, watch: Stopwatch) -> None:
    def restart() -> None:
        for member in cluster.members:
            member.server.kill()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda member: member.server.start(), cluster.members))
        cluster.wait()
        put(cluster.members[0], 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        await read.meanwhile(restart)
        await read.weight(2)
        watch.stop()
        assert read.source.problem is None

    reading(ports(cluster), story)


def test_a_restart_of_the_only_member_is_survived(one: Etcd, watch: Stopwatch) -> None:
    """T169893: no reconnect after a restart of etcd."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        one.server.stop()
        await read.problem("onnection refused")
        watch.start()
        await read.meanwhile(one.server.start)
        put(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.source.problem is None

    reading([one.port], story)


def test_a_connection_that_is_lost_without_a_word_is_left(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T170847: half-open connections."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        relay.drop()
        put(one, 2)
        await read.weight(2)
        watch.stop()
        assert (read.errors, read.source.differences) == ([], 0)

    reading([relay.port], story)


def test_a_member_that_nothing_comes_back_from_is_left_for_the_next(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        relay.hang()
        one.server.resume()
        put(one, 2)
        await read.weight(2)
        watch.stop()

    reading([relay.port, one.port], story)


def test_changes_of_which_etcd_knows_no_more_are_read(relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T169765: an outdated index was retried for ever. Here a thousand changes come before the first watch."""

    def fill(request: str) -> bool:
        if "wait=true" in request:
            relay.asked = lambda _: True
            put(one, 2)
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda number: one.put("/elsewhere", str(number)), range(1100)))
            watch.start()
        return True

    async def story(read: Reading) -> None:
        await read.weight(2)
        watch.stop()
        assert read.errors == []

    relay.asked = fill
    reading([relay.port], story, PLAIN, Times(poll=60))


def test_an_etcd_that_begins_anew_is_believed(one: Etcd, tmp_path: Path, watch: Stopwatch) -> None:
    """Its index goes back: whoever waited for the next one would wait long."""
    for number in range(50):
        one.put("/elsewhere", str(number))

    def wipe() -> None:
        one.server.kill()
        shutil.rmtree(tmp_path / "data")
        one.server.start()
        put(one, 2)

    async def story(read: Reading) -> None:
        await read.weight(1)
        watch.start()
        await read.meanwhile(wipe)
        await read.weight(2)
        put(one, 3)
        await read.weight(3)
        watch.stop()

    reading([one.port], story)


@pytest.mark.parametrize("gone", [PATH, "/conftool"])
def test_a_directory_that_vanishes_keeps_the_list_and_is_found_again(gone: str, one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        one.remove(gone, recursive=True)
        await read.problem(f"no directory {PATH}")
        assert len(read.lists) == 1
        watch.start()
        put(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.source.problem is None
        assert len(read.errors) == 1

    reading([one.port], story)


def test_a_key_in_place_of_the_directory_is_said(one: Etcd) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        one.remove(PATH, recursive=True)
        one.put(PATH, "{}")
        await read.problem(f"{PATH} is a key, wanted a directory")
        assert len(read.lists) == 1

    reading([one.port], story)


def test_a_value_that_is_no_json_keeps_the_last_one(one: Etcd) -> None:
    """T125397: one invalid value stopped all updates."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        one.put(f"{PATH}/a", "{broken")
        await read.problem(f"key {PATH}/a: value of host 'a' is not JSON")
        put(one, 3, "b")
        await read.until(lambda: read.lists[-1] == (Member("a", 1), Member("b", 3)))
        put(one, 2)
        await read.until(lambda: read.lists[-1] == (Member("a", 2), Member("b", 3)))
        assert read.source.problem is None

    reading([one.port], story)
