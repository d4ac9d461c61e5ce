"""Behaviour of etcd's API v2 only: directories, full reads, bursts, and the number of connections."""

from __future__ import annotations

import json

import pytest

from pybal.sources.etcd.v2 import Times
from tests.harness.etcd_pool import API, PATH, V2, Reading, Stopwatch
from tests.harness.servers.etcd import Etcd
from tests.harness.servers.relay import Relay
from tests.harness.servers.wrong_answers import said


@pytest.fixture
def api() -> API:
    return V2()


@pytest.mark.parametrize("gone", [PATH, "/conftool"])
def test_missing_directory_keeps_the_list_until_it_is_back(api: API, gone: str, one: Etcd, watch: Stopwatch) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        one.remove(gone, recursive=True)
        await read.problem(f"no directory {PATH}")
        assert len(read.lists) == 1
        watch.start()
        api.put(one, 2)
        await read.weight(2)
        watch.stop()
        assert read.source.problem is None
        assert len(read.errors) == 1

    api.run([one.port], story)


def test_key_in_place_of_the_directory_is_a_problem(api: API, one: Etcd) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        one.remove(PATH, recursive=True)
        one.put(PATH, "{}")
        await read.problem(f"{PATH} is a key, wanted a directory")
        assert len(read.lists) == 1

    api.run([one.port], story)


def test_server_is_read_when_it_closes_each_connection(api: API, relay: Relay) -> None:
    value = json.dumps({"weight": 2, "pooled": "yes"})
    nodes = [{"key": f"{PATH}/a", "value": value}]
    body = json.dumps(
        {"action": "get", "node": {"key": PATH, "dir": True, "nodes": nodes, "modifiedIndex": 7}}
    ).encode()
    relay.answer(lambda: [b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nConnection: close\r\n\r\n", body])

    async def story(read: Reading) -> None:
        await read.weight(2)
        assert read.errors == []

    api.run([relay.port], story)


def test_t134893_changes_missed_by_the_watch_are_read_and_counted(
    api: API, relay: Relay, one: Etcd, watch: Stopwatch
) -> None:
    """A dead watch was not noticed."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.until(lambda: "wait=true" in relay.requests[-1])
        relay.asked = lambda request: "wait=true" not in request
        count = len(relay.requests)
        relay.cut()
        await read.until(lambda: any("wait=true" in request for request in relay.requests[count:]))
        watch.start()
        api.put(one, 2)
        await read.weight(2)
        watch.stop()
        await read.until(lambda: read.source.differences == 1)

    api.run([relay.port], story)


def test_full_reads_are_periodic_while_changes_never_end(relay: Relay, one: Etcd) -> None:
    api = V2(Times(full_read=0.1))

    async def story(read: Reading) -> None:
        number = 1
        while sum("quorum=true" in request for request in relay.requests) < 3:
            await read.weight(number)
            number += 1
            api.put(one, number)
        assert read.errors == []

    api.run([relay.port], story)


def test_reads_and_watches_share_one_connection(api: API, relay: Relay, one: Etcd) -> None:
    """check_established_connections counts one connection for each section."""

    async def story(read: Reading) -> None:
        for weight in range(1, 6):
            api.put(one, weight)
            await read.weight(weight)
        assert (relay.connections, relay.most, read.peers) == (1, 1, [relay.port])
        assert sum("quorum=true" in request for request in relay.requests) >= 2

    api.run([relay.port], story)


def test_watch_without_changes_is_replaced_and_leaves_one_connection(relay: Relay, one: Etcd) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        await read.until(lambda: relay.connections >= 5)
        assert relay.most <= 2  # the relay closes its side a moment later
        assert read.peers in ([], [relay.port])

    V2(Times(poll=0.2)).run([relay.port], story)


def test_burst_of_changes_is_read_together(api: API, relay: Relay, one: Etcd, watch: Stopwatch) -> None:
    """T264362 reversed: single changes cost a response each, for each section with the directory."""

    def change() -> None:
        for weight in range(2, 302):
            api.put(one, weight)

    async def story(read: Reading) -> None:
        await read.weight(1)
        count = len(relay.requests)
        watch.start()
        await read.in_thread(change)
        await read.weight(301)
        turns = watch.stop() / Times().gather + 2
        # Each turn takes the first change, then reads everything.
        assert len(relay.requests) - count <= 2 * turns
        assert read.errors == []

    api.run([relay.port], story)


def test_last_success_is_renewed_while_nothing_changes(relay: Relay) -> None:
    async def story(read: Reading) -> None:
        await read.weight(1)
        first = read.source.last_success
        await read.until(lambda: read.source.last_success != first)
        relay.refuse()
        await read.problem("connection")
        last = read.source.last_success
        count = relay.connections
        await read.until(lambda: relay.connections > count + 1)
        assert read.source.last_success == last

    V2(Times(poll=0.2)).run([relay.port], story)


def test_problem_names_each_member_once_when_all_failed(api: API, relay: Relay, one: Etcd) -> None:
    """The members are tried in turn; only the first turn is news."""

    async def story(read: Reading) -> None:
        await read.weight(1)
        relay.answer(said(b"", "503 Busy"))
        relay.cut()
        one.server.kill()
        await read.until(lambda: relay.connections >= 6)
        assert f"127.0.0.1:{relay.port}: HTTP 503, wanted 200" in (read.source.problem or "")
        assert f"127.0.0.1:{one.port}: connection refused" in (read.source.problem or "")
        assert len(read.errors) <= 3

    api.run([relay.port, one.port], story)
