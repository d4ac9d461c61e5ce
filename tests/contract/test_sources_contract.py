"""What every pool source keeps to, whatever it reads: add a harness to HARNESSES for each kind."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names import dns

from pybal.config.settings import SourceSettings
from pybal.model import Member
from pybal.resolve.servers import TIMEOUT
from pybal.sources.base import Source, SourceError
from pybal.sources.guarded import GuardedSource
from pybal.sources.kinds import build
from pybal.sources.srv import LAST_RETRY, SRVSource
from tests.contract.sources_etcd2 import Etcd2
from tests.contract.sources_etcd3 import Etcd3
from tests.contract.sources_http import HTTP
from tests.contract.sources_kubernetes import Kubernetes
from tests.nameserver import NameServer, answer
from tests.reactor import SteppedReactor

ONE = (Member("a", 1), Member("b", 2, enabled=False), Member("c", 3))
OTHER = (Member("c", 3), Member("a", 5), Member("d", 4))


class Harness(Protocol):
    """Whatever a source of one kind reads from, played by the test."""

    @property
    def clock(self) -> Clock | SteppedReactor: ...

    def heard(self, members: Sequence[Member]) -> tuple[Member, ...]:
        """Return what is heard when it says that these are the members: order, weight, enabled may be its own."""

    def source(self, *, allow_empty: bool) -> Source: ...

    def write(self, members: Sequence[Member]) -> None:
        """Make it say that these are the members, in this order."""

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        """Make it say so, but nonsense about one of the hosts."""

    def garble(self) -> None:
        """Make it say something that is no list at all."""

    def vanish(self) -> None:
        """Make it say nothing, until the next write."""

    def settle(self) -> None:
        """Let time go by until whatever has been said must have been heard."""

    def close(self) -> None:
        """Leave nothing behind."""


class Served(Harness, Protocol):
    """One with a server of its own."""

    def kill(self) -> None:
        """End the server; ``start`` begins it anew."""

    def start(self) -> None: ...

    def hang(self) -> None:
        """Have the server say nothing, over connections that stay; ``resume`` ends that."""

    def resume(self) -> None: ...


class _Pool:
    """A pool file, in a directory of its own."""

    name = ""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self._path = directory / self.name
        self._times = itertools.count(10**18, 10**9)

    def heard(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(members)

    def source(self, *, allow_empty: bool) -> Source:
        settings = SourceSettings(f"file://{self._path}", allow_empty=allow_empty)
        return build(settings, reactor=self.clock, random=Random(1), wall=partial(datetime.now, UTC))

    def garble(self) -> None:
        self._put("<html>502 Bad Gateway</html>\n")

    def vanish(self) -> None:
        self._path.unlink()

    def settle(self) -> None:
        self.clock.pump([0.05] * 60)

    def close(self) -> None: ...

    def _put(self, text: str) -> None:
        self._path.write_text(text)
        # Real time hardly goes by in a test: two writes could have the same.
        time = next(self._times)
        os.utime(self._path, ns=(time, time))


class LinesFile(_Pool):
    name = "pool"

    def write(self, members: Sequence[Member]) -> None:
        self._put("".join(f"{self._fields(member)}\n" for member in members))

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        lines = ({**self._fields(m), "weight": "many"} if m.host == host else self._fields(m) for m in members)
        self._put("".join(f"{line}\n" for line in lines))

    @staticmethod
    def _fields(member: Member) -> dict[str, object]:
        return {"host": member.host, "weight": member.weight, "enabled": member.enabled}


class JSONFile(_Pool):
    name = "pool.json"

    def write(self, members: Sequence[Member]) -> None:
        self._put(json.dumps({m.host: {"weight": m.weight, "enabled": m.enabled} for m in members}))

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put(json.dumps({m.host: {"weight": "many" if m.host == host else m.weight} for m in members}))


class YAMLFile(_Pool):
    name = "pool.yaml"

    def write(self, members: Sequence[Member]) -> None:
        self._put(self._mapping(members) or "{}\n")

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put(self._mapping(members).replace(f"{host}:\n  weight: ", f"{host}:\n  weight: many "))

    @staticmethod
    def _mapping(members: Sequence[Member]) -> str:
        return "".join(f"{m.host}:\n  weight: {m.weight}\n  enabled: {str(m.enabled).lower()}\n" for m in members)


class SRV:
    """A name server with the records of one name."""

    def __init__(self, directory: Path) -> None:
        self.clock = SteppedReactor()
        self._server = NameServer(self.clock)
        self._server.listen()
        self._resolv_conf = directory / "resolv.conf"
        self._resolv_conf.write_text("nameserver 127.0.0.1\n")
        self.vanish()

    def heard(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted((Member(m.host, m.weight) for m in members), key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> Source:
        settings = SourceSettings("dns+srv://_web._tcp.example", allow_empty=allow_empty, port=80)
        source = SRVSource(
            settings,
            reactor=self.clock,
            random=Random(1),
            resolv_conf=str(self._resolv_conf),
            port=self._server.port,
        )
        return GuardedSource(source, settings, None, clock=self.clock, wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._say([(m.host, m.weight) for m in members] or [("", 0)])

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._say([*((m.host, m.weight) for m in members), (host, 1000)])

    def garble(self) -> None:
        self._server.answers = lambda query: [answer(query, dns.ENAME)]

    def vanish(self) -> None:
        self._server.answers = lambda _: []

    def settle(self) -> None:
        self.clock.advance(LAST_RETRY + TIMEOUT + 1)

    def close(self) -> None:
        for closing in (self._server.stop(), self._server.stop_tcp()):
            Deferred.fromCoroutine(closing)
        self.clock.advance(1)

    def _say(self, records: Sequence[tuple[str, int]]) -> None:
        found = tuple(
            dns.RRHeader("_web._tcp.example", dns.SRV, ttl=1, payload=dns.Record_SRV(10, weight, 80, host))
            for host, weight in records
        )
        self._server.answers = lambda query: [answer(query, records=found)]


HARNESSES: Sequence[Callable[[Path], Harness]] = (LinesFile, JSONFile, YAMLFile, SRV, HTTP, Etcd2, Etcd3, Kubernetes)
SERVED: Sequence[Callable[[Path], Served]] = (HTTP, Kubernetes)


class Rig:
    """A source that is read, and all it has told."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.one = harness.heard(ONE)
        self.other = harness.heard(OTHER)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self._started: list[Source] = []

    def start(self, *, allow_empty: bool = False) -> None:
        self.source = self.harness.source(allow_empty=allow_empty)
        self._started.append(self.source)
        self.source.start(self.lists.append, self._failed)

    def close(self) -> None:
        for source in self._started:
            source.stop()
        self.harness.clock.advance(0)
        self.harness.close()

    def _failed(self, error: SourceError) -> None:
        self.errors.append(str(error))

    def write(self, members: Sequence[Member]) -> None:
        self.harness.write(members)
        self.harness.settle()

    def starts_with(self, members: Sequence[Member], *, allow_empty: bool = False) -> None:
        self.harness.write(members)
        self.start(allow_empty=allow_empty)
        self.harness.settle()


@pytest.fixture(params=HARNESSES, ids=lambda kind: kind.__name__)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(request.param(tmp_path))
    yield rig
    rig.close()


def test_a_good_list_is_delivered_once_in_its_order(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == []
    assert rig.source.problem is None


def test_nothing_is_told_from_within_start(rig: Rig) -> None:
    rig.start()
    assert (rig.lists, rig.errors) == ([], [])
    rig.source.stop()
    rig.harness.write(ONE)
    rig.start()
    assert (rig.lists, rig.errors) == ([], [])


def test_changes_additions_and_removals_come_as_a_whole_list(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.errors == []


def test_a_list_that_says_the_same_is_not_delivered_again(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(ONE)
    assert rig.lists == [rig.one]


def test_garbage_keeps_the_list_and_is_told_once(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert len(rig.errors) == 1
    assert rig.source.problem == rig.errors[0]


def test_what_was_broken_is_read_again_once_it_is_repaired(rig: Rig) -> None:
    """A syntax error in a pool file stopped all later reads."""
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.source.problem is None


def test_the_same_list_after_garbage_ends_the_problem_and_is_no_news(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.write(ONE)
    assert rig.lists == [rig.one]
    assert rig.source.problem is None


def test_an_empty_list_does_not_empty_the_pool(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.write(())
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]
    assert "lists no servers" in rig.errors[0]


def test_an_empty_list_is_refused_at_the_start(rig: Rig) -> None:
    rig.starts_with(())
    assert rig.lists == []
    assert len(rig.errors) == 1


def test_an_empty_list_is_believed_where_the_operator_allows_it(rig: Rig) -> None:
    rig.starts_with((), allow_empty=True)
    rig.write(ONE)
    rig.write(())
    assert rig.lists == [(), rig.one, ()]
    assert rig.errors == []


def test_a_source_that_vanishes_does_not_empty_the_pool(rig: Rig) -> None:
    rig.starts_with(ONE, allow_empty=True)
    rig.harness.vanish()
    rig.harness.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]


def test_a_source_that_comes_back_is_followed_again(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.vanish()
    rig.harness.settle()
    rig.write(ONE)
    assert rig.source.problem is None
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]


def test_a_source_that_is_not_there_at_the_start_is_found_later(rig: Rig) -> None:
    rig.start()
    rig.harness.settle()
    assert (rig.lists, len(rig.errors)) == ([], 1)
    assert rig.source.last_success is None
    rig.write(ONE)
    assert rig.lists == [rig.one]
    assert rig.source.problem is None


def test_each_new_trouble_is_told(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.garble()
    rig.harness.settle()
    rig.harness.vanish()
    rig.harness.settle()
    assert len(rig.errors) == 2
    rig.harness.garble()
    rig.harness.settle()
    assert len(rig.errors) == 3
    assert rig.source.problem == rig.errors[0] == rig.errors[2]


def test_one_bad_entry_at_the_start_costs_no_other_host(rig: Rig) -> None:
    rig.harness.write_with_a_bad_entry(ONE, "a")
    rig.start()
    rig.harness.settle()
    assert [member.host for member in rig.lists[-1]] == ["b", "c"]
    assert rig.errors == [rig.source.problem]
    assert "host a" in rig.errors[0]


def test_one_bad_entry_in_a_change_drops_nobody(rig: Rig) -> None:
    """T125397: one invalid value stopped all updates; the host keeps its last good value."""
    rig.starts_with(ONE)
    rig.harness.write_with_a_bad_entry(ONE, "a")
    rig.harness.settle()
    assert {member.host for member in rig.lists[-1]} == {"a", "b", "c"}
    assert rig.one[0] in rig.lists[-1]
    assert len(rig.errors) == 1
    rig.write(OTHER)
    assert rig.lists[-1] == rig.other
    assert rig.source.problem is None


def test_the_last_success_is_recent_while_all_is_well_and_ages_in_trouble(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.harness.clock.advance(100)
    assert rig.source.last_success is not None
    assert rig.harness.clock.seconds() - rig.source.last_success < 6
    rig.harness.garble()
    rig.harness.settle()
    before = rig.source.last_success
    rig.harness.settle()
    assert rig.source.last_success == before


def test_after_stop_nothing_is_told_and_nothing_is_left(rig: Rig) -> None:
    rig.starts_with(ONE)
    rig.source.stop()
    rig.source.stop()
    rig.harness.clock.advance(0)  # connections end in the next turn of the reactor
    assert rig.harness.clock.getDelayedCalls() == []
    rig.write(OTHER)
    rig.harness.vanish()
    rig.harness.settle()
    assert (rig.lists, rig.errors) == ([rig.one], [])


def test_a_source_stopped_before_its_first_look_tells_nothing(rig: Rig) -> None:
    rig.harness.write(ONE)
    rig.start()
    rig.source.stop()
    rig.harness.clock.advance(0)
    assert rig.harness.clock.getDelayedCalls() == []
    rig.harness.settle()
    assert rig.lists == []


def test_a_listener_may_stop_the_source(rig: Rig) -> None:
    rig.harness.write_with_a_bad_entry(ONE, "a")
    source = rig.harness.source(allow_empty=False)
    source.start(lambda _: source.stop(), rig._failed)
    rig.harness.settle()
    assert rig.errors == []
    assert rig.harness.clock.getDelayedCalls() == []


@pytest.fixture(params=SERVED, ids=lambda kind: kind.__name__)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Rig, Served]]:
    harness = request.param(tmp_path)
    rig = Rig(harness)
    rig.starts_with(ONE)
    yield rig, harness
    rig.close()


def test_a_server_that_was_restarted_is_followed_on(served: tuple[Rig, Served]) -> None:
    """T134893, T169765: no reconnect after a restart of the server."""
    rig, server = served
    server.kill()
    server.start()
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
    assert rig.source.problem is None


@pytest.mark.parametrize("end", ["killed", "hung"])
def test_a_server_that_says_nothing_keeps_the_list_until_it_is_back(served: tuple[Rig, Served], end: str) -> None:
    rig, server = served
    (server.kill if end == "killed" else server.hang)()
    server.settle()
    before = rig.source.last_success
    server.settle()
    assert rig.lists == [rig.one]
    assert rig.errors == [rig.source.problem]
    assert rig.source.last_success == before
    (server.start if end == "killed" else server.resume)()
    server.settle()
    assert (rig.lists, rig.source.problem) == ([rig.one], None)
    rig.write(OTHER)
    assert rig.lists == [rig.one, rig.other]
