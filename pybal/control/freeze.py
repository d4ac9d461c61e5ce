"""A freeze: for a bounded time the daemon goes on checking and telling, and acts on none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

DEFAULT, LONGEST = 600.0, 4 * 3600.0
"""How long a freeze lasts unless told, and at most, in seconds: a forgotten one must not last for ever."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """Who froze it and why, since when and until when: monotonic times, in seconds."""

    by: str
    reason: str
    since: float
    until: float

    def text(self, now: float) -> str:
        """Return it for people: ``frozen for another 312 s by root: new switch``."""
        return f"frozen for another {max(0.0, self.until - now):.0f} s by {self.by}: {self.reason}"


class Freezer:
    """Keeps a freeze and ends it in time. ``changed`` is called when one begins and when it ends."""

    def __init__(self, clock: IReactorTime, changed: Callable[[], None]) -> None:
        self.frozen: Frozen | None = None
        self._clock = clock
        self._changed = changed
        self._end: IDelayedCall | None = None

    def freeze(self, by: str, reason: str, duration: float) -> Frozen:
        """Freeze for so many seconds from now, in place of the freeze there may be."""
        began = self.frozen is None
        now = self._clock.seconds()
        self.stop()
        self.frozen = Frozen(by, reason, self.frozen.since if self.frozen else now, now + duration)
        self._end = self._clock.callLater(duration, self.thaw)
        if began:
            self._changed()
        return self.frozen

    def thaw(self) -> None:
        """End the freeze; does nothing where there is none."""
        self.stop()
        if self.frozen:
            self.frozen = None
            self._changed()

    def stop(self) -> None:
        """Wait for the end no more."""
        if self._end and self._end.active():
            self._end.cancel()
