"""Histogram of the lateness of the loop, in powers of two of a millisecond."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate

_BUCKETS = 16


class Lateness:
    """Counts of delays by the next power of two, from 1 ms to 16 s."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS

    def note(self, seconds: float) -> None:
        """Count a delay in seconds; a negative one counts as 0."""
        self._counts[min(int(max(seconds, 0.0) * 1000).bit_length(), _BUCKETS - 1)] += 1

    def quantile(self, share: float) -> float:
        """Return a quantile of the lateness in seconds, rounded up to a power of 2 of a millisecond."""
        reached = accumulate(self._counts)
        wanted = share * sum(self._counts)
        return next((1 << bucket for bucket, count in enumerate(reached) if count >= wanted), 0) / 1000

    def counts(self) -> Iterator[tuple[float, int]]:
        """Yield the upper bound of each bucket in seconds, and its count."""
        for bucket, count in enumerate(self._counts):
            yield (1 << bucket) / 1000 if bucket < _BUCKETS - 1 else math.inf, count
