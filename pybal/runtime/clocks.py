"""The monotonic clock and the wall clock, read together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEP = timedelta(seconds=0.2)
"""A change of the wall clock that is more than the jitter of reading both clocks."""


def age(since: float, now: float) -> float:
    """Return the seconds between two monotonic times, rounded to milliseconds; 0 if ``since`` is later."""
    return round(max(0.0, now - since), 3)


def iso(time: datetime) -> str:
    """Return a time in ISO 8601, UTC: ``2026-11-20T03:00:00.000Z``."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Both clocks, read at the same moment. ``monotonic`` is in seconds."""

    monotonic: float
    wall: datetime

    def time_of(self, at: float) -> datetime:
        """Return the wall-clock time of a monotonic time, by the current setting of the wall clock."""
        # One rounding of `at` alone: every reading of a Calendar gives it the same microsecond.
        return self.wall - timedelta(seconds=self.monotonic) + timedelta(seconds=at)

    def iso_time(self, at: float) -> str:
        """Return the wall-clock time of a monotonic time as :func:`iso` does."""
        return iso(self.time_of(at))


class Calendar:
    """Reads both clocks such that a monotonic time has the same wall-clock time in every reading.

    That changes only when the wall clock is set. Both functions return the present time.
    """

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._first: Clocks | None = None

    def read(self) -> Clocks:
        """Return the present time of both clocks."""
        before, wall, now = self._monotonic(), self._wall(), self._monotonic()
        # A busy machine may suspend the process between the readings.
        if self._first is None or not self._first.time_of(before) - STEP <= wall <= self._first.time_of(now) + STEP:
            self._first = Clocks(now, wall)
        return Clocks(now, self._first.time_of(now))
