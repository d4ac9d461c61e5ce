"""The kernel's IPVS table as values: services, their destinations, and the operations that change them.

Pure. The numbers are those of linux/ip_vs.h. A *service* here is IPVS's virtual service and a *destination* its entry
for a server. :func:`entry` makes both from what :mod:`pybal.core.model` calls a service and from the addresses wanted for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address
from types import MappingProxyType

from pybal.core.model import Address, IPProtocol
from pybal.core.model import Service as Configured

TCP, UDP, SCTP = 6, 17, 132
MAX_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Key:
    """What identifies a service: an IP protocol number, an address and a port."""

    protocol: int
    address: Address
    port: int

    @property
    def ipv6(self) -> bool:
        return isinstance(self.address, IPv6Address)


@dataclass(frozen=True, slots=True)
class Mark:
    """What identifies a service of the other kind: a firewall mark of one IP version. Never ours, but readable."""

    mark: int
    ipv6: bool = False


ServiceKey = Key | Mark
Endpoint = tuple[Address, int]


class Flags(IntFlag):
    """Flags of a service; what SCHED1 to SCHED3 mean depends on its scheduler."""

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
    """That clients keep their server, for ``timeout`` seconds, by the first ``netmask`` bits of their address.

    We never ask for it; it is here so that a service that has it is seen to differ from ours.
    """

    timeout: int
    netmask: int
    engine: str = ""


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A service as the kernel knows it, without its destinations. ``flags`` are within :data:`OWN_FLAGS`."""

    key: ServiceKey
    scheduler: str
    flags: Flags = NO_FLAGS
    persistence: Persistence | None = None


class Forward(IntEnum):
    """How packets get to a destination."""

    MASQUERADE = 0
    LOCAL = 1
    TUNNEL = 2
    ROUTE = 3
    BYPASS = 4


class Encapsulation(IntEnum):
    """What a tunnel wraps packets in."""

    IPIP = 0
    GUE = 1
    GRE = 2


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The details of a tunnel. We make plain IPIP only."""

    encapsulation: Encapsulation = Encapsulation.IPIP
    port: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """An entry of a service. ``weight`` is 0 (no new connections) to 2^31-1; ``tunnel`` counts with TUNNEL only."""

    address: Address
    port: int
    weight: int = 1
    forward: Forward = Forward.ROUTE
    upper: int = 0
    lower: int = 0
    tunnel: Tunnel = Tunnel()

    @property
    def endpoint(self) -> Endpoint:
        """What identifies it among the destinations of its service."""
        return self.address, self.port


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A service with its destinations."""

    service: VirtualService
    destinations: Mapping[Endpoint, Destination] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def serves(self) -> bool:
        """Whether a destination takes new connections."""
        return any(destination.weight for destination in self.destinations.values())


Table = Mapping[ServiceKey, TableEntry]


class Command(IntEnum):
    """The changes the kernel understands; the values are its own."""

    ADD_SERVICE = 1
    EDIT_SERVICE = 2
    DELETE_SERVICE = 3
    ADD = 5
    EDIT = 6
    DELETE = 7


@dataclass(frozen=True, slots=True)
class Op:
    """One change of the table. ``destination`` is set for ADD, EDIT and DELETE."""

    command: Command
    service: VirtualService
    destination: Destination | None = None

    @property
    def key(self) -> ServiceKey:
        """The service it is about."""
        return self.service.key


@dataclass(frozen=True, slots=True)
class Failure:
    """That the kernel, or we ourselves, refused an operation: ``errno`` and the reason in words."""

    op: Op
    errno: int
    reason: str


def key_of(service: Configured) -> Key:
    """Return what identifies a configured service in the table."""
    return Key(TCP if service.protocol is IPProtocol.TCP else UDP, service.vip, service.port)


def entry(service: Configured, weights: Mapping[Address, int]) -> TableEntry:
    """Return what the table should hold for a configured service with destinations at these addresses.

    A flag that no scheduler has raises ValueError.
    """
    flags = Flags.ONE_PACKET if service.one_packet else NO_FLAGS
    for name in service.scheduler_flags:
        if name not in SCHEDULER_FLAGS:
            raise ValueError(f"scheduler flag {name}, wanted one of {', '.join(SCHEDULER_FLAGS)}")
        flags |= SCHEDULER_FLAGS[name]
    forward = Forward.TUNNEL if service.tunneling else Forward.ROUTE
    destinations = [Destination(address, service.port, weight, forward) for address, weight in weights.items()]
    return TableEntry(
        VirtualService(key_of(service), service.scheduler, flags),
        MappingProxyType({destination.endpoint: destination for destination in destinations}),
    )


def drained(entry: TableEntry) -> TableEntry:
    """Return the same service with all weights 0: it takes no new connections."""
    quiet = {endpoint: replace(each, weight=0) for endpoint, each in entry.destinations.items()}
    return TableEntry(entry.service, MappingProxyType(quiet))


def refusal(op: Op, *, loopback: bool = False) -> str | None:
    """Return why an addition or edit makes no sense although the kernel would take it; ``None`` when it does.

    ``loopback`` lets destinations on the loopback network pass: where the servers of a demonstration live.
    """
    if op.command in (Command.DELETE_SERVICE, Command.DELETE):
        return None
    if isinstance(op.key, Key) and op.key.protocol not in (TCP, UDP):
        return f"protocol {op.key.protocol}, wanted TCP or UDP"
    return None if op.destination is None else _destination_refusal(op.key, op.destination, loopback=loopback)


def _destination_refusal(key: ServiceKey, destination: Destination, *, loopback: bool) -> str | None:
    address = destination.address
    port = key.port if isinstance(key, Key) else 0
    if destination.forward in (Forward.ROUTE, Forward.TUNNEL) and destination.port != port:
        return f"port {destination.port}, wanted the service's, {port}: the packets arrive unchanged"
    if address.is_loopback and not loopback:
        return f"{address} is a loopback address"
    if address.is_unspecified:
        return f"{address} is not the address of a host"
    if address.is_multicast:
        return f"{address} is a multicast address"
    if not 0 <= destination.weight <= MAX_U32:
        return f"weight {destination.weight}, wanted 0 to {2**31 - 1}"
    return None
