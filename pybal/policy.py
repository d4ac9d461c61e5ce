"""Which servers of a pool are in the wanted set: a pure function from a pool and an event to the new pool.

With total = members and serving = servers up and eligible, the floor is ``depool-threshold`` x total, and at least 1
unless the threshold is 0. On every transition of any kind (result, list, address, configuration):

* a server up and eligible is pooled; one not eligible never is;
* a server that goes down leaves only if the servers still serving reach the floor, else it stays, *forced*;
* while fewer than the floor are pooled, eligible servers are forced in: those pooled before, then those not known to
  be down, each in the order of the source;
* once the servers serving reach the floor, forced ones leave;
* an unknown server that is pooled stays until something conclusive is said of it.

The invariant is ``pooled >= min(floor, eligible)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto
from itertools import islice
from math import ceil
from types import MappingProxyType

from pybal.model import Address, Health, Member, Placement, Pool, Report, Server, Service


@dataclass(frozen=True, slots=True)
class Adopted:
    """The kernel was found to hold these addresses, with these weights, before we did anything."""

    held: Mapping[Address, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """The pool source delivered the whole list of members."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Names were looked up, by host; ``None`` says that the name has no address, not that the lookup failed."""

    addresses: Mapping[str, Address | None]


@dataclass(frozen=True, slots=True)
class Reported:
    """A monitor came to a conclusion about a server."""

    host: str
    monitor: str
    report: Report


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """The operator changed the service: threshold, monitors or scheduler. Its key must be the same."""

    service: Service


Event = Adopted | Listed | Resolved | Reported | Reconfigured


def step(pool: Pool, event: Event) -> Pool:
    """Return the pool after ``event``. Reports and addresses of hosts not in the pool are ignored."""
    match event:
        case Adopted(held):
            return replace(pool, held=MappingProxyType(dict(held)))
        case Listed(members):
            pool = replace(pool, listed=True, servers=_merge(pool, members))
        case Resolved(addresses):
            pool = _locate(pool, addresses)
        case Reported(host, monitor, report):
            server = pool.servers.get(host)
            if server is None or monitor not in server.reports:
                return pool
            server = replace(server, reports=MappingProxyType({**server.reports, monitor: report}))
            pool = replace(pool, servers=MappingProxyType({**pool.servers, host: server}))
        case Reconfigured(service):
            pool = replace(pool, service=service, servers=_remonitor(pool, service))
    return _settle(pool)


def floor(pool: Pool) -> int:
    """Return how many servers must stay pooled, whatever their health: an exact ceiling, 0.66 x 50 is 33."""
    threshold = Decimal(str(pool.service.depool_threshold))
    return max(1, ceil(threshold * len(pool.servers))) if threshold else 0


def serving(pool: Pool) -> int:
    """Return how many servers are up and eligible."""
    return sum(server.serving for server in pool.servers.values())


def can_depool(pool: Pool) -> bool:
    """Return whether a server that has just gone down may leave the wanted set."""
    return serving(pool) >= floor(pool)


def arithmetic(pool: Pool) -> str:
    """Return the numbers behind every decision on the pool: ``serving 7 of 16, floor 8``."""
    return f"serving {serving(pool)} of {len(pool.servers)}, floor {floor(pool)}"


def too_small(pool: Pool) -> bool:
    """Return whether the threshold forbids that even one server of several is depooled (PyBal 1.15's formula)."""
    total = len(pool.servers)
    return total > 1 and total < total * Decimal(str(pool.service.depool_threshold)) + 1


def wanted(pool: Pool) -> Mapping[Address, int]:
    """Return the addresses that the kernel should hold, with their weights.

    Where two hosts share an address the first in the order of the source counts. Addresses adopted from the kernel
    stay while there are enabled members whose names were never looked up successfully, one for each of these.
    """
    result: dict[Address, int] = {}
    for server in pool.servers.values():
        if server.address is not None and server.pooled:
            result.setdefault(server.address, server.member.weight)
    awaited = sum(s.member.enabled and s.address is None and not s.nowhere for s in pool.servers.values())
    unclaimed = (item for item in pool.held.items() if item[0] not in result)
    result.update(islice(unclaimed, awaited))
    return MappingProxyType(result)


def _merge(pool: Pool, members: tuple[Member, ...]) -> Mapping[str, Server]:
    silent = dict.fromkeys(pool.service.monitors)
    return MappingProxyType(
        {
            member.host: replace(known, member=member)
            if (known := pool.servers.get(member.host))
            else Server(member, MappingProxyType(silent))
            for member in members
        }
    )


def _locate(pool: Pool, addresses: Mapping[str, Address | None]) -> Pool:
    """Give servers their addresses. Reports on the old address say nothing of the new one; a lost name keeps it."""
    servers = dict(pool.servers)
    held = dict(pool.held)
    for host, address in addresses.items():
        server = servers.get(host)
        if server is None or server.address == address is not None:
            continue
        if address is None:
            servers[host] = replace(server, nowhere=server.address is None)
            continue
        claimed = held.pop(address, None) is not None and server.member.enabled
        servers[host] = replace(
            server,
            address=address,
            nowhere=False,
            reports=MappingProxyType(dict.fromkeys(server.reports)),
            placement=Placement.POOLED if claimed else server.placement,
        )
    return replace(pool, servers=MappingProxyType(servers), held=MappingProxyType(held))


def _remonitor(pool: Pool, service: Service) -> Mapping[str, Server]:
    return MappingProxyType(
        {
            host: replace(
                server, reports=MappingProxyType({name: server.reports.get(name) for name in service.monitors})
            )
            for host, server in pool.servers.items()
        }
    )


def _settle(pool: Pool) -> Pool:
    """Place every server anew, from its health and where it stood before."""
    placements = {host: _placement(server, pool.service) for host, server in pool.servers.items()}
    least = floor(pool)
    if serving(pool) < least:
        candidates = [s for host, s in pool.servers.items() if s.eligible and placements[host] is Placement.OUT]
        stay = [s.host for s in candidates if s.pooled]
        # Stable, so each half keeps the order of the source.
        enter = [s.host for s in sorted(candidates, key=lambda s: s.health is Health.DOWN) if not s.pooled]
        placements.update(dict.fromkeys(stay, Placement.FORCED))
        missing = least - sum(placement is not Placement.OUT for placement in placements.values())
        placements.update(dict.fromkeys(enter[: max(0, missing)], Placement.FORCED))
    servers = {
        host: server if server.placement is placements[host] else replace(server, placement=placements[host])
        for host, server in pool.servers.items()
    }
    return replace(pool, servers=MappingProxyType(servers))


def _placement(server: Server, service: Service) -> Placement:
    """Where a server belongs by itself, without regard to the floor."""
    if not server.eligible:
        return Placement.OUT
    match server.health:
        case Health.UP:
            return Placement.POOLED
        case Health.UNKNOWN if server.placement is Placement.POOLED or service.initially_up:
            return Placement.POOLED
        case _:
            return Placement.OUT


class Kind(Enum):
    """What can have happened to a server between two states of its pool."""

    NEW = auto()
    MERGED = auto()
    REMOVED = auto()
    MOVED = auto()
    NOWHERE = auto()
    SAID_DOWN = auto()
    UP = auto()
    NOT_DEPOOLED = auto()
    LEFT_POOLED = auto()
    FORCED_IN = auto()
    DEPOOLED = auto()
    REPOOLED = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to a server, for the log and the counters.

    ``server`` is its state afterwards, but for REMOVED and SAID_DOWN, which speak of the state before. ``monitor`` and
    ``reason`` are set for SAID_DOWN only.
    """

    kind: Kind
    server: Server
    monitor: str = ""
    reason: str = ""


def changes(before: Pool, after: Pool) -> Iterator[Change]:
    """Yield what happened between two states of a pool, in an order that reads as cause and effect."""
    for host, server in before.servers.items():
        if host not in after.servers:
            yield Change(Kind.REMOVED, server)
    for host, server in after.servers.items():
        known = before.servers.get(host)
        if known is None:
            yield Change(Kind.NEW, server)
            known = Server(server.member, MappingProxyType(dict.fromkeys(server.reports)))
        if server is not known:
            yield from _server_changes(known, server)


def _server_changes(old: Server, new: Server) -> Iterator[Change]:
    if new.member != old.member:
        yield Change(Kind.MERGED, new)
    if old.address is not None and new.address != old.address:
        yield Change(Kind.MOVED, new)
    if new.nowhere and not old.nowhere:
        yield Change(Kind.NOWHERE, new)
    for monitor, report in new.reports.items():
        said = old.reports.get(monitor)
        if report is not None and not report.up and (said is None or said.up or said.reason != report.reason):
            yield Change(Kind.SAID_DOWN, old, monitor, report.reason)
    came_up = new.health is Health.UP is not old.health
    if came_up:
        yield Change(Kind.UP, new)
    yield from _placement_changes(old, new, came_up=came_up)


def _placement_changes(old: Server, new: Server, *, came_up: bool) -> Iterator[Change]:
    match old.placement, new.placement:
        case Placement.OUT, Placement.POOLED:
            yield Change(Kind.REPOOLED, new)
        case Placement.OUT, Placement.FORCED:
            yield Change(Kind.FORCED_IN, new)
        case ((Placement.POOLED | Placement.FORCED), Placement.OUT):
            yield Change(Kind.DEPOOLED, new)
        case Placement.FORCED, Placement.POOLED if came_up:
            yield Change(Kind.LEFT_POOLED, new)
        case _ if new.pooled_down and not old.pooled_down:
            yield Change(Kind.NOT_DEPOOLED, new)
