"""Which servers of a pool are in the wanted set: a pure function from a pool and an event to the new pool.

With total = members and serving = servers up and eligible, the floor is ``depool-threshold`` x total, rounded up, and
at least 1 unless the threshold is 0. On every transition of any kind (result, list, address, configuration):

* a server up and eligible is pooled; one not eligible never is;
* a server that goes down leaves only if the servers still serving reach the floor, else it stays, *forced*;
* while fewer than the floor are pooled, eligible servers enter: unknown ones first, then those that are down, which are
  *forced*, each in the order of the source;
* once the servers serving reach the floor, forced ones leave;
* an unknown server that is pooled stays until something conclusive is said of it;
* a server that is up stays up when a new configuration has more watch it, until those say otherwise;
* with ``suspect-check = hold``, servers that begin to fail a check alike and together are pooled as long as nothing else
  is said against them (:mod:`pybal.core.correlated`).

The invariant is ``pooled >= min(floor, eligible)``.

What the kernel held when we started is *held*: the servers found at those addresses are pooled and unknown. While the
list has not come, or the name of an enabled member awaits its first lookup, every address not yet claimed stays: it
may be that member's, and for the floor each such member counts with one of them. After that what is left goes at once.
A list that leaves no eligible server holds those that it removes in the same way, or a resolver that is down would
empty the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from operator import is_
from types import MappingProxyType

from pybal.core.correlated import suspicions
from pybal.core.model import Address, Health, Member, Placement, Pool, Report, Server, Service, SuspectCheck


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
    """Return the pool after ``event``: the same object if nothing changed, and so for each of its servers.

    Hosts that are not in the pool and monitors that are not of the service are ignored.
    """
    match event:
        case Adopted(held):
            facts = replace(pool, held=MappingProxyType(dict(held)))
        case Listed(members):
            servers = _merge(pool, members)
            facts = replace(pool, listed=True, servers=servers, held=_bridge(pool, servers))
        case Resolved(addresses):
            facts = replace(pool, servers=_locate(pool, addresses))
        case Reported(host, monitor, report):
            facts = replace(pool, servers=_note(pool, host, monitor, report))
        case Reconfigured(service):
            facts = replace(pool, service=service, servers=_remonitor(pool, service))
    after = _settle(_excuse(_claim(facts)))
    return pool if _same(pool, after) else after


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


def too_small(pool: Pool) -> bool:
    """Return whether the threshold forbids that even one server of several is depooled (PyBal 1.15's formula)."""
    total = len(pool.servers)
    return total > 1 and total < total * Decimal(str(pool.service.depool_threshold)) + 1


def arithmetic(pool: Pool) -> str:
    """Return the numbers behind the decisions, for people: ``serving 7 of 16, floor 8, 1 forced``."""
    forced = sum(server.placement is Placement.FORCED for server in pool.servers.values())
    return f"serving {serving(pool)} of {len(pool.servers)}, floor {floor(pool)}, {forced} forced"


def wanted(pool: Pool) -> Mapping[Address, int]:
    """Return the addresses that the kernel should hold, with their weights.

    Where several pooled servers share an address, the weight of the first in the order of the source counts.
    """
    result: dict[Address, int] = {}
    for server in pool.servers.values():
        if server.placement is not Placement.OUT and server.address is not None:
            result.setdefault(server.address, server.member.weight)
    result.update(pool.held)
    return MappingProxyType(result)


def _merge(pool: Pool, members: tuple[Member, ...]) -> Mapping[str, Server]:
    silent = MappingProxyType(dict.fromkeys(pool.service.monitors))
    servers = {}
    for member in members:
        known = pool.servers.get(member.host) or Server(member, silent)
        servers[member.host] = known if known.member == member else replace(known, member=member)
    return MappingProxyType(servers)


def _bridge(pool: Pool, servers: Mapping[str, Server]) -> Mapping[Address, int]:
    """Return what is held when a list leaves no eligible server: those that leave with it serve until names resolve."""
    if any(server.eligible for server in servers.values()):
        return pool.held
    pooled = (server for server in pool.servers.values() if server.pooled)
    return MappingProxyType({**pool.held, **{s.address: s.member.weight for s in pooled if s.address is not None}})


def _locate(pool: Pool, addresses: Mapping[str, Address | None]) -> Mapping[str, Server]:
    """Give servers their addresses. Reports on the old address say nothing of the new one; a lost name keeps it.

    A server stands where its new address stood, if the pool had that already, else where it stood itself.
    """
    servers = dict(pool.servers)
    # Sorted: where servers share an address, it stands where the pooled one does.
    stood = {s.address: s.placement for s in sorted(servers.values(), key=lambda s: s.pooled) if s.eligible}
    for host in addresses.keys() & servers.keys():
        server, address = servers[host], addresses[host]
        if address is None:
            servers[host] = server if server.ready or server.unresolvable else replace(server, unresolvable=True)
        elif address != server.address:
            servers[host] = replace(
                server,
                address=address,
                unresolvable=False,
                reports=MappingProxyType(dict.fromkeys(server.reports)),
                pending_monitors=frozenset(),
                placement=stood.get(address, server.placement),
            )
    return MappingProxyType(servers)


def _note(pool: Pool, host: str, monitor: str, report: Report) -> Mapping[str, Server]:
    server = pool.servers.get(host)
    if server is None or monitor not in server.reports or server.reports[monitor] == report:
        return pool.servers
    reports = MappingProxyType({**server.reports, monitor: report})
    server = replace(server, reports=reports, pending_monitors=server.pending_monitors - {monitor})
    return MappingProxyType({**pool.servers, host: server})


def _within_reach(pool: Pool, service: Service) -> Mapping[str, Server]:
    """Take from servers the addresses that only a tunnel leads to, once there is none."""
    lost = {
        host: replace(server, address=None, unresolvable=True)
        for host, server in pool.servers.items()
        if server.address and server.address.version != service.vip.version and not service.tunneling
    }
    return MappingProxyType({**pool.servers, **lost}) if lost else pool.servers


def _remonitor(pool: Pool, service: Service) -> Mapping[str, Server]:
    servers = _within_reach(pool, service)
    if service.monitors == pool.service.monitors:
        return servers
    return MappingProxyType({host: _watched(server, service.monitors) for host, server in servers.items()})


def _watched(server: Server, monitors: tuple[str, ...]) -> Server:
    reports = {name: server.reports.get(name) for name in monitors}
    silent = frozenset(name for name, report in reports.items() if report is None)
    pending_monitors = silent if server.health is Health.UP else silent & server.pending_monitors
    return replace(server, reports=MappingProxyType(reports), pending_monitors=pending_monitors)


def _claim(pool: Pool) -> Pool:
    """Pool unknown servers at the addresses held, and let go of what is left once it can be nobody's."""
    if not pool.held:
        return pool
    found = {
        host: replace(server, placement=Placement.POOLED)
        for host, server in pool.servers.items()
        if server.address in pool.held and server.eligible and server.health is Health.UNKNOWN
        if not server.pooled
    }
    claimed = {server.address for server in pool.servers.values()}
    left = {address: weight for address, weight in pool.held.items() if address not in claimed}
    if pool.listed and not _awaited(pool):
        left = {}
    return replace(pool, servers=MappingProxyType({**pool.servers, **found}), held=MappingProxyType(left))


def _awaited(pool: Pool) -> int:
    """Count the enabled members whose names were never looked up with success."""
    return sum(s.member.enabled and not s.ready and not s.unresolvable for s in pool.servers.values())


def _excuse(pool: Pool) -> Pool:
    """With ``suspect-check = hold``: take failures that began together for the check's own, as long as they last."""
    if pool.service.suspect_check is not SuspectCheck.HOLD:
        return pool
    together: dict[str, set[tuple[str, str]]] = {}
    for suspicion in suspicions(pool.servers.values(), pool.service.interval):
        for host in suspicion.hosts:
            together.setdefault(host, set()).add((suspicion.monitor, suspicion.cause))
    changed = {}
    for host, server in pool.servers.items():
        failing = {(monitor, report.cause) for monitor, report in server.reports.items() if report and not report.up}
        suspect_failures = failing & (server.suspect_failures | together.get(host, set()))
        if suspect_failures != server.suspect_failures:
            changed[host] = replace(server, suspect_failures=frozenset(suspect_failures))
    return replace(pool, servers=MappingProxyType({**pool.servers, **changed})) if changed else pool


def _settle(pool: Pool) -> Pool:
    """Place every server anew, from its health and where it stood before."""
    placements, serve = _alone(pool)
    least = floor(pool)
    if serve < least:
        placements.update((server.host, _needed(server)) for server in _lacking(pool, placements, least))
    moved = {
        host: replace(server, placement=placements[host])
        for host, server in pool.servers.items()
        if server.placement is not placements[host]
    }
    return replace(pool, servers=MappingProxyType({**pool.servers, **moved})) if moved else pool


def _alone(pool: Pool) -> tuple[dict[str, Placement], int]:
    """Return where each server belongs by itself, without regard to the floor, and how many are serving."""
    # Looked up once: in Python 3.11 the name of an enumeration's member costs more than all else in the loop.
    up, unknown, out, pooled = Health.UP, Health.UNKNOWN, Placement.OUT, Placement.POOLED
    optimistic = pool.service.initially_up
    placements = {}
    serve = 0
    for host, server in pool.servers.items():
        if not server.eligible:
            placements[host] = out
        elif server.suspect_failures and server.only_suspect_failures:
            placements[host] = pooled
        elif server.health is up:
            placements[host] = pooled
            serve += 1
        elif server.health is unknown and (optimistic or server.placement is not out):
            placements[host] = pooled
        else:
            placements[host] = out
    return placements, serve


def _needed(server: Server) -> Placement:
    """Return how a server is pooled for the sake of the floor: what is unknown then stays like any unknown server."""
    return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED


def _lacking(pool: Pool, placements: Mapping[str, Placement], least: int) -> list[Server]:
    """Return who is pooled beside ``placements``, as fewer than ``least`` are serving."""
    out, down = Placement.OUT, Health.DOWN
    stay: list[Server] = []
    first: list[Server] = []
    last: list[Server] = []
    for host, server in pool.servers.items():
        if server.eligible and placements[host] is out:
            group = stay if server.placement is not out else last if server.health is down else first
            group.append(server)
    pooled = sum(placement is not out for placement in placements.values()) + len(stay)
    missing = least - pooled - (min(len(pool.held), _awaited(pool)) if pool.held else 0)
    return stay + (first + last)[: max(0, missing)]


def _same(before: Pool, after: Pool) -> bool:
    """Tell whether two states of a pool are equal, given that servers are only replaced when they change."""
    return (
        len(before.servers) == len(after.servers)
        and all(map(is_, before.servers.values(), after.servers.values()))
        and (before.service, before.listed, before.held) == (after.service, after.listed, after.held)
    )
