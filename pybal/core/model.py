"""The values every other module speaks of: services, members, servers, pools and reports.

Pure: no clock, no I/O. Everything here is immutable; a change is a new value, made by :mod:`pybal.core.policy`.
The words are those of the architecture: a *member* is the operator's line about a server, a *server* is one host in
one pool with all we know of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

Address = IPv4Address | IPv6Address


class IPProtocol(StrEnum):
    """What a service balances."""

    TCP = "tcp"
    UDP = "udp"


class Health(StrEnum):
    """What the monitors of a server, taken together, know of it."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class SuspectCheck(StrEnum):
    """What is done when many servers begin to fail a check alike at the same time."""

    HOLD = "hold"
    """They stay pooled, or return, until they fail for another cause or are up."""
    ALERT = "alert"
    OFF = "off"


class SuspectSelf(StrEnum):
    """What is done when nobody at all is heard any more, in any service."""

    HOLD = "hold"
    """Checks that fail so say nothing, for a bounded time."""
    ALERT = "alert"
    OFF = "off"


class Placement(Enum):
    """Where a server stands with respect to the wanted set of its pool."""

    OUT = "not pooled"
    POOLED = "pooled"
    FORCED = "forced"
    """Pooled although nothing says it is up, because the depool threshold forbids its removal."""


@dataclass(frozen=True, slots=True)
class Service:
    """A VIP with protocol, port and scheduler: one section of pybal.conf.

    ``depool_threshold`` is the share (0 to 1) of the pool's members that is never depooled. ``monitors`` are the
    names of the kinds of monitor that watch each server, in the order of the configuration; without any, servers
    count as up. ``initially_up`` pools servers before their first report, as PyBal 1.15 did. ``interval`` is the
    longest one of its monitors, in seconds: failures that begin within it, and alike, make the check the suspect.
    """

    name: str
    protocol: IPProtocol
    vip: Address
    port: int
    scheduler: str
    scheduler_flags: tuple[str, ...] = ()
    one_packet: bool = False
    tunneling: bool = False
    depool_threshold: float = 0.5
    monitors: tuple[str, ...] = ()
    initially_up: bool = False
    suspect_check: SuspectCheck = SuspectCheck.ALERT
    interval: float = 10.0


@dataclass(frozen=True, slots=True)
class Member:
    """The operator's line about a server. ``weight`` is IPVS's: 0 means no new connections."""

    host: str
    weight: int = 10
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """A conclusive word of one monitor on one server.

    ``reason`` is empty when up, else the phase and the fact (``status: HTTP 500, wanted 200``). ``at`` is the
    monotonic time, in seconds, at which the monitor came to it. ``cause`` is the reason without its numbers: servers
    that fail alike have it in common.
    """

    up: bool
    reason: str = ""
    at: float = 0.0
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One host in one pool, with all we know of it.

    ``address`` is ``None`` until the host's name has resolved; ``unresolvable`` tells that the name is known to have no
    address, as opposed to not being looked up successfully yet. ``reports`` has a key for each monitor of the
    service, with ``None`` for those that have said nothing conclusive yet. ``health`` follows from them: DOWN if one
    monitor says so, UNKNOWN while one is silent, else UP; UP without monitors. ``suspect_failures`` are the monitors, each with
    the cause, whose failure is held to be the check's own. ``pending_monitors`` are the monitors that a server which was up got
    from a new configuration: until their first report they count for nothing.
    """

    member: Member
    reports: Mapping[str, Report | None] = field(default_factory=lambda: MappingProxyType({}))
    address: Address | None = None
    unresolvable: bool = False
    placement: Placement = Placement.OUT
    suspect_failures: frozenset[tuple[str, str]] = frozenset()
    pending_monitors: frozenset[str] = frozenset()
    health: Health = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once for each change of a server, as it is asked of every server of the pool at each of them.
        object.__setattr__(self, "health", _health(self.reports, self.pending_monitors))

    @property
    def host(self) -> str:
        return self.member.host

    @property
    def ready(self) -> bool:
        """Whether it has an address."""
        return self.address is not None

    @property
    def eligible(self) -> bool:
        """Whether the operator and the resolver allow it to be pooled at all."""
        return self.member.enabled and self.address is not None

    @property
    def serving(self) -> bool:
        """Whether it counts for the depool threshold: up and eligible."""
        return self.eligible and self.health is Health.UP

    @property
    def pooled(self) -> bool:
        return self.placement is not Placement.OUT

    @property
    def only_suspect_failures(self) -> bool:
        """Known to be down, but only by checks that are the suspects themselves."""
        return bool(self.suspect_failures) and all(
            report is None or report.up or (monitor, report.cause) in self.suspect_failures
            for monitor, report in self.reports.items()
        )

    @property
    def pooled_down(self) -> bool:
        """Pooled although known to be down: what ``/alerts`` calls critical."""
        return self.pooled and self.health is Health.DOWN

    @property
    def status(self) -> str:
        """PyBal 1.15's three words, e.g. ``enabled/partially up/not pooled``; unknown shows as down."""
        enabled = "enabled" if self.member.enabled else "disabled"
        if self.health is Health.UP:
            health = "up"
        elif any(report is not None and report.up for report in self.reports.values()):
            health = "partially up"
        else:
            health = "down"
        return f"{enabled}/{health}/{'pooled' if self.pooled else 'not pooled'}"


def _health(reports: Mapping[str, Report | None], pending_monitors: frozenset[str]) -> Health:
    unknown = False
    for monitor, report in reports.items():
        if report is None:
            unknown = unknown or monitor not in pending_monitors
        elif not report.up:
            return Health.DOWN
    return Health.UNKNOWN if unknown else Health.UP


@dataclass(frozen=True, slots=True)
class Pool:
    """The servers of one service, by host, in the order of their source.

    ``listed`` is false until the source has delivered a first list. ``held`` maps addresses that the kernel held when
    we started, and that no server has, to their weights. It is empty once the list is there and no name of an enabled
    member awaits its first lookup: until then they may be that member's, so they are not taken away.
    """

    service: Service
    servers: Mapping[str, Server] = field(default_factory=lambda: MappingProxyType({}))
    listed: bool = False
    held: Mapping[Address, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Alert:
    """Something an operator should know that is not a decision: a source that fails, a name that does not resolve.

    ``kind`` is a fixed word for machines (``source``, ``unresolved``, ``ipvs``, …), ``text`` a sentence for people.
    """

    service: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All pools at one moment, by the name of their service in the order of the configuration.

    ``could_not_depool`` counts, for each service, the servers that went down and had to stay. ``alerts`` is to be gone
    through at once and only once: finding them takes longer than most questions about a snapshot.
    """

    pools: Mapping[str, Pool]
    could_not_depool: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    alerts: Iterable[Alert] = ()
