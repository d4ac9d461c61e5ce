"""Exponential back-off."""

from __future__ import annotations

from random import Random

FACTOR = 1.5
JITTER = 0.25


class Backoff:
    """Exponential back-off from ``first`` to ``most`` seconds.

    Each pause is ``factor`` times as long as the one before. With ``random`` it is shortened at random by up to the share
    ``jitter``.
    """

    __slots__ = ("_factor", "_first", "_jitter", "_most", "_next", "_random")

    def __init__(
        self, first: float, most: float, random: Random | None = None, *, factor: float = FACTOR, jitter: float = JITTER
    ) -> None:
        self._first = self._next = min(first, most)
        self._most = most
        self._random = random
        self._factor = factor
        self._jitter = jitter

    @property
    def following(self) -> float:
        """The next pause without jitter, in seconds."""
        return self._next

    def pause(self) -> float:
        """Return the next pause, in seconds."""
        pause, self._next = self._next, min(self._next * self._factor, self._most)
        return self.jittered(pause)

    def jittered(self, pause: float) -> float:
        """Return a pause shortened at random."""
        if self._random is None:
            return pause
        return pause * (1 - self._jitter * self._random.random())

    def reset(self) -> None:
        """Start again with the first pause."""
        self._next = self._first
