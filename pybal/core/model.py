"""The values all modules share: services, members, servers, pools and reports.

Pure: no clock, no I/O. All values are immutable; :mod:`pybal.core.policy` returns new ones. A *member* is the operator's line
about a server; a *server* is one host in one pool with all its facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import NamedTuple

from typing_extensions import override

from pybal.core.counted import Counted
from pybal.core.steps import Steps, parts

Address = IPv4Address | IPv6Address


class IPProtocol(StrEnum):
    """The transport protocol of a service."""

    TCP = "tcp"
    UDP = "udp"


class Health(StrEnum):
    """The health of a server according to all its monitors."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"

    __hash__ = str.__hash__  # see Placement


class SuspectCheck(StrEnum):
    """The reaction to correlated failures of a check; see :mod:`pybal.core.correlated`."""

    HOLD = "hold"
    """The servers stay pooled, or are pooled again, until they fail for another cause or are up."""
    ALERT = "alert"
    OFF = "off"


class SuspectSelf(StrEnum):
    """The reaction when no server of any service responds; see :mod:`pybal.core.isolation`."""

    HOLD = "hold"
    """Checks without a response are ignored for a limited time."""
    ALERT = "alert"
    OFF = "off"


class Placement(Enum):
    """The place of a server in or outside the wanted set of its pool."""

    OUT = "not pooled"
    POOLED = "pooled"
    FORCED = "forced"
    """Pooled although down, because the depool threshold forbids its removal."""

    __hash__ = object.__hash__  # that of Enum is Python: a third of the cost of a census


@dataclass(frozen=True, slots=True)
class Service:
    """A VIP with protocol, port and scheduler: one section of pybal.conf.

    ``depool_threshold`` is the share (0 to 1) of the members with a weight above 0 that is never depooled. ``monitors`` are the
    names of the kinds of monitor that watch each server, in the order of the configuration; servers without monitors
    count as up. ``initially_up`` pools servers before their first report, as PyBal 1.15 did. ``interval`` is the
    longest interval of its monitors, in seconds: failures with one cause that begin within it are correlated. After
    ``dns_move_wait`` seconds a server whose next address has not passed its checks counts as down.
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
    dns_move_wait: float = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """The operator's line about a server. A ``weight`` of 0 means no new connections, as in IPVS.

    One that is ``overridden`` is disabled by `pybal depool` on this balancer, regardless of its source.
    """

    host: str
    weight: int = 10
    enabled: bool = True
    overridden: bool = False

    @property
    def weighted(self) -> bool:
        """True if the weight is above 0: only such members count for the depool threshold."""
        return self.weight > 0


@dataclass(frozen=True, slots=True)
class Report:
    """A conclusive report of one monitor on one server.

    ``reason`` is empty when up, else the phase and the fact (``status: HTTP 500, wanted 200``). ``at`` is the monotonic
    time of the report, in seconds. ``cause`` is the reason without its numbers, equal for servers that fail in the same
    way. ``since`` is the time of an earlier report of the same state, which only had another reason; see :attr:`began`.
    """

    up: bool
    reason: str = ""
    at: float = 0.0
    cause: str = ""
    since: float | None = None

    @property
    def began(self) -> float:
        """The monotonic time since which the server is up or down according to this monitor, in seconds."""
        return self.at if self.since is None else self.since

    def after(self, before: Report | None) -> Report:
        """Return the report as the one after ``before``: of equal states, the first began them."""
        if before is None or before.up is not self.up or before.began == self.at:
            return self
        return replace(self, since=before.began)


class Condition(NamedTuple):
    """The facts about a server that questions about its whole pool depend on; see :class:`Server`.

    The servers of a pool, however many, have a dozen different conditions.
    """

    enabled: bool
    ready: bool
    unresolvable: bool
    health: Health
    placement: Placement
    pending: bool
    """True while some monitors do not count until their first report."""
    suspect: bool
    """True if some failures are attributed to the check itself."""
    weighted: bool
    """True if the weight is above 0."""
    moving: bool
    """True while the server keeps its address until the next one has passed its checks."""
    overdue: bool
    """True if the next address has not passed in time."""

    @property
    def eligible(self) -> bool:
        return self.enabled and self.ready

    @property
    def serving(self) -> bool:
        return self.weighted and self.enabled and self.ready and self.health is Health.UP

    @property
    def pooled(self) -> bool:
        return self.placement is not Placement.OUT

    @property
    def forced(self) -> bool:
        return self.placement is Placement.FORCED

    @property
    def pooled_down(self) -> bool:
        return self.placement is not Placement.OUT and self.health is Health.DOWN

    @property
    def usable(self) -> bool:
        """True if the server is enabled and its name is not known to have no address."""
        return self.enabled and not self.unresolvable

    @property
    def awaits_lookup(self) -> bool:
        """True if the server is enabled and has not been looked up yet."""
        return self.enabled and not self.unresolvable and not self.ready and not self.moving

    @property
    def arriving(self) -> bool:
        """True if the server has no address until its next one has passed its checks."""
        return self.moving and not self.ready

    @property
    def unresolved(self) -> bool:
        """True if the server is enabled and without an address, also if its name has none."""
        return self.enabled and not self.ready

    @property
    def late(self) -> bool:
        """True if the server is enabled and without an address, because its next one has not passed in time."""
        return self.enabled and not self.ready and self.overdue


@dataclass(frozen=True, slots=True)
class Move:
    """The next address of a server: it takes over when all monitors report it up.

    ``reports`` are those on this address, ``since`` is the monotonic time of the change, in seconds. ``overdue`` is true after
    ``dns-move-wait``: the server then counts as down.
    """

    address: Address
    reports: Mapping[str, Report | None]
    since: float = 0.0
    overdue: bool = False

    @property
    def passed(self) -> bool:
        """True if all monitors report the address up."""
        return all(report is not None and report.up for report in self.reports.values())


@dataclass(frozen=True, slots=True)
class Server:
    """One host in one pool, with all its facts.

    ``address`` is ``None`` until the host's name has resolved; ``unresolvable`` is true if the name definitely has no
    address, false if no lookup has succeeded yet. ``reports`` has a key for each monitor of the service, with ``None`` until
    its first conclusive report. ``health`` follows from the reports: DOWN if one is down, UNKNOWN while one is missing, else
    UP; UP without monitors. ``suspect_failures`` are monitors with causes: failures attributed to the check itself.
    ``pending_monitors`` are monitors that a new configuration added while the server was up: they do not count until their
    first report. ``move`` is the next address, watched by its own monitors, while the server keeps the present one; without a
    present one, the server is *arriving* (:mod:`pybal.core.moves`).
    """

    member: Member
    reports: Mapping[str, Report | None] = field(default_factory=lambda: MappingProxyType({}))
    address: Address | None = None
    unresolvable: bool = False
    placement: Placement = Placement.OUT
    suspect_failures: frozenset[tuple[str, str]] = frozenset()
    pending_monitors: frozenset[str] = frozenset()
    move: Move | None = None
    health: Health = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once per change of a server, because it is read far more often.
        overdue = self.move is not None and self.move.overdue
        object.__setattr__(self, "health", _DOWN if overdue else _health(self.reports, self.pending_monitors))

    @property
    def host(self) -> str:
        return self.member.host

    @property
    def ready(self) -> bool:
        """True if the server has an address."""
        return self.address is not None

    @property
    def eligible(self) -> bool:
        """True if the server is enabled and has an address, so that it may be pooled."""
        return self.member.enabled and self.address is not None

    @property
    def serving(self) -> bool:
        """True if the server counts for the depool threshold: up and eligible, with a weight above 0."""
        member = self.member
        return self.health is _UP and member.enabled and member.weight > 0 and self.address is not None

    @property
    def pooled(self) -> bool:
        return self.placement is not Placement.OUT

    @property
    def only_suspect_failures(self) -> bool:
        """True if every failure of the server is attributed to the check itself."""
        if self.move is not None and self.move.overdue:
            return False
        return bool(self.suspect_failures) and all(
            report is None or report.up or (monitor, report.cause) in self.suspect_failures
            for monitor, report in self.reports.items()
        )

    @property
    def pooled_down(self) -> bool:
        """True if the server is pooled although down: critical in ``/alerts``."""
        return self.pooled and self.health is Health.DOWN

    @property
    def condition(self) -> Condition:
        return Condition(
            self.member.enabled,
            self.address is not None,
            self.unresolvable,
            self.health,
            self.placement,
            bool(self.pending_monitors),
            bool(self.suspect_failures),
            self.member.weighted,
            self.move is not None,
            self.move is not None and self.move.overdue,
        )

    def placed(self, placement: Placement) -> Server:
        """Return the server at another place; like ``replace``, in half of its time."""
        return Server(
            self.member,
            self.reports,
            self.address,
            self.unresolvable,
            placement,
            self.suspect_failures,
            self.pending_monitors,
            self.move,
        )

    @property
    def status(self) -> str:
        """The three words of PyBal 1.15: ``enabled/partially up/not pooled``; unknown shows as down."""
        return self.status_with(self.reports)

    def status_with(self, reports: Mapping[str, Report | None]) -> str:
        """Return the three words with results that the health does not contain yet."""
        enabled = "enabled" if self.member.enabled else "disabled"
        if self.health is Health.UP:
            health = "up"
        elif any(report is not None and report.up for report in reports.values()):
            health = "partially up"
        else:
            health = "down"
        return f"{enabled}/{health}/{'pooled' if self.pooled else 'not pooled'}"


_UP, _DOWN = Health.UP, Health.DOWN  # an attribute of an Enum takes longer than a global name


def _health(reports: Mapping[str, Report | None], pending_monitors: frozenset[str]) -> Health:
    unknown = False
    for monitor, report in reports.items():
        if report is None:
            unknown = unknown or monitor not in pending_monitors
        elif not report.up:
            return _DOWN
    return Health.UNKNOWN if unknown else _UP


class Servers(Counted[Server, Condition]):
    """The servers of one pool, by host, in the order of their source."""

    __slots__ = ("hosts_at", "sharing")

    hosts_at: Mapping[Address, Sequence[str]]
    """The hosts at each address, in the order of the source."""
    sharing: Mapping[Address, Sequence[str]]
    """The addresses that several servers have, with their hosts in the order of the source."""

    def __init__(self, values: Mapping[str, Server] = MappingProxyType({})) -> None:
        super().__init__(values)
        hosts_at: dict[Address, tuple[str, ...]] = {}
        for host, server in self.items():
            if server.address is not None:
                own = (host,)
                # One lookup instead of two: the hash of an address is computed in Python.
                if (others := hosts_at.setdefault(server.address, own)) is not own:
                    hosts_at[server.address] = (*others, host)
        self.hosts_at = hosts_at
        self.sharing = {address: hosts for address, hosts in hosts_at.items() if len(hosts) > 1}

    @staticmethod
    @override
    def condition_of(value: Server) -> Condition:
        return value.condition

    @override
    def _derive(self, before: Servers, changes: Sequence[tuple[str, Server | None, Server | None]]) -> Steps[None]:
        yield from super()._derive(before, changes)
        self.hosts_at, self.sharing = before.hosts_at, before.sharing
        moved = [
            (host, old_address, new_address)
            for host, old, new in changes
            if (old_address := None if old is None else old.address)
            is not (new_address := None if new is None else new.address)
        ]
        if not moved and self.names is before.names:
            return
        hosts_at = dict(before.hosts_at)
        touched = dict.fromkeys(before.sharing)
        for part in parts(moved):
            for host, old_address, new_address in part:
                if old_address is not None:
                    hosts_at[old_address] = tuple(other for other in hosts_at[old_address] if other != host)
                    touched[old_address] = None
                if new_address is not None:
                    hosts_at[new_address] = (*hosts_at.get(new_address, ()), host)
                    touched[new_address] = None
            yield
        for addresses in parts(touched):
            for address in addresses:
                if hosts := hosts_at[address]:
                    hosts_at[address] = tuple(sorted(hosts, key=self.names.__getitem__))
                else:
                    del hosts_at[address]
            yield
        self.hosts_at = hosts_at
        self.sharing = {address: hosts_at[address] for address in touched if len(hosts_at.get(address, ())) > 1}


@dataclass(frozen=True, slots=True)
class Pool:
    """The servers of one service, by host, in the order of their source.

    ``listed`` is false until the source has delivered a first list. ``held`` maps the addresses found in the kernel at the
    start, and not claimed by a server, to their weights. They stay, because they may belong to a member whose name has
    not resolved yet, until the list has come and every enabled member has been looked up.
    """

    service: Service
    servers: Servers = field(default_factory=Servers)
    listed: bool = False
    held: MappingProxyType[Address, int] = field(default_factory=lambda: MappingProxyType({}))


class Severity(StrEnum):
    """The severity of an alert: critical if clients are, or will soon be, without a server."""

    CRITICAL = "critical"
    WARNING = "warning"


Fact = str | float | None | Sequence[str]
"""A value in the data of an alert."""


class AlertKey(NamedTuple):
    """The identity of an alert, while its text changes."""

    service: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that an operator should see and that is not a decision, such as a failing source.

    ``service`` is empty for one of the whole daemon. ``kind`` is a fixed word for machines (``source``, ``unresolved``,
    ``ipvs``, …), ``text`` a sentence for people. ``subject`` distinguishes alerts of one kind and service: a host, a peer, a file.
    ``since`` is the monotonic time, in seconds, of its beginning; with ``None``, :class:`pybal.status.alert_times.AlertTimes`
    sets the time at which it was first seen. ``data`` has the facts behind the text, also the names that the text omits.
    """

    service: str
    kind: str
    text: str
    severity: Severity = field(default=Severity.WARNING, kw_only=True)
    subject: str = field(default="", kw_only=True, compare=False)
    since: float | None = field(default=None, kw_only=True, compare=False)
    data: Mapping[str, Fact] = field(default_factory=lambda: MappingProxyType({}), kw_only=True, compare=False)

    @property
    def key(self) -> AlertKey:
        return AlertKey(self.service, self.kind, self.subject)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All pools at one moment, by the name of their service in the order of the configuration.

    ``could_not_depool`` counts, for each service, the servers that went down and had to stay. ``alerts`` can be iterated
    once only: they are computed during the iteration, because that takes longer than the rest; ``None`` is between two parts of this
    work. ``since`` returns the monotonic
    time at which an alert was first seen, in seconds.
    """

    pools: Mapping[str, Pool]
    could_not_depool: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    alerts: Iterable[Alert | None] = ()
    since: Callable[[AlertKey], float | None] = lambda _key: None
