"""The kernel's IPVS table as values: services, their destinations, and operations on them.

Pure. The numbers are those of linux/ip_vs.h. A *service* here is IPVS's virtual service and a *destination* its entry
for a server. :func:`entry` makes both from a service of :mod:`pybal.core.model` and the wanted addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import NamedTuple

from pybal.core.model import Address, IPProtocol
from pybal.core.model import Service as Configured
from pybal.core.steps import Steps, finish, parts

TCP, UDP, SCTP = 6, 17, 132
MAX_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a service: IP protocol number, address and port."""

    protocol: int
    address: Address
    port: int

    @property
    def ipv6(self) -> bool:
        return isinstance(self.address, IPv6Address)


@dataclass(frozen=True, slots=True)
class Mark:
    """The key of a firewall-mark service: the mark and the IP version. PyBal reads such services only."""

    mark: int
    ipv6: bool = False


ServiceKey = Key | Mark
Endpoint = tuple[Address, int]


class Flags(IntFlag):
    """Flags of a service; the meaning of SCHED1 to SCHED3 depends on its scheduler."""

    PERSISTENT = 1
    HASHED = 2
    ONE_PACKET = 4
    SCHED1 = 8
    SCHED2 = 16
    SCHED3 = 32


NO_FLAGS = Flags(0)
OWN_FLAGS = Flags.ONE_PACKET | Flags.SCHED1 | Flags.SCHED2 | Flags.SCHED3

SCHEDULER_FLAGS: Mapping[str, Flags] = MappingProxyType(
    {
        "sh-fallback": Flags.SCHED1,
        "sh-port": Flags.SCHED2,
        "mh-fallback": Flags.SCHED1,
        "mh-port": Flags.SCHED2,
        "flag-1": Flags.SCHED1,
        "flag-2": Flags.SCHED2,
        "flag-3": Flags.SCHED3,
    }
)


@dataclass(frozen=True, slots=True)
class Persistence:
    """Client persistence for ``timeout`` seconds by the first ``netmask`` bits of the client address.

    PyBal never sets it; it exists so that a service with persistence differs from ours.
    """

    timeout: int
    netmask: int
    engine: str = ""


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A service in the kernel, without its destinations. ``flags`` are within :data:`OWN_FLAGS`."""

    key: ServiceKey
    scheduler: str
    flags: Flags = NO_FLAGS
    persistence: Persistence | None = None


class Forward(IntEnum):
    """The forwarding method of a destination."""

    MASQUERADE = 0
    LOCAL = 1
    TUNNEL = 2
    ROUTE = 3
    BYPASS = 4


class Encapsulation(IntEnum):
    """The encapsulation of a tunnel."""

    IPIP = 0
    GUE = 1
    GRE = 2


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The options of a tunnel. PyBal sets plain IPIP only."""

    encapsulation: Encapsulation = Encapsulation.IPIP
    port: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination. ``weight`` is 0 (no new connections) to 2^31-1; ``tunnel`` is for TUNNEL only."""

    address: Address
    port: int
    weight: int = 1
    forward: Forward = Forward.ROUTE
    upper: int = 0
    lower: int = 0
    tunnel: Tunnel = Tunnel()

    @property
    def endpoint(self) -> Endpoint:
        """The key among the destinations of its service."""
        return self.address, self.port


Destinations = MappingProxyType[Endpoint, Destination] | dict[Endpoint, Destination]


class Traffic(NamedTuple):
    """The traffic of a destination as the kernel counts it.

    ``active`` and ``inactive`` are present connections; ``connections``, and the ``packets`` and ``bytes`` from clients, are
    counted since the destination was added.
    """

    active: int
    inactive: int
    connections: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A service with its destinations.

    ``traffic`` is that of its destinations if it was just read from a kernel that counts it, else empty.
    """

    service: VirtualService
    destinations: Destinations = field(default_factory=lambda: MappingProxyType({}))
    traffic: Sequence[tuple[Endpoint, Traffic]] = field(default=(), compare=False, repr=False)

    @property
    def serves(self) -> bool:
        """True if at least one destination takes new connections."""
        return any(destination.weight for destination in self.destinations.values())


Table = Mapping[ServiceKey, TableEntry]


class Command(IntEnum):
    """The commands that change the table; those above 0 are the kernel's (linux/ip_vs.h).

    REPLACE is a DELETE and an ADD of one destination in one send: connections go on as with an EDIT, but the scheduler forgets
    the last weight. An EDIT to weight 0 leaves a destination in the lookup table of mh, which refuses its clients.
    """

    ADD_SERVICE = 1
    EDIT_SERVICE = 2
    DELETE_SERVICE = 3
    ADD = 5
    EDIT = 6
    DELETE = 7
    REPLACE = -1


@dataclass(frozen=True, slots=True)
class Op:
    """One change of the table. ``destination`` is set for ADD, EDIT, REPLACE and DELETE."""

    command: Command
    service: VirtualService
    destination: Destination | None = None

    @property
    def requests(self) -> tuple[Op, ...]:
        """The requests to the kernel: one, or two for REPLACE."""
        if self.command is not Command.REPLACE:
            return (self,)
        return replace(self, command=Command.DELETE), replace(self, command=Command.ADD)

    @property
    def key(self) -> ServiceKey:
        """The key of its service."""
        return self.service.key


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation refused by the kernel or by :func:`refusal`: ``errno`` and the reason."""

    op: Op
    errno: int
    reason: str


def key_of(service: Configured) -> Key:
    """Return the key of a configured service."""
    return Key(TCP if service.protocol is IPProtocol.TCP else UDP, service.vip, service.port)


def entry(service: Configured, weights: Mapping[Address, int]) -> TableEntry:
    """Return the entry for a configured service with destinations at these addresses.

    Raises ValueError for an unknown scheduler flag.
    """
    return finish(entry_in_steps(service, weights))


def entry_in_steps(service: Configured, weights: Mapping[Address, int]) -> Steps[TableEntry]:
    """Return what :func:`entry` returns."""
    virtual, destinations = _virtual(service), dict[Endpoint, Destination]()
    for part in parts(weights.items()):
        for address, weight in part:
            destinations[address, service.port] = _destination(service, address, weight)
        yield
    return TableEntry(virtual, MappingProxyType(destinations))


def _virtual(service: Configured) -> VirtualService:
    flags = Flags.ONE_PACKET if service.one_packet else NO_FLAGS
    for name in service.scheduler_flags:
        if name not in SCHEDULER_FLAGS:
            raise ValueError(f"unknown scheduler flag {name} (known: {', '.join(SCHEDULER_FLAGS)})")
        flags |= SCHEDULER_FLAGS[name]
    return VirtualService(key_of(service), service.scheduler, flags)


def amended(entry: TableEntry, service: Configured, changes: Mapping[Address, int | None]) -> Steps[TableEntry]:
    """Return the entry of a service with these weights changed; ``None`` removes the destination.

    The forwarding must be that of ``entry``. Raises ValueError for an unknown scheduler flag.
    """
    virtual = _virtual(service)
    destinations = entry.destinations.copy()  # dict() would hash each address again: 4 ms instead of 25 µs for 5,000
    for part in parts(changes.items()):
        for address, weight in part:
            if weight is None:
                destinations.pop((address, service.port), None)
            else:
                destinations[address, service.port] = _destination(service, address, weight)
        yield
    return TableEntry(virtual, MappingProxyType(destinations))


def _destination(service: Configured, address: Address, weight: int) -> Destination:
    return Destination(address, service.port, weight, Forward.TUNNEL if service.tunneling else Forward.ROUTE)


def drained(entry: TableEntry) -> TableEntry:
    """Return the service with all weights 0, so that it takes no new connections."""
    quiet = {endpoint: replace(each, weight=0) for endpoint, each in entry.destinations.items()}
    return TableEntry(entry.service, MappingProxyType(quiet))


def refusal(op: Op, *, loopback: bool = False) -> str | None:
    """Return why an addition or edit is invalid although the kernel would accept it, or ``None``.

    ``loopback`` accepts destinations on the loopback network, for the demonstration.
    """
    if op.command in (Command.DELETE_SERVICE, Command.DELETE):
        return None
    if isinstance(op.key, Key) and op.key.protocol not in (TCP, UDP):
        return f"protocol {op.key.protocol}, expected TCP or UDP"
    return None if op.destination is None else _destination_refusal(op.key, op.destination, loopback=loopback)


def _destination_refusal(key: ServiceKey, destination: Destination, *, loopback: bool) -> str | None:
    address = destination.address
    port = key.port if isinstance(key, Key) else 0
    if destination.forward in (Forward.ROUTE, Forward.TUNNEL) and destination.port != port:
        return f"port {destination.port}, expected the service's port {port} (direct routing and tunnels keep the port)"
    if address.is_loopback and not loopback:
        return f"{address} is a loopback address"
    if address.is_unspecified:
        return f"{address} is the unspecified address"
    if address.is_multicast:
        return f"{address} is a multicast address"
    if not 0 <= destination.weight <= MAX_U32:
        return f"weight {destination.weight}, expected 0 to {2**31 - 1}"
    return None
