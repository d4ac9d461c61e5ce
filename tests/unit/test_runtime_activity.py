"""Activities: intervals, wake-ups, and that no exception ends them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, globalLogPublisher

from pybal.runtime.activity import Activity, Pause
from pybal.runtime.faults import Faults


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults(clock: Clock) -> Iterator[Faults]:
    observer = Faults(clock.seconds)
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


class Calls:
    """A call that notes its times, and raises or returns what the test sets."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.error: Exception | None = None
        self.result: Pause = None

    def __call__(self) -> Pause:
        self.times.append(self.clock.seconds())
        if self.error is not None:
            raise self.error
        return self.result


def texts(faults: Faults) -> list[str]:
    return [alert.text for alert in faults.alerts()]


def test_activity_calls_at_each_multiple_of_its_interval(clock: Clock) -> None:
    calls = Calls(clock)
    activity = Activity("beat", calls, clock, interval=0.5)
    activity.start()
    clock.pump([0.125] * 16)
    assert calls.times == [0.5, 1.0, 1.5, 2.0]
    activity.stop()
    assert clock.getDelayedCalls() == []


def test_activity_leaves_out_calls_that_the_loop_was_late_for(clock: Clock) -> None:
    calls = Calls(clock)
    Activity("beat", calls, clock, interval=1.0).start()
    clock.advance(3.5)
    clock.advance(0.5)
    assert calls.times == [3.5, 4.0]


def test_activity_with_an_interval_goes_on_after_an_exception(clock: Clock, faults: Faults) -> None:
    calls = Calls(clock)
    Activity("beat", calls, clock, interval=1.0).start()
    calls.error = MemoryError()
    clock.advance(1.0)
    assert texts(faults) == ["beat: internal error for 0 s (MemoryError); retrying (see the log)"]
    clock.advance(1.0)
    assert texts(faults) == ["beat: internal error for 1 s (MemoryError, 2 times); retrying (see the log)"]
    calls.error = None
    clock.advance(1.0)
    assert calls.times == [1.0, 2.0, 3.0]
    assert texts(faults) == []


def test_activity_without_an_interval_backs_off_after_an_exception(clock: Clock, faults: Faults) -> None:
    calls = Calls(clock)
    activity = Activity("flush", calls, clock)
    calls.error = ValueError("a bug")
    activity.wake()
    clock.pump([0.0, 1.0, 1.0, 1.0])
    assert calls.times == [0.0, 1.0, 3.0]
    calls.error = None
    activity.wake()
    clock.advance(0)
    assert calls.times[-1] == 3.0
    assert texts(faults) == []
    assert clock.getDelayedCalls() == []


def test_activity_logs_the_traceback_once_per_text(clock: Clock) -> None:
    calls = Calls(clock)
    Activity("beat", calls, clock, interval=1.0).start()
    with capturedLogs() as events:
        for error in (ValueError("one"), ValueError("one"), ValueError("two")):
            calls.error = error
            clock.advance(1.0)
    assert [event["repeated"] for event in events] == [False, True, False]


def test_activity_that_wakes_itself_and_fails_pauses(clock: Clock) -> None:
    times = []

    def call() -> None:
        times.append(clock.seconds())
        activity.wake()
        raise ValueError

    activity = Activity("flush", call, clock)
    activity.wake()
    clock.pump([0.0, 0.0, 0.0, 0.5])
    assert times == [0.0]


def test_activity_returns_the_pause_until_its_next_call(clock: Clock) -> None:
    calls = Calls(clock)
    calls.result = 0.25
    Activity("audit", calls, clock, interval=10.0).start(now=True)
    clock.advance(0.25)
    assert calls.times == [0.0, 0.25]


def test_activity_awaits_a_deferred_before_the_next_call(clock: Clock, faults: Faults) -> None:
    calls = Calls(clock)
    calls.result = pending = Deferred[None]()
    activity = Activity("doctor", calls, clock, interval=1.0)
    activity.start(now=True)
    clock.advance(5.5)
    assert calls.times == [0.0]
    calls.result = None
    pending.errback(ValueError("a bug"))
    assert texts(faults) == ["doctor: internal error for 0 s (ValueError: a bug); retrying (see the log)"]
    clock.advance(0.5)
    assert calls.times == [0.0, 6.0]
    assert texts(faults) == []


def test_activity_woken_while_it_awaits_a_deferred_calls_again(clock: Clock) -> None:
    calls = Calls(clock)
    calls.result = pending = Deferred[None]()
    activity = Activity("lookup", calls, clock)
    activity.wake()
    clock.advance(0)
    activity.wake()
    calls.result = None
    pending.callback(None)
    clock.advance(0)
    assert calls.times == [0.0, 0.0]
    assert not activity.running


def test_activity_stopped_by_its_own_call_stays_stopped(clock: Clock) -> None:
    def call() -> None:
        activity.stop()

    activity = Activity("beat", call, clock, interval=1.0)
    activity.start(now=True)
    assert clock.getDelayedCalls() == []


def test_activity_stopped_after_an_exception_leaves_no_alert(clock: Clock, faults: Faults) -> None:
    calls = Calls(clock)
    calls.error = MemoryError()
    activity = Activity("beat", calls, clock, interval=1.0)
    activity.start(now=True)
    activity.stop()
    assert texts(faults) == []


def test_activity_stopped_while_it_awaits_a_deferred_cancels_it(clock: Clock) -> None:
    calls = Calls(clock)
    calls.result = pending = Deferred[None]()
    activity = Activity("lookup", calls, clock)
    activity.start(now=True)
    activity.stop()
    assert pending.called
    assert clock.getDelayedCalls() == []


def test_activity_wake_brings_the_next_call_forward_only(clock: Clock) -> None:
    calls = Calls(clock)
    activity = Activity("decide", calls, clock)
    activity.wake(5.0)
    activity.wake(1.0)
    activity.wake(3.0)
    clock.advance(1.0)
    assert calls.times == [1.0]
    assert clock.getDelayedCalls() == []


def test_activity_reschedule_replaces_the_next_call(clock: Clock) -> None:
    calls = Calls(clock)
    activity = Activity("audit", calls, clock, interval=10.0)
    activity.start()
    activity.reschedule(12.0)
    clock.advance(11.0)
    assert calls.times == []
    clock.advance(1.0)
    clock.advance(10.0)
    assert calls.times == [12.0, 22.0]
