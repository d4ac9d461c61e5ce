"""The goal of a service in the table, and the progress towards it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from twisted.internet.interfaces import IDelayedCall

from pybal.core.model import Service
from pybal.ipvs.model import TableEntry, drained
from pybal.runtime.backoff import Backoff

FIRST_DELAY = 1.0
LONGEST_DELAY = 15.0


def _backoff() -> Backoff:
    return Backoff(FIRST_DELAY, LONGEST_DELAY, factor=2.0)


@dataclass(slots=True)
class Goal:
    """A wanted entry, or with ``None`` a service to drain until ``drained_at`` and then delete.

    ``drained_at`` (monotonic seconds) is infinity until the drain is written. ``problem`` is the reason why the table differs from the goal; ``next``
    is then the next attempt, or else the end of the drain. ``drifted`` is true if the last comparison found a change by another
    program.
    """

    name: str
    wanted: tuple[Service, TableEntry] | None
    drained_at: float = inf
    problem: str = ""
    drifted: bool = False
    backoff: Backoff = field(default_factory=_backoff)
    next: IDelayedCall | None = None

    def aim(self, held: TableEntry | None, now: float) -> TableEntry | None:
        """Return the entry that should replace ``held`` now."""
        if self.wanted:
            return self.wanted[1]
        return drained(held) if held and now < self.drained_at else None

    def cancel(self) -> None:
        """Cancel the next attempt."""
        if self.next and self.next.active():
            self.next.cancel()
        self.next = None


@dataclass(frozen=True, slots=True)
class Intent:
    """The wanted entry of a service; ``verified`` is true if the table held it when last read or written."""

    service: Service
    entry: TableEntry
    verified: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """A service that is being removed: its name, and the seconds until it is deleted."""

    name: str
    remaining: float
