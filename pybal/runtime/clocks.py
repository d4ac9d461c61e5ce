"""The monotonic clock and the wall clock, read together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks, read at the same moment. ``monotonic`` is in seconds."""

    monotonic: float
    wall: datetime

    def time_of(self, at: float) -> datetime:
        """Return the wall-clock time of a monotonic time, by the current setting of the wall clock."""
        return self.wall - timedelta(seconds=self.monotonic - at)

    def iso_time(self, at: float) -> str:
        """Return the wall-clock time of a monotonic time in ISO 8601, UTC: ``2026-11-20T03:00:00.000Z``."""
        utc = self.time_of(at).astimezone(UTC)
        return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
