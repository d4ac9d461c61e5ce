"""What is wanted for a service in the table, and what becomes of that."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from twisted.internet.interfaces import IDelayedCall

from pybal.core.model import Service
from pybal.ipvs.model import TableEntry, drained

FIRST_DELAY = 1.0


@dataclass(slots=True)
class Goal:
    """An intent, or with ``None`` that the service is drained until a monotonic time and then gone.

    That time is infinity as long as the drain is not written. ``trouble`` says why the table is not like that; ``next`` is then another attempt, or else the end of the drain.
    ``strayed`` tells that others changed it since, as the last comparison found.
    """

    name: str
    wanted: tuple[Service, TableEntry] | None
    drained_at: float = inf
    trouble: str = ""
    strayed: bool = False
    delay: float = FIRST_DELAY
    next: IDelayedCall | None = None

    def aim(self, held: TableEntry | None, now: float) -> TableEntry | None:
        """Return what the table should hold now in place of ``held``."""
        if self.wanted:
            return self.wanted[1]
        return drained(held) if held and now < self.drained_at else None

    def cancel(self) -> None:
        """Wait for nothing more."""
        if self.next and self.next.active():
            self.next.cancel()
        self.next = None


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted for a service; ``verified`` is whether the table holds it, as far as is known."""

    service: Service
    entry: TableEntry
    verified: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """A service that is going: its name, and the seconds after which it is deleted."""

    name: str
    remaining: float
