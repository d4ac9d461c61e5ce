"""A FIFO semaphore."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Semaphore:
    """A semaphore of ``most`` units; ``begin`` is called with each acquired unit."""

    __slots__ = ("_running", "_waiting", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = False

    @property
    def waiting(self) -> int:
        """The number of waiters."""
        return len(self._waiting)

    def acquire(self, begin: Callable[[], None]) -> None:
        """Acquire a unit: now if one is free, else after all earlier waiters."""
        self._waiting.append(begin)
        self._run()

    def cancel(self, begin: Callable[[], None]) -> None:
        """Remove a waiter."""
        self._waiting.remove(begin)

    def release(self) -> None:
        """Return a unit."""
        self.taken -= 1
        self._run()

    def _run(self) -> None:
        # A loop instead of recursion: each of many waiters may release immediately.
        if self._running:
            return
        self._running = True
        try:
            while self._waiting and self.taken < self.most:
                self.taken += 1
                self._waiting.popleft()()
        finally:
            self._running = False
