"""Reports of an etcd source to its listener, by both versions of the API, in stepped time."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.logger import LogLevel, capturedLogs

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.etcd.v3watch import FULL
from tests.harness.sources.contract import ONE, OTHER
from tests.harness.sources.etcd import Etcd2, Etcd3


class ListenedSource:
    """A source without safety checks; its listener raises the next of ``bugs``, if it is not ``None``."""

    def __init__(self, harness: Etcd2 | Etcd3) -> None:
        self.harness = harness
        self.bugs: Iterator[Exception | None] = iter(())
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.harness.write(ONE)
        self.source = harness.feed()

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

    @property
    def reasons(self) -> list[str]:
        return [str(error).rpartition(": ")[2] for error in self.errors]

    def close(self) -> None:
        self.source.stop()
        self.harness.clock.advance(0)
        self.harness.close()


@pytest.fixture(params=[Etcd2, Etcd3], ids=["v2", "v3"])
def listened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ListenedSource]:
    made = ListenedSource(request.param(tmp_path))
    yield made
    made.close()


@pytest.fixture
def v3(tmp_path: Path) -> Iterator[ListenedSource]:
    made = ListenedSource(Etcd3(tmp_path))
    yield made
    made.close()


class TestBothVersions:
    def test_bug_of_a_listener_is_reported_and_ends_nothing(self, listened: ListenedSource) -> None:
        listened.bugs = iter([ZeroDivisionError(), None, ZeroDivisionError()])
        listened.start()
        assert listened.lists == [ONE]
        listened.write(OTHER)
        assert listened.lists == [ONE, listened.harness.expected(OTHER)]
        assert listened.reasons == ["ZeroDivisionError (see the log for its traceback)"] * 2
        assert listened.source.problem is None

    def test_listener_gets_nothing_more_when_it_stops_the_source_and_fails(self, listened: ListenedSource) -> None:
        harness = listened.harness
        listened.bugs = iter([ZeroDivisionError()])
        listened.source = harness.feed(f"127.0.0.1:{harness.port},localhost:{harness.port}")
        listened.start(then=listened.source.stop)
        assert (listened.lists, listened.errors, harness.clock.getDelayedCalls()) == ([], [], [])

    def test_listener_that_stops_the_source_leaves_no_error_in_the_log(self, listened: ListenedSource) -> None:
        with capturedLogs() as events:
            listened.start(then=listened.source.stop)
            gc.collect()
        assert [event for event in events if event["log_level"] is LogLevel.critical] == []

    def test_refused_list_is_reported_once_and_offered_again(self, listened: ListenedSource) -> None:
        """The reason of the refusal may be over although the list is the same."""
        listened.bugs = iter([SourceError("lists too few"), SourceError("lists too few")])
        listened.start()
        assert listened.lists == [ONE]
        assert listened.reasons == ["lists too few"]
        assert listened.source.problem is None

    def test_refused_list_does_not_renew_the_last_success(self, listened: ListenedSource) -> None:
        listened.bugs = iter([None, *[SourceError("lists too few")] * 100])
        listened.start()
        before = listened.source.last_success or 0.0
        listened.write(OTHER)
        listened.harness.settle()
        assert (listened.source.last_success or 0.0) < before + 10
        assert listened.reasons == ["lists too few"]

    @pytest.mark.parametrize("seed", [1, 2, 3, 4])
    def test_problem_names_each_member_once_when_all_failed(self, listened: ListenedSource, seed: int) -> None:
        """The members are tried in turn; only the first turn is news."""
        listened.source = listened.harness.feed("127.0.0.1:1,127.0.0.1:2", seed)
        listened.start()
        listened.harness.settle()
        assert len(listened.errors) <= 2
        error = listened.errors[-1]
        assert str(error).endswith(": 127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused")
        assert error.trouble is Trouble.UNREACHABLE
        assert listened.source.problem == str(error)


class TestVersion3:
    def test_watched_member_that_is_back_immediately_is_no_problem(self, v3: ListenedSource) -> None:
        v3.start()
        v3.harness.resume()  # aborts all connections
        v3.write(OTHER)
        assert (v3.lists, v3.errors) == ([ONE, v3.harness.expected(OTHER)], [])

    def test_watch_requires_a_leader(self, v3: ListenedSource) -> None:
        """An isolated member is silent without this header (etcd: clientv3.WithRequireLeader)."""
        v3.start()
        (watch,) = v3.harness.watches()
        assert b"\r\nGrpc-Metadata-hasleader: true\r\n" in watch

    def test_changes_missed_by_the_watch_are_counted_and_read(self, v3: ListenedSource) -> None:
        v3.start()
        v3.harness.lose_changes()
        v3.write(OTHER)
        assert v3.lists == [ONE, v3.harness.expected(OTHER)]
        assert (v3.source.differences, v3.errors) == (4, [])
        # One for the watch and one for the probes; those of the lost watch are closed.
        assert v3.harness.connections == 2

    def test_refused_watches_are_reported_once_while_reads_continue(self, v3: ListenedSource) -> None:
        v3.harness.refuse_watches(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        v3.start()
        v3.write(OTHER)
        assert v3.lists == [ONE, v3.harness.expected(OTHER)]
        assert v3.reasons == ["HTTP 502, wanted 200"]
        assert v3.errors[0].trouble is Trouble.FAILED
        assert str(v3.errors[0]) == v3.source.problem
        v3.harness.refuse_watches(None)
        v3.harness.settle()
        assert v3.source.problem is None

    @pytest.mark.parametrize("seed", [1, 2, 3, 4])
    def test_dead_member_among_others_is_no_problem(self, v3: ListenedSource, seed: int) -> None:
        v3.source = v3.harness.feed(f"127.0.0.1:1,127.0.0.1:{v3.harness.port},127.0.0.1:2", seed)
        v3.start()
        assert (v3.lists, v3.errors) == ([ONE], [])

    @pytest.mark.parametrize("seed", [1, 2, 3, 4])
    def test_problem_is_reported_when_all_members_failed_and_not_before(self, v3: ListenedSource, seed: int) -> None:
        v3.source = v3.harness.feed("127.0.0.1:1,127.0.0.1:2", seed)
        v3.start()
        v3.harness.settle()
        (error,) = v3.errors
        assert str(error).endswith("?api=3: 127.0.0.1:1: connection refused; 127.0.0.1:2: connection refused")

    def test_lost_member_is_retried_immediately_each_time(self, v3: ListenedSource) -> None:
        v3.start()
        for _ in range(12):
            v3.harness.resume()
            v3.harness.clock.advance(2)
        v3.harness.resume()
        v3.harness.write(OTHER)
        v3.harness.clock.advance(0.5)
        assert (v3.lists, v3.errors) == ([ONE, v3.harness.expected(OTHER)], [])

    def test_full_reads_are_at_the_start_and_every_five_minutes(self, v3: ListenedSource) -> None:
        v3.start()
        assert v3.harness.full_reads() == 1
        v3.harness.clock.advance(FULL)
        assert v3.harness.full_reads() == 2
        assert (v3.source.differences, v3.errors) == (0, [])
