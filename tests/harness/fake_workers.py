"""Workers whose calls are made in the loop: immediately, or when the test lets them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred, execute, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from typing_extensions import override

from pybal.runtime.workers import Workers

T = TypeVar("T")


class _Held(NamedTuple):
    call: Callable[[], Any]
    done: Deferred[Any]
    since: float


class FakeWorkers(Workers):
    """Makes each call immediately; while ``hold`` is set, :meth:`make` does, in the order of the requests.

    ``calls`` counts the requests. With ``error``, each call fails.
    """

    def __init__(self, clock: IReactorTime | None = None, *, hold: bool = False) -> None:
        self.calls = 0
        self.hold = hold
        self.error: Exception | None = None
        self._clock = clock or Clock()
        self._held = deque[_Held]()

    @override
    def run(self, call: Callable[[], T]) -> Deferred[T]:
        self.calls += 1
        if self.error is not None:
            return fail(self.error)
        if not self.hold:
            return execute(call)
        done: Deferred[T] = Deferred()
        self._held.append(_Held(call, done, self._clock.seconds()))
        return done

    @property
    @override
    def unfinished_since(self) -> float | None:
        return self._held[0].since if self._held else None

    def make(self) -> None:
        """Make the oldest held call and deliver its result."""
        call, done, _ = self._held.popleft()
        result = execute(call)
        if done.called:  # cancelled
            result.addErrback(lambda _: None)
        else:
            result.chainDeferred(done)

    def make_all(self) -> None:
        """Make all held calls, also those that follow from the results."""
        while self._held:
            self.make()

    def release(self) -> None:
        """Make all held calls, and all further ones immediately."""
        self.hold = False
        self.make_all()
