"""The monotonic clock and the wall clock, read together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks, read at one moment. ``monotonic`` is in seconds."""

    monotonic: float
    wall: datetime

    def time_of(self, at: float) -> datetime:
        """Return what the wall clock, as it goes now, would have shown at a monotonic time."""
        return self.wall - timedelta(seconds=self.monotonic - at)
