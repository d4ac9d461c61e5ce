"""Histogram of the lateness of the loop, in powers of two of a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil

BOUNDS = tuple((1 << power) / 1000 for power in range(15))
"""Upper bounds of the histogram, 1 ms to 16 s, in seconds."""


class Lateness:
    """Counts of delays by the next power of two. ``seconds`` is the sum of all delays."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)

    def note(self, seconds: float) -> None:
        """Count a delay in seconds; a negative one counts as 0."""
        late = max(seconds, 0.0)
        self.seconds += late
        self._counts[min(max(ceil(late * 1000) - 1, 0).bit_length(), len(BOUNDS))] += 1

    @property
    def count(self) -> int:
        """The number of delays."""
        return sum(self._counts)

    def quantile(self, share: float) -> float:
        """Return a quantile of the lateness in seconds, rounded up to one of :data:`BOUNDS`."""
        wanted = share * self.count
        return next((bound for bound, count in self.buckets() if count >= wanted), 2 * BOUNDS[-1])

    def buckets(self) -> Sequence[tuple[float, int]]:
        """Return the number of delays up to each of :data:`BOUNDS`, cumulative."""
        return list(zip(BOUNDS, accumulate(self._counts[:-1]), strict=True))
