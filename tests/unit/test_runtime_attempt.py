"""Attempts: alerts and retries until success."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.core.model import Alert
from pybal.runtime.attempt import Attempt


class FailingCall:
    """A call that raises ``error`` until the test removes it, or returns ``result``."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.error: Exception | None = OSError("port in use")
        self.result: Deferred[None] | None = None
        self.times: list[float] = []
        self.attempt = Attempt(
            "listen on port 9090", self, self.clock, kind="listen", expected=(OSError,), meanwhile="serving no status"
        )

    def __call__(self) -> Deferred[None] | None:
        self.times.append(self.clock.seconds())
        if self.error:
            raise self.error
        return self.result

    @property
    def alerts(self) -> list[Alert]:
        return list(self.attempt.alerts())


def test_attempt_retries_with_an_alert_until_it_succeeds() -> None:
    call = FailingCall()
    call.attempt.start()
    call.clock.pump([1.0] * 5)
    assert call.times == [0.0, 1.0, 3.0]
    text = "listen on port 9090: port in use (for 5 s); retrying, serving no status"
    assert call.alerts == [Alert("", "listen", text)]
    assert not call.attempt.succeeded
    call.error = None
    call.clock.pump([1.0] * 5)
    assert call.attempt.succeeded
    assert call.alerts == []
    assert call.clock.getDelayedCalls() == []


def test_attempt_goes_on_after_an_unexpected_exception() -> None:
    call = FailingCall()
    call.error = MemoryError()
    call.attempt.start()
    call.error = None
    call.clock.advance(1.0)
    assert call.attempt.succeeded


def test_attempt_without_a_result_becomes_an_alert() -> None:
    call = FailingCall()
    call.error, call.result = None, Deferred()
    call.attempt.start()
    call.clock.advance(11.0)
    assert [alert.text for alert in call.alerts] == [
        "listen on port 9090: no result yet (for 11 s); retrying, serving no status"
    ]
    call.result.callback(None)
    assert call.alerts == []
    assert call.attempt.succeeded


def test_attempt_whose_deferred_fails_retries() -> None:
    call = FailingCall()
    call.error, call.result = None, Deferred()
    call.attempt.start()
    call.result.errback(OSError("unknown group"))
    assert "unknown group" in call.alerts[0].text
    call.result = None
    call.clock.advance(1.0)
    assert call.attempt.succeeded


@pytest.mark.parametrize("started", [False, True])
def test_stopped_attempt_leaves_no_call_and_no_alert(started: bool) -> None:
    call = FailingCall()
    if started:
        call.attempt.start()
    call.attempt.stop()
    assert call.alerts == []
    assert call.clock.getDelayedCalls() == []
