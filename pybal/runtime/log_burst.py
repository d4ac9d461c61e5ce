"""A limit of the log lines of one pool in one second, with a summary of the others.

Lines that PyBal 1.15 wrote, which operators search for, have the whole limit; all other lines share half of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_SEARCHED = (
    "Server {host} ({status}) is up",
    "Monitoring instance ",
    "Could not depool server ",
    "Leaving previously pooled server ",
    "New {enabled} server ",
    "Merged {enabled} server ",
    "[{service}] Removing server ",
    "Created LVS service ",
    "Starting BGP session with peer ",
    "State is now: ",
    "Initialization complete",
    "Fetch failed (",
    "Exiting...",
)
_FIELD = re.compile(r"\{[^}]*\}")


class _Pool:
    """The lines of one pool in the present second."""

    __slots__ = ("lines", "others", "suppressed")

    def __init__(self) -> None:
        self.lines = self.others = 0
        self.suppressed: Counter[str] = Counter()


class BurstLimit:
    """Admits at most ``most`` lines per pool and second; 0 admits all. Times are monotonic."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.suppressed = 0
        """Lines suppressed since the start."""
        self._second = 0
        self._pools: dict[str, _Pool] = {}

    def admit(self, system: str, kind: str) -> bool:
        """Return whether to write a line. Call :meth:`ended` before.

        ``kind`` is its text before formatting; the pool is the first word of its system.
        """
        if not self.most:
            return True
        name = system.partition(" ")[0]
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool()
        if pool.lines < self.most:
            searched = kind.startswith(_SEARCHED)
            if searched or 2 * pool.others < self.most:
                pool.lines += 1
                pool.others += not searched
                return True
        pool.suppressed[kind] += 1
        self.suppressed += 1
        return False

    @property
    def ends(self) -> float:
        """The time at which the present second ends."""
        return self._second + 1.0

    def ended(self, now: float) -> Iterator[tuple[str, str]]:
        """Yield the summary of each pool, and its system, if the second has ended since the last call."""
        second = int(now)
        if second == self._second:
            return
        self._second = second
        pools, self._pools = self._pools, {}
        for name, pool in pools.items():
            if pool.suppressed:
                yield name, self._summary(pool.suppressed)

    def _summary(self, suppressed: Counter[str]) -> str:
        total = suppressed.total()
        counts = [f"{count} of {_plain(kind)}" for kind, count in suppressed.most_common()]
        return f"and {total} more in the same second (log-burst = {self.most}): {', '.join(counts)}"


def _plain(kind: str) -> str:
    """Return the text of a kind with its fields replaced."""
    text = _FIELD.sub("…", kind)
    return "other texts" if text in {"", "…"} else f'"{text}"'
