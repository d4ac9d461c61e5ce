"""A freeze: for a limited time the daemon checks and reports, but changes neither IPVS nor BGP."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pybal.runtime.activity import Activity
from pybal.status.overview import Frozen


class Freezer:
    """Holds the current freeze and ends it in time; calls ``changed`` when a freeze begins or ends."""

    def __init__(self, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self.frozen: Frozen | None = None
        self._clock = clock
        self._changed = changed
        self._end = Activity("end of the freeze", self._expire, clock)

    def freeze(self, by: str, reason: str, duration: float) -> Frozen:
        """Freeze for ``duration`` seconds from now; replaces a current freeze."""
        began = self.frozen is None
        now = self._clock.seconds()
        self.stop()
        self.frozen = Frozen(by, reason, self.frozen.since if self.frozen else now, now + duration)
        self._end.reschedule(duration)
        if began:
            self._changed()
        return self.frozen

    def thaw(self) -> None:
        """End the freeze, if any."""
        self.stop()
        if self.frozen:
            self.frozen = None
            self._changed()

    def stop(self) -> None:
        """Cancel the timer; the freeze stays."""
        self._end.stop()

    def _expire(self) -> None:
        """End the freeze; if that fails, it is reported again until it succeeds."""
        self.frozen = None
        self._changed()
