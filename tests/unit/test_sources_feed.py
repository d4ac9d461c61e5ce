"""The life of a pool source, with a reader whose reads the test scripts and Twisted's Clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.core.model import Member
from pybal.http.errors import Fault, ProtocolError
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
        # A coroutine that has awaited a fired Deferred waits on nothing, so that it cannot be cancelled.
        await (step if isinstance(step, Deferred) else succeed(None))
        if not isinstance(step, Deferred):
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
        self.applied: list[str] = []
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
        self.applied.append(error.applied)
        self.on_error()


@pytest.fixture
def scripted() -> ScriptedFeed:
    return ScriptedFeed()


def listing(members: tuple[Member, ...], *problems: str) -> Step:
    return lambda feed: feed.list(Listing(members, problems))


def raising(error: Exception) -> Step:
    def step(_: Feed) -> None:
        raise error

    return step


def traces(logged: Sequence[dict[str, object]]) -> int:
    return sum(event["log_level"] is LogLevel.critical for event in logged)


def test_start_reports_nothing_before_it_returns(scripted: ScriptedFeed) -> None:
    scripted.reader.script = [listing(A)]
    scripted.feed.start(scripted.lists.append, lambda _: None)
    assert (scripted.reader.times, scripted.lists, scripted.feed.last_success) == ([], [], None)


def test_start_spreads_first_reads_over_a_second() -> None:
    random, clock = Random(1), Clock()
    readers = [ScriptedReader(clock) for _ in range(100)]
    for reader in readers:
        Feed("pool", reader, clock, random).start(lambda _: None, lambda _: None)
    clock.pump([0.1] * 5)
    assert 30 < sum(bool(reader.times) for reader in readers) < 70
    clock.pump([0.1] * 5)
    assert all(reader.times for reader in readers)


def test_feed_reads_again_after_the_seconds_that_read_returned(scripted: ScriptedFeed) -> None:
    scripted.start(listing(A))
    scripted.clock.pump([1.0] * 20)
    first, second, third = scripted.reader.times
    assert second - first == pytest.approx(INTERVAL, abs=1)
    assert third - second == pytest.approx(INTERVAL, abs=1)


def test_feed_reports_only_lists_that_differ(scripted: ScriptedFeed) -> None:
    scripted.start(listing(A), listing(A), listing(B), listing(A))
    scripted.clock.pump([INTERVAL] * 3)
    assert scripted.lists == [A, B, A]
    assert scripted.feed.members == A


def test_feed_reports_a_problem_once_until_it_changes(scripted: ScriptedFeed) -> None:
    scripted.start(*map(raising, [SourceError("x"), SourceError("x"), SourceError("y"), SourceError("x")]))
    scripted.clock.pump([RETRY] * 3)
    assert scripted.errors == ["pool: x", "pool: y", "pool: x"]
    assert scripted.feed.problem == "pool: x"


def test_feed_keeps_a_problem_text_that_names_the_source(scripted: ScriptedFeed) -> None:
    scripted.start(raising(SourceError("pool: x")))
    assert scripted.errors == ["pool: x"]


def test_feed_reports_problems_of_entries_after_the_list(scripted: ScriptedFeed) -> None:
    scripted.start(listing(A, "host b: no weight", "host c: no weight"))
    assert scripted.lists == [A]
    assert scripted.errors == ["pool: host b: no weight; host c: no weight"]
    assert scripted.feed.problem == scripted.errors[0]


def test_problem_of_entries_names_the_part_of_the_list_in_use(scripted: ScriptedFeed) -> None:
    problems = ("line 2: invalid",)
    scripted.start(
        lambda feed: feed.list(Listing(A, problems)),
        lambda feed: feed.list(Listing(A, ("line 3: invalid",), incomplete=True)),
        raising(SourceError("x")),
    )
    scripted.clock.pump([INTERVAL, INTERVAL])
    assert scripted.applied == ["the valid entries", "the valid entries and removing no server", ""]


def test_good_list_clears_the_problem(scripted: ScriptedFeed) -> None:
    scripted.start(raising(SourceError("x")), listing(A), raising(SourceError("x")))
    scripted.clock.advance(RETRY)
    assert scripted.feed.problem is None
    scripted.clock.advance(INTERVAL)
    assert scripted.errors == ["pool: x", "pool: x"]


def test_recovery_is_logged_once_with_the_time_since_the_first_problem(scripted: ScriptedFeed) -> None:
    def failing(text: str) -> Step:
        return lambda feed: feed.fail(SourceError(text))

    with capturedLogs() as logged:
        scripted.start(failing("refused"), failing("timeout"), listing(A), listing(A))
        scripted.clock.pump([INTERVAL] * 3)
    assert [formatEvent(event) for event in logged] == ["pool: recovered after 20 s (was: timeout); 1 server listed"]


def test_feed_waits_for_the_seconds_of_retry_after_a_failure(scripted: ScriptedFeed) -> None:
    scripted.start(raising(SourceError("x", Trouble.DENIED)), listing(A))
    scripted.clock.advance(RETRY - 0.01)
    assert len(scripted.reader.times) == 1
    scripted.clock.advance(0.01)
    assert len(scripted.reader.times) == 2
    assert scripted.reader.retried == [("x", Trouble.DENIED)]


def test_last_success_advances_with_good_lists_only(scripted: ScriptedFeed) -> None:
    scripted.start(listing(A), raising(SourceError("x")), lambda feed: feed.good())
    assert scripted.feed.last_success == 1.0
    scripted.clock.advance(INTERVAL)
    assert scripted.feed.last_success == 1.0
    scripted.clock.advance(RETRY)
    assert scripted.feed.last_success == 14.0


def test_refused_list_is_a_failure_and_is_offered_again(scripted: ScriptedFeed) -> None:
    def refuse_once() -> None:
        scripted.on_list = lambda: None
        raise SourceError("refused", Trouble.EMPTY)

    scripted.on_list = refuse_once
    scripted.start(listing(A))
    assert (scripted.errors, scripted.feed.members, scripted.feed.last_success) == (["pool: refused"], None, None)
    scripted.clock.advance(RETRY)
    assert (scripted.lists, scripted.feed.members, scripted.feed.problem) == ([A, A], A, None)


def test_failed_request_is_reported_like_a_source_error(scripted: ScriptedFeed) -> None:
    scripted.start(raising(ProtocolError("no answer", Fault.NO_RESPONSE)))
    assert (scripted.errors, scripted.reader.retried) == (["pool: no answer"], [("no answer", Trouble.SILENT)])


def test_unexpected_exception_is_reported_with_traceback_and_retried(scripted: ScriptedFeed) -> None:
    with capturedLogs() as logged:
        scripted.start(raising(ZeroDivisionError("secret")), listing(A))
    assert traces(logged) == 1
    assert scripted.errors == ["pool: internal error: ZeroDivisionError (see the log for its traceback)"]
    assert scripted.reader.retried[0][1] is Trouble.FAILED
    scripted.clock.advance(RETRY)
    assert (scripted.lists, scripted.feed.problem) == ([A], None)


def test_feed_retries_when_a_read_is_cancelled_by_its_reader(scripted: ScriptedFeed) -> None:
    waiting: Deferred[None] = Deferred()
    scripted.start(waiting, listing(A))
    with capturedLogs() as logged:
        waiting.cancel()
    assert traces(logged) == 1
    scripted.clock.advance(RETRY)
    assert scripted.lists == [A]


def test_feed_continues_when_the_list_listener_raises(scripted: ScriptedFeed) -> None:
    def fail_once() -> None:
        scripted.on_list = lambda: None
        raise ZeroDivisionError

    scripted.on_list = fail_once
    with capturedLogs() as logged:
        scripted.start(listing(A))
    assert traces(logged) == 1
    scripted.clock.advance(RETRY)
    assert (scripted.lists, scripted.feed.problem) == ([A, A], None)


def test_feed_continues_when_the_problem_listener_raises(scripted: ScriptedFeed) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    scripted.on_error = fail
    with capturedLogs() as logged:
        scripted.start(raising(SourceError("x")), listing(A))
    assert traces(logged) == 1
    scripted.clock.advance(RETRY)
    assert scripted.lists == [A]


def test_stop_ends_a_feed_before_its_first_read(scripted: ScriptedFeed) -> None:
    scripted.feed.start(scripted.lists.append, lambda _: None)
    scripted.feed.stop()
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed) == ([], 1)


def test_stop_ends_a_waiting_feed_and_leaves_nothing(scripted: ScriptedFeed) -> None:
    scripted.start(listing(A))
    scripted.feed.stop()
    scripted.feed.stop()
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed) == ([], 1)


def test_stop_cancels_a_read_that_waits(scripted: ScriptedFeed) -> None:
    cancelled: list[object] = []
    with capturedLogs() as logged:
        scripted.start(Deferred(cancelled.append))
        scripted.feed.stop()
    assert len(cancelled) == 1
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed, logged) == ([], 1, [])


def test_stop_is_harmless_when_never_started(scripted: ScriptedFeed) -> None:
    scripted.feed.stop()
    assert (scripted.lists, scripted.errors) == ([], [])


@pytest.mark.parametrize(
    "report", [listing(A), listing(A, "host b: no weight"), lambda feed: feed.fail(SourceError("x"))]
)
def test_listener_may_stop_the_feed_when_called_by_the_reader(scripted: ScriptedFeed, report: Step) -> None:
    after_report: list[None] = []

    def step(feed: Feed) -> None:
        report(feed)
        after_report.append(None)

    scripted.on_list = scripted.on_error = scripted.feed.stop
    with capturedLogs() as logged:
        scripted.start(step)
    assert len(scripted.lists) + len(scripted.errors) == 1
    assert (after_report, scripted.clock.getDelayedCalls(), scripted.reader.closed, logged) == ([], [], 1, [])


def test_listener_may_stop_the_feed_when_a_read_failed(scripted: ScriptedFeed) -> None:
    scripted.on_error = scripted.feed.stop
    with capturedLogs() as logged:
        scripted.start(raising(SourceError("x")))
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed, logged) == ([], 1, [])


def test_stop_ends_a_feed_whose_reader_swallows_the_cancellation(scripted: ScriptedFeed) -> None:
    waiting: Deferred[None] = Deferred()
    scripted.start(waiting.addErrback(lambda _: None))
    scripted.feed.stop()
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed) == ([], 1)


def test_listener_may_stop_the_feed_when_called_by_a_connection(scripted: ScriptedFeed) -> None:
    cancelled: list[object] = []
    scripted.on_list = scripted.feed.stop
    scripted.start(Deferred(cancelled.append))
    scripted.feed.list(Listing(A, ("host b: no weight",)))
    scripted.feed.list(Listing(B))
    scripted.feed.fail(SourceError("x"))
    assert (scripted.lists, scripted.errors, len(cancelled)) == ([A], [], 1)
    assert (scripted.clock.getDelayedCalls(), scripted.reader.closed) == ([], 1)


def test_sleep_leaves_nothing_when_stopped(scripted: ScriptedFeed) -> None:
    scripted.start(scripted.feed.sleep(100.0))
    scripted.feed.stop()
    assert scripted.clock.getDelayedCalls() == []


def test_feed_returns_the_differences_of_its_reader(scripted: ScriptedFeed) -> None:
    assert scripted.feed.differences == 7
