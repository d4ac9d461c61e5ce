"""Long work in slices, so that no turn of the event loop is held for long.

The work is an iterator: each step does a small part of it. All work shares one slice per turn, so 100 pools that change in
the same moment hold the loop no longer than one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

from twisted.internet.interfaces import IReactorTime

from pybal.runtime.activity import Activity

SLICE = 0.01
"""Seconds of work in one turn."""

Work = Generator[None, None, None]


class Slices:
    """Runs work in the order of its arrival, at most :data:`SLICE` seconds in a turn.

    Work that is added while no other is pending begins immediately. An unexpected exception ends the work that raised
    it, is an alert (:class:`pybal.runtime.activity.Activity`), and the other work goes on.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pending: deque[Work] = deque()
        self._turn = Activity("changes of pools", self._run, clock)
        self._inside = False

    def add(self, work: Work) -> None:
        """Run a generator to its end; ``work.close()`` ends it earlier."""
        self._pending.append(work)
        if self._inside:
            return
        if self._turn.running:
            self._turn.wake()  # it may pause after an exception of other work
        else:
            self._turn.start(now=True)

    def stop(self) -> None:
        """Drop all pending work."""
        self._turn.stop()
        self._pending.clear()

    def _run(self) -> float | None:
        end = self._clock.seconds() + SLICE
        self._inside = True
        try:
            while self._pending:
                for _ in self._pending[0]:
                    if self._clock.seconds() >= end:
                        return 0.0
                self._pending.popleft()
        finally:
            self._inside = False
        return None
