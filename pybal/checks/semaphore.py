"""A bound on what may go on at once: who finds no place waits for one, in the order they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Semaphore:
    """So many places. ``begin`` is called when there is one for it, and whoever called for it must :meth:`leave`."""

    __slots__ = ("_admitting", "_waiting", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._admitting = False

    def enter(self, begin: Callable[[], None]) -> None:
        """Take a place: now, if there is one, else after all who wait already."""
        self._waiting.append(begin)
        self._admit()

    def withdraw(self, begin: Callable[[], None]) -> None:
        """Wait no longer."""
        self._waiting.remove(begin)

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self._admit()

    def _admit(self) -> None:
        # A loop, not a recursion: each of many that wait may leave at once.
        if self._admitting:
            return
        self._admitting = True
        try:
            while self._waiting and self.taken < self.most:
                self.taken += 1
                self._waiting.popleft()()
        finally:
            self._admitting = False
