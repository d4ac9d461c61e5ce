"""What a source of etcd by version 3 tells its listener, and a listener that fails: in time that goes by as a test says."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.v3 import SPREAD, Etcd3Source
from pybal.sources.etcd.v3watch import FULL
from tests.harness.sources.contract import ONE, OTHER
from tests.harness.sources.etcd3 import Etcd3


def source(rig: Rig, hosts: str, random: Random) -> Etcd3Source:
    settings = SourceSettings(f"etcd://{hosts}/pools/web?api=3", AccessSettings(tls=False))
    return Etcd3Source(settings, reactor=rig.clock, random=random)


class Rig:
    """A source without a guard, whose listener raises what ``bugs`` yields, where that is something."""

    def __init__(self, directory: Path) -> None:
        self.harness = Etcd3(directory)
        self.clock: Any = self.harness.clock
        self.times: list[float] = []
        self.bugs: Iterator[Exception | None] = iter(())
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.harness.write(ONE)
        self.source: Any = self.harness.source(allow_empty=True)._source  # type: ignore[attr-defined]

    def start(self, then: Callable[[], object] = lambda: None) -> None:
        def listed(members: tuple[Member, ...]) -> None:
            then()
            if bug := next(self.bugs, None):
                raise bug
            self.lists.append(members)

        self.source.start(listed, self.errors.append)
        self.harness.settle()

    def write(self, members: tuple[Member, ...]) -> None:
        self.harness.write(members)
        self.harness.settle()

    def texts(self) -> list[str]:
        return [str(error).rpartition(": ")[2] for error in self.errors]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.source.stop()
    rig.harness.clock.advance(0)
    rig.harness.close()


def test_a_bug_in_a_listener_is_told_and_ends_nothing(rig: Rig) -> None:
    rig.bugs = iter([ZeroDivisionError(), None, ZeroDivisionError()])
    rig.start()
    assert rig.lists == [ONE]
    rig.write(OTHER)
    assert rig.lists == [ONE, rig.harness.heard(OTHER)]
    assert rig.texts() == ["internal error (see the log)"]
    assert rig.source.problem is None


def test_a_listener_that_stops_the_source_and_fails_is_told_nothing_more(rig: Rig) -> None:
    rig.bugs = iter([ZeroDivisionError()])
    rig.source = source(rig, f"127.0.0.1:{rig.harness.port},localhost:{rig.harness.port}", Random(1))
    rig.start(then=rig.source.stop)
    assert (rig.lists, rig.errors, rig.harness.clock.getDelayedCalls()) == ([], [], [])


def test_a_listener_that_stops_the_source_leaves_nothing_in_the_log(rig: Rig) -> None:
    with capturedLogs() as events:
        rig.start(then=rig.source.stop)
        gc.collect()
    assert [event for event in events if event["log_level"] is LogLevel.critical] == []


def test_the_first_reads_of_many_sources_are_spread_over_a_second(rig: Rig) -> None:
    for seed in range(30):
        rig.clock = Clock()
        source(rig, "127.0.0.1:1", Random(seed)).start(rig.lists.append, rig.errors.append)
        (call,) = rig.clock.getDelayedCalls()
        rig.times.append(call.getTime())
    assert min(rig.times) < 0.2
    assert 0.8 < max(rig.times) <= SPREAD


def test_a_list_that_is_refused_is_told_once_and_offered_again(rig: Rig) -> None:
    """What it is refused for may be over, though the list is the same."""
    rig.bugs = iter([SourceError("lists too few"), SourceError("lists too few")])
    rig.start()
    assert rig.lists == [ONE]
    assert rig.texts() == ["lists too few"]
    assert rig.source.problem is None


def test_a_list_that_is_refused_is_not_known_to_be_good(rig: Rig) -> None:
    rig.bugs = iter([None, *[SourceError("lists too few")] * 100])
    rig.start()
    before = rig.source.last_success
    rig.write(OTHER)
    rig.harness.settle()
    assert rig.source.last_success < before + 10
    assert rig.texts() == ["lists too few"]


def test_a_member_that_was_followed_and_comes_back_at_once_is_no_news(rig: Rig) -> None:
    rig.start()
    rig.harness.resume()  # ends all connections
    rig.write(OTHER)
    assert (rig.lists, rig.errors) == ([ONE, rig.harness.heard(OTHER)], [])


def test_a_watch_ends_where_there_is_no_leader(rig: Rig) -> None:
    """Without this line a member that is cut off from the others is silent (etcd: clientv3.WithRequireLeader)."""
    rig.start()
    (watch,) = rig.harness.asked("/v3/watch")
    assert b"\r\nGrpc-Metadata-hasleader: true\r\n" in watch


def test_what_the_watch_loses_is_counted_and_read(rig: Rig) -> None:
    rig.start()
    rig.harness.lose_changes()
    rig.write(OTHER)
    assert rig.lists == [ONE, rig.harness.heard(OTHER)]
    assert (rig.source.differences, rig.errors) == (4, [])
    # One for the watch and one for the probes: those of before are gone.
    assert rig.harness.connections == 2


def test_while_nothing_can_be_watched_all_is_read_again_and_again_and_that_is_told_once(rig: Rig) -> None:
    rig.harness.refuse_watches(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    rig.start()
    rig.write(OTHER)
    assert rig.lists == [ONE, rig.harness.heard(OTHER)]
    assert rig.texts() == ["HTTP 502, wanted 200"]
    assert rig.errors[0].trouble is Trouble.FAILED
    assert str(rig.errors[0]) == rig.source.problem
    rig.harness.refuse_watches(None)
    rig.harness.settle()
    assert rig.source.problem is None


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_member_that_is_dead_among_others_is_no_news(rig: Rig, seed: int) -> None:
    rig.source = source(rig, f"127.0.0.1:1,127.0.0.1:{rig.harness.port},127.0.0.1:2", Random(seed))
    rig.start()
    assert (rig.lists, rig.errors) == ([ONE], [])


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_where_nobody_answers_each_member_is_named_once(rig: Rig, seed: int) -> None:
    """Of those that are tried in turn, each turn would be news."""
    rig.source = source(rig, "127.0.0.1:1,127.0.0.1:2", Random(seed))
    rig.start()
    rig.harness.settle()
    (error,) = rig.errors
    assert str(error).endswith("?api=3: 127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused")
    assert error.trouble is Trouble.UNREACHABLE


def test_however_often_a_member_is_lost_it_is_asked_again_at_once(rig: Rig) -> None:
    rig.start()
    for _ in range(12):
        rig.harness.resume()
        rig.harness.clock.advance(2)
    rig.harness.resume()
    rig.harness.write(OTHER)
    rig.harness.clock.advance(0.5)
    assert (rig.lists, rig.errors) == ([ONE, rig.harness.heard(OTHER)], [])


def test_all_is_read_at_the_start_and_every_five_minutes(rig: Rig) -> None:
    rig.start()
    assert rig.harness.full_reads() == 1
    rig.harness.clock.advance(FULL)
    assert rig.harness.full_reads() == 2
    assert (rig.source.differences, rig.errors) == (0, [])
