"""The throttle, on a Clock."""

from __future__ import annotations

from twisted.internet.task import Clock

from pybal.runtime.throttle import Throttle


class Calls:
    """A throttled call that records its times."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.times: list[float] = []
        self.error: Exception | None = None
        self.throttle = Throttle("calls", self.clock, 1.0, self._call)

    def _call(self) -> None:
        self.times.append(self.clock.seconds())
        error, self.error = self.error, None
        if error:
            raise error


def test_first_request_is_served_immediately() -> None:
    calls = Calls()
    calls.throttle.request()
    assert calls.times == [0.0]


def test_later_requests_are_served_once_at_the_end_of_the_interval() -> None:
    calls = Calls()
    for _ in range(3):
        calls.throttle.request()
    calls.clock.advance(0.9)
    assert calls.times == [0.0]
    calls.clock.advance(0.1)
    assert calls.times == [0.0, 1.0]
    calls.clock.advance(5.0)
    assert calls.times == [0.0, 1.0]


def test_request_after_a_quiet_interval_is_served_immediately() -> None:
    calls = Calls()
    calls.throttle.request()
    calls.clock.advance(1.5)
    calls.throttle.request()
    assert calls.times == [0.0, 1.5]


def test_cancel_drops_the_request_and_leaves_no_call() -> None:
    calls = Calls()
    calls.throttle.request()
    calls.throttle.request()
    calls.throttle.cancel()
    assert calls.clock.getDelayedCalls() == []
    calls.throttle.request()
    assert calls.times == [0.0, 0.0]


def test_call_is_repeated_after_an_exception() -> None:
    calls = Calls()
    calls.error = MemoryError()
    calls.throttle.request()
    calls.throttle.request()
    calls.clock.advance(1.0)
    assert calls.times == [0.0, 1.0]
    calls.clock.advance(5.0)
    assert calls.times == [0.0, 1.0]


def test_request_within_the_call_is_served_after_the_interval() -> None:
    clock, times = Clock(), list[float]()

    def call() -> None:
        times.append(clock.seconds())
        if len(times) < 3:
            throttle.request()

    throttle = Throttle("calls", clock, 1.0, call)
    throttle.request()
    clock.pump([1.0] * 4)
    assert times == [0.0, 1.0, 2.0]
