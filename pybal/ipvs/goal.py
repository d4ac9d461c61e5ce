"""The goal of a service in the table, and the progress towards it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from twisted.internet.interfaces import IDelayedCall

from pybal.core.model import Address, Alert, Service, Severity
from pybal.core.steps import Steps, parts
from pybal.core.text import format_age
from pybal.ipvs.model import Endpoint, TableEntry, amended, drained
from pybal.runtime.backoff import Backoff

FIRST_DELAY = 1.0
LONGEST_DELAY = 15.0


def _backoff() -> Backoff:
    return Backoff(FIRST_DELAY, LONGEST_DELAY, factor=2.0)


@dataclass(slots=True)
class Goal:
    """A wanted entry, or with ``None`` a service to drain until ``drained_at`` and then delete.

    ``drained_at`` (monotonic seconds) is infinity until the drain is written. ``problem`` is the reason why the table differs
    from the goal, since the monotonic time ``since``; ``next`` is then the next attempt, or else the end of the drain.
    ``absent`` is true if the table had no such service when it was last read for a write. ``drifted`` is true if the last comparison found a change by another program. ``written`` is the entry that was last
    written, or is being written, if ``wanted`` differs from it in the destinations of ``touched`` only, else ``None``.
    """

    name: str
    wanted: tuple[Service, TableEntry] | None
    drained_at: float = inf
    problem: str = ""
    since: float = 0.0
    absent: bool = False
    drifted: bool = False
    backoff: Backoff = field(default_factory=_backoff)
    next: IDelayedCall | None = None
    written: TableEntry | None = None
    touched: dict[Endpoint, None] = field(default_factory=dict)  # in the order of the changes

    def want(self, wanted: tuple[Service, TableEntry] | None) -> None:
        """Replace the goal."""
        self.wanted, self.written, self.touched = wanted, None, {}

    def amending(self, service: Service, changes: Mapping[Address, int | None]) -> Steps[Callable[[], None]]:
        """Return the call that changes the service and these destinations.

        Both raise LookupError if there is no goal with this name and forwarding, or no longer.
        """
        wanted = self.wanted
        if wanted is None or (wanted[0].name, wanted[0].tunneling) != (service.name, service.tunneling):
            raise LookupError(f"{service.name} has no goal to amend")
        entry = yield from amended(wanted[1], service, changes)
        touched = dict[Endpoint, None]()
        for part in parts(changes):
            touched.update(dict.fromkeys((address, service.port) for address in part))
            yield

        def amend() -> None:
            if self.wanted is not wanted:
                raise LookupError(f"{service.name} has another goal")
            self.wanted = service, entry
            self.touched.update(touched)

        return amend

    def begin(self, held: TableEntry | None, now: float) -> tuple[TableEntry | None, Mapping[Endpoint, None] | None]:
        """Return the entry to replace ``held``, and the destinations that may differ, ``None`` for all.

        Later amendments count from this entry on.
        """
        touched = self.touched if held is not None and held is self.written else None
        self.written, self.touched = self.aim(held, now), {}
        return self.written, touched

    def cost(self, held: TableEntry | None) -> int:
        """Return the number of destinations that a comparison with ``held`` looks at."""
        if held is not None and held is self.written:
            return len(self.touched)
        wanted = self.wanted[1].destinations if self.wanted else ()
        return max(len(wanted), len(held.destinations) if held else 0)

    def aim(self, held: TableEntry | None, now: float) -> TableEntry | None:
        """Return the entry that should replace ``held`` now."""
        if self.wanted:
            return self.wanted[1]
        return drained(held) if held and now < self.drained_at else None

    def alert(self, now: float, *, uncreated: bool) -> Alert | None:
        """Return the alert if the table differs from the goal.

        ``uncreated`` is true if a freeze keeps the service from being created.
        """
        serves = self.wanted is not None and self.wanted[1].serves
        if serves and uncreated:
            return not_in_ipvs(self.name, "frozen before it was created")
        if serves and self.absent and self.problem:
            return not_in_ipvs(self.name, self.problem, self.since)
        lasted = f"(for {format_age(now - self.since)})"
        return Alert(self.name, "ipvs", f"{self.problem} {lasted}", since=self.since) if self.problem else None

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


def not_in_ipvs(service: str, cause: str, since: float | None = None) -> Alert:
    """Return the alert of a service whose connections the table does not take."""
    text = f"no connection is forwarded, IPVS lacks the service or its servers: {cause}"
    return Alert(service, "not-in-ipvs", text, severity=Severity.CRITICAL, since=since)
