"""The facts that change a pool: the events of :func:`pybal.core.policy.step`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pybal.core.model import Address, Member, Report, Service


@dataclass(frozen=True, slots=True)
class Adopted:
    """The kernel held these addresses, with these weights, at the start."""

    held: Mapping[Address, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """The pool source delivered the whole list of members."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Results of lookups, by host; ``None`` if the name has no address. Failed lookups are left out.

    ``at`` is the monotonic time in seconds.
    """

    addresses: Mapping[str, Address | None]
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Reported:
    """A monitor has made a conclusive report on a server.

    A report on another ``address`` than that of the server is ignored; ``None`` is not another.
    """

    host: str
    monitor: str
    report: Report
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """Monitors have made conclusive reports on the next addresses of servers, in this order.

    All are recorded before the pool is placed, so that no server arrives unchecked whose own report is among them. One event
    for all keeps the cost of a list of other hosts linear. A report on another address than the next one is ignored.
    """

    reports: Sequence[Reported]


@dataclass(frozen=True, slots=True)
class Overdue:
    """The next addresses of these servers have not passed within ``dns-move-wait``."""

    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Several reports, in the order of their arrival.

    The result is that of one :class:`Reported` after the other. Applying all reports first and deciding once would be worse: of ten servers with a floor of 5, six that fail together
    would all stay, because fewer than the floor serve when the first decision is taken.
    """

    reports: Sequence[Reported]


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The operator changed the service: threshold, monitors or scheduler. Its key must be the same."""

    service: Service


Event = Adopted | Listed | Resolved | Reported | Tried | Overdue | Gathered | Reconfigured
