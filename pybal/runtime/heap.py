"""Excludes long-lived objects from garbage collection, whose passes would block the loop."""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds until the objects of a large configuration exist.
DELAY = 30.0


class HeapFreezer:
    """Freezes the heap some time after the start and after each reload."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None

    def schedule(self) -> None:
        """Freeze the heap after :data:`DELAY` seconds, counted from the last call."""
        self.stop()
        self._call = self._clock.callLater(DELAY, _freeze)

    def stop(self) -> None:
        if self._call and self._call.active():
            self._call.cancel()


def _freeze() -> None:
    # Collect first: a reload has released objects that were frozen.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
