"""Repeated repairs of the same entry: the sign of another program that writes to IPVS. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pybal.ipvs.model import Endpoint, Op, ServiceKey

#: Number of repairs of one entry within a window, in seconds, that indicate another writer.
REPEATS, WINDOW = 3, 300.0


class WriterConflicts:
    """The recent repairs by service and destination; times are monotonic seconds."""

    def __init__(self) -> None:
        self._times: dict[ServiceKey, dict[Endpoint | None, deque[float]]] = {}

    def repaired(self, ops: Iterable[Op], now: float) -> None:
        """Record a repair by these operations."""
        for op in ops:
            endpoint = None if op.destination is None else op.destination.endpoint
            self._times.setdefault(op.key, {}).setdefault(endpoint, deque(maxlen=REPEATS)).append(now)

    def forget(self, now: float) -> None:
        """Drop repairs older than the window."""
        for key, entries in list(self._times.items()):
            self._times[key] = {entry: times for entry, times in entries.items() if times[-1] >= now - WINDOW}
            if not self._times[key]:
                del self._times[key]

    def text(self, key: ServiceKey, now: float) -> str:
        """Return a sentence if a service has another writer, else an empty string."""
        entries = [
            entry
            for entry, times in self._times.get(key, {}).items()
            if len(times) == REPEATS and times[0] >= now - WINDOW
        ]
        if not entries:
            return ""
        what = "the service" if entries[0] is None else str(entries[0][0])
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        return f"{what}{more} repaired {REPEATS} times within {WINDOW / 60:.0f} min (another program writes to IPVS)"
