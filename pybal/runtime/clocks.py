"""The monotonic clock and the wall clock, read together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks, read at the same moment. ``monotonic`` is in seconds."""

    monotonic: float
    wall: datetime

    def time_of(self, at: float) -> datetime:
        """Return the wall-clock time of a monotonic time, by the current setting of the wall clock."""
        return self.wall - timedelta(seconds=self.monotonic - at)
