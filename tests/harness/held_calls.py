"""A thread in which nothing runs until the test lets it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime
from typing_extensions import override

from pybal.runtime.workers import Workers

T = TypeVar("T")


class HeldCalls(Workers):
    """Workers whose calls are made in :meth:`make`, one by one, in the order of the requests."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: deque[tuple[Callable[[], Any], Deferred[Any], float]] = deque()

    @override
    def run(self, call: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self._calls.append((call, done, self._clock.seconds()))
        return done

    @property
    @override
    def unfinished_since(self) -> float | None:
        return self._calls[0][2] if self._calls else None

    def make(self) -> None:
        """Make the oldest call and deliver its result."""
        call, done, _ = self._calls.popleft()
        result = execute(call)
        if done.called:  # cancelled
            result.addErrback(lambda _: None)
        else:
            result.chainDeferred(done)

    def make_all(self) -> None:
        """Make all calls, also those that follow from the results."""
        while self._calls:
            self.make()
