"""Reactors for tests: one with a stepped clock, and a runner that detects leftovers."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.python.failure import Failure

from pybal.runtime.loop import Loop

T = TypeVar("T")


def close(reactor: EPollReactor) -> None:
    """Close the descriptors of a reactor that does not run again."""
    # Those of its waker are numbers, which no garbage collection closes.
    for reader in reactor._internalReaders:  # noqa: SLF001  # Twisted's, and without a public name
        reader.connectionLost(None)
    reactor.waker = None  # a late result of a thread
    reactor._poller.close()  # noqa: SLF001  # likewise


class SteppedReactor(EPollReactor):
    """A reactor with real sockets and a clock that only ``advance`` moves, like a Clock.

    The clock stands still while ``busy`` returns that a response of a server is pending.
    """

    def __init__(self, busy: Callable[[], bool] = lambda: False) -> None:
        self._now = 0.0
        self._busy = busy
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's

    def seconds(self) -> float:
        return self._now

    def advance(self, seconds: float, step: float = 0.05) -> None:
        """Advance the clock in steps and process socket events after each. TimeoutError after 20 busy seconds."""
        end = self._now + seconds
        limit = time.monotonic() + 20.0
        self.iterate(0)
        while self._now < end:
            self._await_responses(limit)
            self._now = min(self._now + step, end)
            self.iterate(0)
        # Otherwise the test could cut off a response that its server has sent in time.
        self._await_responses(limit)

    def _await_responses(self, limit: float) -> None:
        while self._busy():
            self.iterate(0.001)
            if time.monotonic() > limit:
                raise TimeoutError("no response from the server")

    def close(self) -> None:
        """Close its descriptors."""
        close(self)


def run(main: Callable[[Loop], Coroutine[Any, Any, T]], timeout: float = 120.0) -> T:
    """Return the result of ``main(reactor)``; raise its exception, or TimeoutError after ``timeout`` s.

    Fails if delayed calls or descriptors are still registered after ``main`` has ended.
    """
    reactor = Loop()
    outcome: list[T | Failure] = []

    def end(result: T | Failure) -> None:
        outcome.append(result)
        limit.cancel()
        reactor.callLater(0, reactor.crash)

    def overdue() -> None:
        deferred.cancel()
        outcome.append(Failure(TimeoutError(f"not finished after {timeout:g} s")))
        reactor.crash()

    limit = reactor.callLater(timeout, overdue)
    deferred = Deferred.fromCoroutine(main(reactor))
    reactor.callWhenRunning(deferred.addBoth, lambda result: end(result) if limit.active() else None)
    reactor.run(installSignalHandlers=False)
    result = outcome[0]
    if isinstance(result, Failure):
        close(reactor)
        raise result.value  # type: ignore[misc]  # typed as optional by Twisted
    calls = reactor.getDelayedCalls()
    internal = reactor._internalReaders  # noqa: SLF001  # Twisted's, and without a public name
    readers = [
        reader
        for reader in reactor.getReaders()  # type: ignore[no-untyped-call]  # Twisted's
        if reader not in internal
    ]
    for call in calls:
        call.cancel()
    close(reactor)
    assert not calls, f"left in the reactor: {calls}"
    assert not readers, f"left in the reactor: {readers}"
    return result
