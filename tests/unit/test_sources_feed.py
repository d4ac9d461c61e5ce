"""The life of a pool source, with a reader whose reads the test scripts and Twisted's Clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.feed import SPREAD, Feed
from pybal.sources.formats.text import Listing

A, B = (Member("a"),), (Member("b"),)
INTERVAL, RETRY = 10.0, 3.0
Step = Callable[[Feed], None]


class ScriptedReader:
    """A reader that takes one step of a script in each read, and repeats the last one.

    A Deferred in place of a step is awaited.
    """

    differences = 7

    def __init__(self, clock: Clock) -> None:
        self.script: list[Step | Deferred[None]] = [lambda _: None]
        self.times: list[float] = []
        self.retried: list[tuple[str, Trouble]] = []
        self.closed = 0
        self._clock = clock

    async def read(self, feed: Feed) -> float:
        self.times.append(self._clock.seconds())
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Deferred):
            await step
        else:
            step(feed)
        return INTERVAL

    def retry(self, error: SourceError) -> float:
        self.retried.append((str(error), error.trouble))
        return RETRY

    def close(self) -> None:
        self.closed += 1


class ScriptedFeed:
    """A feed with a scripted reader, and everything it has reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reader = ScriptedReader(self.clock)
        self.feed = Feed("pool", self.reader, self.clock, Random(1))
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self.on_list: Callable[[], None] = lambda: None
        self.on_error: Callable[[], None] = lambda: None

    def start(self, *script: Step | Deferred[None]) -> None:
        """Start with these steps, and let time pass until after the first read."""
        self.reader.script = list(script)
        self.feed.start(self._listed, self._failed)
        self.clock.advance(SPREAD)

    def _listed(self, members: tuple[Member, ...]) -> None:
        self.lists.append(members)
        self.on_list()

    def _failed(self, error: SourceError) -> None:
        self.errors.append(str(error))
        self.on_error()


@pytest.fixture
def fed() -> ScriptedFeed:
    return ScriptedFeed()


def listing(members: tuple[Member, ...], *problems: str) -> Step:
    return lambda feed: feed.list(Listing(members, problems))


def raising(error: Exception) -> Step:
    def step(_: Feed) -> None:
        raise error

    return step


def traces(logged: Sequence[dict[str, object]]) -> int:
    return sum(event["log_level"] is LogLevel.critical for event in logged)


def test_start_reports_nothing_before_it_returns(fed: ScriptedFeed) -> None:
    fed.reader.script = [listing(A)]
    fed.feed.start(fed.lists.append, lambda _: None)
    assert (fed.reader.times, fed.lists, fed.feed.last_success) == ([], [], None)


def test_start_spreads_first_reads_over_a_second() -> None:
    random, clock = Random(1), Clock()
    readers = [ScriptedReader(clock) for _ in range(100)]
    for reader in readers:
        Feed("pool", reader, clock, random).start(lambda _: None, lambda _: None)
    clock.pump([0.1] * 5)
    assert 30 < sum(bool(reader.times) for reader in readers) < 70
    clock.pump([0.1] * 5)
    assert all(reader.times for reader in readers)


def test_feed_reads_again_after_the_seconds_that_read_returned(fed: ScriptedFeed) -> None:
    fed.start(listing(A))
    fed.clock.pump([1.0] * 20)
    first, second, third = fed.reader.times
    assert second - first == pytest.approx(INTERVAL, abs=1)
    assert third - second == pytest.approx(INTERVAL, abs=1)


def test_feed_reports_only_lists_that_differ(fed: ScriptedFeed) -> None:
    fed.start(listing(A), listing(A), listing(B), listing(A))
    fed.clock.pump([INTERVAL] * 3)
    assert fed.lists == [A, B, A]
    assert fed.feed.members == A


def test_feed_reports_a_problem_once_until_it_changes(fed: ScriptedFeed) -> None:
    fed.start(*map(raising, [SourceError("x"), SourceError("x"), SourceError("y"), SourceError("x")]))
    fed.clock.pump([RETRY] * 3)
    assert fed.errors == ["pool: x", "pool: y", "pool: x"]
    assert fed.feed.problem == "pool: x"


def test_feed_keeps_a_problem_text_that_names_the_source(fed: ScriptedFeed) -> None:
    fed.start(raising(SourceError("pool: x")))
    assert fed.errors == ["pool: x"]


def test_feed_reports_problems_of_entries_after_the_list(fed: ScriptedFeed) -> None:
    fed.start(listing(A, "host b: no weight", "host c: no weight"))
    assert fed.lists == [A]
    assert fed.errors == ["pool: host b: no weight; host c: no weight"]
    assert fed.feed.problem == fed.errors[0]


def test_good_list_clears_the_problem(fed: ScriptedFeed) -> None:
    fed.start(raising(SourceError("x")), listing(A), raising(SourceError("x")))
    fed.clock.advance(RETRY)
    assert fed.feed.problem is None
    fed.clock.advance(INTERVAL)
    assert fed.errors == ["pool: x", "pool: x"]


def test_feed_waits_for_the_seconds_of_retry_after_a_failure(fed: ScriptedFeed) -> None:
    fed.start(raising(SourceError("x", Trouble.DENIED)), listing(A))
    fed.clock.advance(RETRY - 0.01)
    assert len(fed.reader.times) == 1
    fed.clock.advance(0.01)
    assert len(fed.reader.times) == 2
    assert fed.reader.retried == [("x", Trouble.DENIED)]


def test_last_success_advances_with_good_lists_only(fed: ScriptedFeed) -> None:
    fed.start(listing(A), raising(SourceError("x")), lambda feed: feed.good())
    assert fed.feed.last_success == 1.0
    fed.clock.advance(INTERVAL)
    assert fed.feed.last_success == 1.0
    fed.clock.advance(RETRY)
    assert fed.feed.last_success == 14.0


def test_refused_list_is_a_failure_and_is_offered_again(fed: ScriptedFeed) -> None:
    def refuse_once() -> None:
        fed.on_list = lambda: None
        raise SourceError("refused", Trouble.EMPTY)

    fed.on_list = refuse_once
    fed.start(listing(A))
    assert (fed.errors, fed.feed.members, fed.feed.last_success) == (["pool: refused"], None, None)
    fed.clock.advance(RETRY)
    assert (fed.lists, fed.feed.members, fed.feed.problem) == ([A, A], A, None)


def test_unexpected_exception_is_reported_with_traceback_and_retried(fed: ScriptedFeed) -> None:
    with capturedLogs() as logged:
        fed.start(raising(ZeroDivisionError("secret")), listing(A))
    assert traces(logged) == 1
    assert fed.errors == ["pool: internal error: ZeroDivisionError (see the log for its traceback)"]
    assert fed.reader.retried[0][1] is Trouble.FAILED
    fed.clock.advance(RETRY)
    assert (fed.lists, fed.feed.problem) == ([A], None)


def test_feed_retries_when_a_read_is_cancelled_by_its_reader(fed: ScriptedFeed) -> None:
    waiting: Deferred[None] = Deferred()
    fed.start(waiting, listing(A))
    with capturedLogs() as logged:
        waiting.cancel()
    assert traces(logged) == 1
    fed.clock.advance(RETRY)
    assert fed.lists == [A]


def test_feed_continues_when_the_list_listener_raises(fed: ScriptedFeed) -> None:
    def fail_once() -> None:
        fed.on_list = lambda: None
        raise ZeroDivisionError

    fed.on_list = fail_once
    with capturedLogs() as logged:
        fed.start(listing(A))
    assert traces(logged) == 1
    fed.clock.advance(RETRY)
    assert (fed.lists, fed.feed.problem) == ([A, A], None)


def test_feed_continues_when_the_problem_listener_raises(fed: ScriptedFeed) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    fed.on_error = fail
    with capturedLogs() as logged:
        fed.start(raising(SourceError("x")), listing(A))
    assert traces(logged) == 1
    fed.clock.advance(RETRY)
    assert fed.lists == [A]


def test_stop_ends_a_feed_before_its_first_read(fed: ScriptedFeed) -> None:
    fed.feed.start(fed.lists.append, lambda _: None)
    fed.feed.stop()
    assert (fed.clock.getDelayedCalls(), fed.reader.closed) == ([], 1)


def test_stop_ends_a_waiting_feed_and_leaves_nothing(fed: ScriptedFeed) -> None:
    fed.start(listing(A))
    fed.feed.stop()
    fed.feed.stop()
    assert (fed.clock.getDelayedCalls(), fed.reader.closed) == ([], 1)


def test_stop_cancels_a_read_that_waits(fed: ScriptedFeed) -> None:
    cancelled: list[object] = []
    with capturedLogs() as logged:
        fed.start(Deferred(cancelled.append))
        fed.feed.stop()
    assert len(cancelled) == 1
    assert (fed.clock.getDelayedCalls(), fed.reader.closed, logged) == ([], 1, [])


def test_stop_is_harmless_when_never_started(fed: ScriptedFeed) -> None:
    fed.feed.stop()
    assert (fed.lists, fed.errors) == ([], [])


def test_listener_may_stop_the_feed_when_it_receives_a_list(fed: ScriptedFeed) -> None:
    fed.on_list = fed.feed.stop
    fed.start(listing(A, "host b: no weight"))
    assert (fed.lists, fed.errors) == ([A], [])
    assert (fed.clock.getDelayedCalls(), fed.reader.closed) == ([], 1)


def test_listener_may_stop_the_feed_when_it_receives_a_problem(fed: ScriptedFeed) -> None:
    fed.on_error = fed.feed.stop
    fed.start(raising(SourceError("x")))
    assert (fed.clock.getDelayedCalls(), fed.reader.closed) == ([], 1)


def test_listener_may_stop_the_feed_when_called_by_a_connection(fed: ScriptedFeed) -> None:
    cancelled: list[object] = []
    fed.on_list = fed.feed.stop
    fed.start(Deferred(cancelled.append))
    fed.feed.list(Listing(A, ("host b: no weight",)))
    fed.feed.list(Listing(B))
    fed.feed.fail(SourceError("x"))
    assert (fed.lists, fed.errors, len(cancelled)) == ([A], [], 1)
    assert (fed.clock.getDelayedCalls(), fed.reader.closed) == ([], 1)


def test_sleep_leaves_nothing_when_stopped(fed: ScriptedFeed) -> None:
    fed.start(fed.feed.sleep(100.0))
    fed.feed.stop()
    assert fed.clock.getDelayedCalls() == []


def test_feed_returns_the_differences_of_its_reader(fed: ScriptedFeed) -> None:
    assert fed.feed.differences == 7
