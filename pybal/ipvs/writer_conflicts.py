"""What had to be repaired again and again: the sign of another writer. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pybal.ipvs.model import Endpoint, Op, ServiceKey

#: Repairs of the same thing within so many seconds that tell of another writer.
REPEATS, WINDOW = 3, 300.0


class WriterConflicts:
    """The repairs of the last minutes, by service and destination; all times are monotonic seconds."""

    def __init__(self) -> None:
        self._times: dict[ServiceKey, dict[Endpoint | None, deque[float]]] = {}

    def repaired(self, ops: Iterable[Op], now: float) -> None:
        """Note a repair by these operations."""
        for op in ops:
            endpoint = None if op.destination is None else op.destination.endpoint
            self._times.setdefault(op.key, {}).setdefault(endpoint, deque(maxlen=REPEATS)).append(now)

    def forget(self, now: float) -> None:
        """Drop what is too long ago to tell anything."""
        for key, things in list(self._times.items()):
            self._times[key] = {thing: times for thing, times in things.items() if times[-1] >= now - WINDOW}
            if not self._times[key]:
                del self._times[key]

    def text(self, key: ServiceKey, now: float) -> str:
        """Return in words that a service has another writer, empty if nothing tells of one."""
        things = [
            thing
            for thing, times in self._times.get(key, {}).items()
            if len(times) == REPEATS and times[0] >= now - WINDOW
        ]
        if not things:
            return ""
        what = "the service" if things[0] is None else str(things[0][0])
        more = f" and {len(things) - 1} more" if len(things) > 1 else ""
        return f"{what}{more} repaired {REPEATS} times within {WINDOW / 60:.0f} min: another writer changes IPVS"
