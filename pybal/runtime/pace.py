"""Slices of work: a coroutine with much to do gives up the loop between them."""

from __future__ import annotations

from math import inf

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

SLICE_SECONDS = 0.02
"""Time that one slice may take; the loop must never be held for more than 50 ms."""


class Pace:
    """Cuts work into slices of ``seconds`` and of ``most`` units, one slice in each turn of the loop.

    The time is that of ``clock``::

        pace = Pace(reactor)
        for each in many:
            work(each)
            await pace.pause()
    """

    def __init__(self, clock: IReactorTime, seconds: float = SLICE_SECONDS, *, most: float = inf) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self.begin()

    def begin(self) -> None:
        """Begin a slice in the present turn, for example after another wait."""
        self._until = self._clock.seconds() + self._seconds
        self._units = 0

    def count(self, units: int) -> None:
        """Count units of work of the present slice."""
        self._units += units

    @property
    def spent(self) -> bool:
        """True if the slice is over."""
        return self._units >= self._most or self._clock.seconds() >= self._until

    async def pause(self) -> None:
        """Wait for the next turn of the loop if the slice is over."""
        if self.spent:
            await self.turn()

    async def turn(self) -> None:
        """Wait for the next turn of the loop."""
        await deferLater(self._clock, 0)
        self.begin()
