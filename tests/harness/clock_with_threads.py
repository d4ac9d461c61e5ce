"""A clock for code that uses real threads."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.task import Clock


class ClockWithThreads(Clock):
    """A clock that accepts the results of threads; they arrive when the time of the test advances."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived: list[Callable[[], object]] = []

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:  # noqa: A002, N802  # Twisted's
        self._arrived.append(lambda: callable(*args))

    def pass_time(self, seconds: float) -> None:
        """Advance in steps of 0.1 s, each with a little real time for the threads."""
        for _ in range(round(seconds / 0.1)):
            time.sleep(0.005)
            while self._arrived:
                self._arrived.pop(0)()
            self.advance(0.1)
