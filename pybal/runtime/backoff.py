"""Growing pauses between attempts."""

from __future__ import annotations

from random import Random

_FACTOR = 1.5
_JITTER = 0.25


class Backoff:
    """Pauses from ``first`` to ``most`` seconds, each half as long again as the one before, less up to a quarter."""

    __slots__ = ("_first", "_most", "_next", "_random")

    def __init__(self, first: float, most: float, random: Random) -> None:
        self._first = self._next = min(first, most)
        self._most = most
        self._random = random

    @property
    def following(self) -> float:
        """How long the next pause is at most, in seconds."""
        return self._next

    def pause(self) -> float:
        """Return the next pause, in seconds."""
        pause, self._next = self._next, min(self._next * _FACTOR, self._most)
        return self.jittered(pause)

    def jittered(self, pause: float) -> float:
        """Return a pause less up to a quarter of it."""
        return pause * (1 - _JITTER * self._random.random())

    def reset(self) -> None:
        """Begin anew with the first."""
        self._next = self._first
