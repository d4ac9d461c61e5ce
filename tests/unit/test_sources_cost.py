"""The cost of a change in a list, in instructions of the interpreter: it does not grow with the list."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import count
from random import Random
from urllib.parse import parse_qsl, urlsplit

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.http.client import HTTPRequest
from pybal.http.connection import BodyListener, FullResponse
from pybal.http.errors import Fault, ProtocolError
from pybal.http.message import Response
from pybal.runtime.file_values import inline
from pybal.runtime.turns import Turns
from pybal.sources.base import PoolState, SourceError
from pybal.sources.etcd import v2
from pybal.sources.etcd.conftool import Values
from pybal.sources.etcd.endpoints import Endpoints
from pybal.sources.etcd.v3 import Etcd3Reader
from pybal.sources.etcd.v3watch import MOST_CHANGES, PROBE
from pybal.sources.etcd.v3wire import KeyState, RangeResponse, WatchResponse
from pybal.sources.feed import SPREAD, Feed
from pybal.sources.kubernetes.source import FULL_READ, WATCH, KubernetesReader
from pybal.sources.pool_source import PoolSource
from pybal.sources.safety import hosts_of
from tests.harness.opcodes import opcodes
from tests.harness.sources.scripted_source import ScriptedSource
from tests.harness.turning_clock import TurningClock

SHORT, LONG = 100, 1000
YES, NO, INACTIVE = (f'{{"weight": 1, "pooled": "{pooled}"}}' for pooled in ("yes", "no", "inactive"))


def host(number: int) -> str:
    return f"web{number:05}"


def key(number: int) -> bytes:
    return f"/pools/{host(number)}".encode()


def turns_of_one_step(clock: TurningClock) -> Turns:
    """Return a queue that makes one step in each turn, however fast it is."""
    readings = count()
    return Turns(clock, now=lambda: float(next(readings)))


class FakeGateway:
    """A member of etcd with the keys ``now``, as many as ``size``; ``reads`` counts the reads of all keys."""

    def __init__(self, size: int) -> None:
        self.now = {key(number): KeyState(2, YES.encode()) for number in range(size)}
        self.revision = 2
        self.reads = 0
        self.send: Callable[[WatchResponse], None]
        self.end: Callable[[Exception], None]

    async def read(self, prefix: bytes, since: int = 0, within: float = 0) -> RangeResponse:
        self.reads += not since
        return RangeResponse("7", self.revision, len(self.now), {} if since else dict(self.now))

    async def watch(
        self,
        prefix: bytes,
        start: int,
        received: Callable[[WatchResponse], None],
        lost: Callable[[Exception], None],
    ) -> None:
        assert start == self.revision + 1
        self.send, self.end = received, lost

    def close(self) -> None: ...

    def write(self, values: Mapping[int, str]) -> WatchResponse:
        """Write keys in one transaction; return its message."""
        self.revision += 1
        changed = {key(number): KeyState(self.revision, value.encode()) for number, value in values.items()}
        self.now.update(changed)
        return WatchResponse(changed)

    def deliver(self, message: WatchResponse) -> None:
        """Send a message as a connection does."""
        try:
            self.send(message)
        except Exception as why:  # noqa: BLE001  # every exception ends a watch
            self.end(why)


class WatchedEtcd:
    """A source that watches a fake etcd with ``size`` keys, and its lists."""

    def __init__(self, size: int) -> None:
        self.clock = TurningClock()
        self.etcd = FakeGateway(size)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        random = Random(1)
        endpoints = Endpoints(SourceSettings("etcd://conf/pools?api=3"), ask=lambda _: None, random=random)  # type: ignore[arg-type, return-value]  # not called
        turns = turns_of_one_step(self.clock)
        reader = Etcd3Reader("/pools", endpoints, lambda _: self.etcd, self.clock, random, turns=turns)  # type: ignore[arg-type, return-value]  # it has the methods in use
        self.feed = Feed("etcd", reader, self.clock, random, spread=0.0)
        self.feed.start(self.lists.append, self.errors.append)
        self.clock.settle()

    def cost(self, values: Mapping[int, str]) -> int:
        """Return the cost of a change of these keys."""
        message = self.etcd.write(values)
        return opcodes(lambda: self.etcd.deliver(message))

    def stop(self) -> None:
        self.feed.stop()
        self.clock.settle()
        assert self.clock.calls == []


@pytest.mark.parametrize(("value", "lists"), [(NO, 2), (INACTIVE, 2), ("?", 1)])
def test_cost_of_a_watched_key_does_not_grow_with_the_list(value: str, lists: int) -> None:
    def cost(size: int) -> int:
        watched = WatchedEtcd(size)
        work = watched.cost({7: value})
        assert len(watched.lists) == lists
        watched.stop()
        return work

    assert cost(LONG) == cost(SHORT)


class FakeHTTPClient:
    """The API v2 of etcd with as many keys as ``size``; ``waiting`` is the request for the next change."""

    def __init__(self, size: int) -> None:
        nodes = [{"key": f"/pools/{host(number)}", "value": YES} for number in range(size)]
        self.directory = json.dumps({"action": "get", "node": {"key": "/pools", "dir": True, "nodes": nodes}}).encode()

    def request(self, request: HTTPRequest, _timeout: float) -> Deferred[FullResponse]:
        if "wait=true" not in request.path:
            return succeed(self.response(self.directory))
        self.waiting: Deferred[FullResponse] = Deferred()
        return self.waiting

    def response(self, body: bytes) -> FullResponse:
        response = Response(1000)
        response.feed(b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 0\r\n\r\n")
        return FullResponse(200, body, response)

    def change(self, number: int, value: str) -> FullResponse:
        node = {"key": f"/pools/{host(number)}", "value": value, "modifiedIndex": 8}
        return self.response(json.dumps({"action": "set", "node": node}).encode())

    def close(self) -> None: ...


def test_cost_of_a_key_of_version_2_does_not_grow_with_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(size: int) -> int:
        clock, client, lists = TurningClock(), FakeHTTPClient(size), list[tuple[Member, ...]]()
        monkeypatch.setattr(v2, "HTTPClient", lambda *_, **__: client)
        settings = SourceSettings("etcd://conf/pools", AccessSettings(tls=False))
        feed = v2.etcd2_source(settings, reactor=clock, random=Random(1))  # type: ignore[arg-type]  # it opens no connection
        errors: list[SourceError] = []
        feed.start(lists.append, errors.append)
        clock.rightNow += SPREAD
        clock.settle()
        change = client.change(7, NO)
        work = opcodes(lambda: client.waiting.callback(change))
        assert (lists[1][7], errors) == (Member(host(7), 1, enabled=False), [])
        feed.stop()
        return work

    assert cost(LONG) == cost(SHORT)


def test_cost_of_a_new_key_does_not_grow_with_the_list() -> None:
    def cost(size: int) -> int:
        watched = WatchedEtcd(size)
        work = watched.cost({50_000: YES})
        assert watched.lists[-1][-1] == Member(host(50_000), 1)
        watched.stop()
        return work

    assert cost(LONG) == cost(SHORT)


def test_cost_of_a_probe_does_not_grow_with_the_list() -> None:
    def cost(size: int) -> int:
        watched = WatchedEtcd(size)
        watched.clock.advance(PROBE)
        watched.cost({7: NO})
        work = opcodes(lambda: watched.clock.advance(PROBE))
        watched.stop()
        return work

    assert cost(LONG) == cost(SHORT)


def test_values_of_a_read_are_parsed_in_short_steps() -> None:
    texts = {host(number): YES for number in range(LONG)}
    steps = Values("/pools").replacing(texts.items())
    costs = [opcodes(lambda: next(steps, None)) for _ in range(SHORT)]
    assert costs[-1] < max(costs) < sum(costs) / 10


def test_removed_values_of_a_read_are_forgotten_in_short_steps() -> None:
    values = Values("/pools")
    finish(values.replacing((host(number), YES) for number in range(10 * LONG)))
    steps = values.replacing(())
    costs = [opcodes(lambda: next(steps, None)) for _ in range(SHORT)]
    assert costs[-1] < max(costs) < sum(costs) / 10
    assert (values.listing().members, values.size) == ((), 0)


def test_message_with_many_changes_is_read_again_in_several_turns() -> None:
    watched = WatchedEtcd(LONG)
    changed = dict.fromkeys(range(MOST_CHANGES + 1), NO)
    one = watched.cost({7: NO})
    assert watched.cost(changed) < one * 10
    watched.clock.rightNow += 1
    assert watched.clock.settle() > 1
    assert watched.etcd.reads == 2
    assert [member.enabled for member in watched.lists[-1]].count(False) == len(changed)
    assert watched.errors == []
    watched.stop()


def test_stop_ends_the_steps_of_a_read() -> None:
    watched = WatchedEtcd(LONG)
    watched.cost(dict.fromkeys(range(MOST_CHANGES + 1), NO))
    watched.clock.rightNow += 1
    for _ in range(5):
        watched.clock.turn()
    assert watched.etcd.reads == 2
    watched.stop()
    assert len(watched.lists) == 1


@pytest.mark.parametrize("unsure", [frozenset(), frozenset((host(50_000),))], ids=["valid", "an unsure host"])
def test_cost_of_a_checked_list_does_not_grow_with_it(unsure: frozenset[str]) -> None:
    def cost(size: int) -> int:
        members = tuple(Member(host(number)) for number in range(size))
        source = ScriptedSource()
        source.unsure = unsure
        lists: list[tuple[Member, ...]] = []
        settings = SourceSettings("etcd://conf/pools")
        checked = PoolSource(source, settings, None, service="web", clock=Clock(), wall=partial(datetime.now, UTC))
        pool = PoolState(members, hosts_of(members))
        checked.start(lists.append, lambda _: None, lambda: pool)
        source.listed(members)
        changed = (*members[:-1], Member(host(size - 1), 20))
        work = opcodes(lambda: source.listed(changed))
        assert lists == [members, changed]
        return work

    assert cost(LONG) == cost(SHORT)


class FakeAPIServer:
    """A Kubernetes API server with as many nodes as ``size``; ``listeners`` are those of its watches."""

    def __init__(self, size: int) -> None:
        self.nodes = [self.node(number) for number in range(size)]
        self.listeners: list[BodyListener] = []

    def node(self, number: int, *, ready: str = "True", version: int = 5) -> dict[str, object]:
        metadata = {"name": host(number), "resourceVersion": str(version)}
        return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    def request(self, request: HTTPRequest) -> Deferred[FullResponse]:
        query = dict(parse_qsl(urlsplit(request.path).query))
        start, limit = int(query.get("continue", 0)), int(query["limit"])
        rest = {"continue": str(start + limit)} if start + limit < len(self.nodes) else {}
        metadata = {"resourceVersion": "5", **rest}
        page = {"kind": "NodeList", "metadata": metadata, "items": self.nodes[start : start + limit]}
        return succeed(FullResponse(200, json.dumps(page).encode(), Response()))

    def stream(self, _request: HTTPRequest, listener: BodyListener) -> Deferred[FullResponse]:
        self.listeners.append(listener)
        return succeed(FullResponse(200, b"", Response()))

    def event(self, number: int, ready: str, version: int = 6) -> bytes:
        item = self.node(number, ready=ready, version=version)
        return json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n"

    def close(self) -> None: ...


class WatchedNodes:
    """A source that has listed the nodes of a fake API server and watches them."""

    def __init__(self, size: int) -> None:
        self.clock = TurningClock()
        self.server = FakeAPIServer(size)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        reader = KubernetesReader(
            SourceSettings("k8s://token@api", monitored=True),
            self.server,  # type: ignore[arg-type]  # it has the methods in use
            self.clock,
            Random(1),
            turns=turns_of_one_step(self.clock),
            files=inline(self.clock),
        )
        self.feed = Feed("k8s", reader, self.clock, Random(1), spread=0.0)
        self.feed.start(self.lists.append, self.errors.append)
        self.clock.settle()

    def cost(self, event: bytes) -> int:
        """Return the cost of an event in the last watch."""
        return opcodes(lambda: self.server.listeners[-1].received(event))

    def stop(self) -> None:
        self.feed.stop()
        self.clock.settle()
        assert self.clock.calls == []


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_cost_of_a_watched_node_does_not_grow_with_the_list(ready: str) -> None:
    def cost(size: int) -> int:
        watched = WatchedNodes(size)
        work = watched.cost(watched.server.event(7, ready))
        assert watched.lists[-1][7].enabled == (ready == "Unknown")
        watched.stop()
        return work

    assert cost(LONG) == cost(SHORT)


def test_cost_of_a_confirmed_watch_of_nodes_does_not_grow_with_the_list() -> None:
    def cost(size: int) -> int:
        watched = WatchedNodes(size)
        watched.clock.rightNow += WATCH
        reason = ProtocolError("the end of the watch", Fault.NO_RESPONSE)
        work = opcodes(lambda: watched.server.listeners[-1].lost(reason))
        assert len(watched.server.listeners) == 2
        watched.stop()
        return work

    cost(SHORT)  # fills caches of the standard library
    assert cost(LONG) == cost(SHORT)


def test_list_of_nodes_is_replaced_in_several_turns_without_late_events() -> None:
    """A watch that exceeds its time is over: it changes no list that is being made."""
    watched = WatchedNodes(LONG)
    watched.server.nodes[:3] = [watched.server.node(number, ready="False") for number in range(3)]
    (late,) = watched.server.listeners
    watched.clock.rightNow += FULL_READ
    turns = 0
    while len(watched.lists) == 1:
        watched.clock.turn()
        late.received(watched.server.event(LONG - 1, "False"))
        turns += 1
    assert turns > 3
    assert [member.enabled for member in watched.lists[1]] == [False] * 3 + [True] * (LONG - 3)
    watched.server.listeners[-1].received(watched.server.event(LONG - 1, "False"))
    assert not watched.lists[2][-1].enabled
    watched.stop()


def test_stop_ends_the_steps_of_a_list_of_nodes() -> None:
    watched = WatchedNodes(LONG)
    watched.server.nodes[0] = watched.server.node(0, ready="False")
    watched.clock.rightNow += FULL_READ
    for _ in range(3):
        watched.clock.turn()
    watched.stop()
    assert len(watched.lists) == 1
