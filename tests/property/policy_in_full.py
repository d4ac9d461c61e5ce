# mypy: ignore-errors
"""The policy in full: places every server and searches every report after every event.

The oracle of ``test_core_policy_in_full``, and the policy as it was before reports were applied at a cost of their
number. Its pools hold plain mappings instead of counted ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil
from operator import is_
from types import MappingProxyType

from pybal.core.correlated import MIN_SERVERS, CorrelatedFailures
from pybal.core.events import Adopted, Event, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import Address, Health, Member, Move, Placement, Pool, Report, Server, Service, SuspectCheck


def step(pool: Pool, event: Event) -> Pool:
    """Return the pool after ``event``: the same object if nothing changed, likewise for each server.

    Hosts outside the pool and monitors of other services are ignored.
    """
    match event:
        case Adopted(held):
            facts = replace(pool, held=MappingProxyType(dict(held)))
        case Listed(members):
            servers = _merge(pool, members)
            facts = replace(pool, listed=True, servers=servers, held=_hold_removed(pool, servers))
        case Resolved(addresses, at):
            facts = replace(pool, servers=_set_addresses(pool, addresses, at))
        case Tried(reports):
            servers = pool.servers
            for each in reports:
                servers = _try(servers, each.host, each.monitor, each.report)
            facts = replace(pool, servers=servers)
        case Overdue(hosts):
            late = {
                host: replace(server, move=replace(server.move, overdue=True))
                for host, server in pool.servers.items()
                if host in hosts and server.move and not server.move.overdue
            }
            facts = replace(pool, servers=MappingProxyType({**pool.servers, **late}))
        case Reported(host, monitor, report):
            facts = replace(pool, servers=_record(pool, host, monitor, report))
        case Reconfigured(service):
            facts = replace(pool, service=service, servers=_set_monitors(pool, service))
    after = _place(_suspect(_claim(facts)))
    return pool if _same(pool, after) else after


def floor(pool: Pool) -> int:
    """Return the number of servers that must stay pooled: an exact ceiling, 0.66 x 50 is 33."""
    threshold = Decimal(str(pool.service.depool_threshold))
    return max(1, ceil(threshold * _total(pool))) if threshold else 0


def _total(pool: Pool) -> int:
    return sum(server.member.weight > 0 for server in pool.servers.values())


def serving(pool: Pool) -> int:
    """Return the number of servers that are up and eligible, with a weight above 0."""
    return sum(s.member.weight > 0 and s.eligible and s.health is Health.UP for s in pool.servers.values())


def arithmetic(pool: Pool) -> str:
    """Return the numbers behind the decisions, for people: ``serving 7 of 16, floor 8, 1 forced``."""
    forced = sum(server.placement is Placement.FORCED for server in pool.servers.values())
    text = f"serving {serving(pool)} of {_total(pool)}, floor {floor(pool)}, {forced} forced"
    disabled = sum(server.member.weight > 0 and not server.member.enabled for server in pool.servers.values())
    text += f", {disabled} disabled" if disabled else ""
    without = sum(not server.member.weight for server in pool.servers.values())
    return text + (f", {without} of weight 0" if without else "")


def wanted(pool: Pool) -> Mapping[Address, int]:
    """Return the addresses that the kernel should hold, with their weights.

    If several pooled servers share an address, the first one of weight above 0, in the order of the source, sets the weight.
    """
    result: dict[Address, int] = {}
    for server in pool.servers.values():
        if server.placement is not Placement.OUT and server.address is not None:
            result[server.address] = result.get(server.address) or server.member.weight
    result.update(pool.held)
    return MappingProxyType(result)


def _merge(pool: Pool, members: tuple[Member, ...]) -> Mapping[str, Server]:
    unreported = MappingProxyType(dict.fromkeys(pool.service.monitors))
    servers = {}
    for member in members:
        known = pool.servers.get(member.host) or Server(member, unreported)
        servers[member.host] = known if known.member == member else replace(known, member=member)
    return MappingProxyType(servers)


def _hold_removed(pool: Pool, servers: Mapping[str, Server]) -> Mapping[Address, int]:
    """Return the addresses held; removed servers stay until names resolve if no other one could serve."""
    if any(server.eligible and server.member.weight for server in servers.values()):
        return pool.held
    kept = {server.address for server in servers.values()}
    removed = (server for server in pool.servers.values() if server.pooled and server.address not in kept)
    return MappingProxyType({**pool.held, **{s.address: s.member.weight for s in removed if s.address is not None}})


def _try(servers: Mapping[str, Server], host: str, monitor: str, report: Report) -> Mapping[str, Server]:
    server = servers.get(host)
    if not server or not server.move or monitor not in server.move.reports:
        return servers
    move = replace(server.move, reports=MappingProxyType({**server.move.reports, monitor: report}))
    return MappingProxyType({**servers, host: _settled(replace(server, move=move))})


def _settled(server: Server) -> Server:
    move = server.move
    if not move or not all(report and report.up for report in move.reports.values()):
        return server
    return _arrived(server)


def _arrived(server: Server) -> Server:
    move = server.move
    return replace(
        server,
        address=move.address,
        reports=move.reports,
        unresolvable=False,
        pending_monitors=frozenset(),
        suspect_failures=frozenset(),
        move=None,
    )


def _set_addresses(pool: Pool, addresses: Mapping[str, Address | None], at: float) -> Mapping[str, Server]:
    """Set the addresses of servers. A new address clears the reports; a lost name keeps its address.

    A pooled server keeps its address until the next one has passed, unless a server that serves is there, the kernel holds it, or
    it swaps. Otherwise it takes the placement of its new address if the pool had that address, else it keeps its own.
    """
    servers = dict(pool.servers)
    before = list(pool.servers.values())
    serve = {s.address for s in before if s.pooled and s.eligible and s.member.weight and s.health is Health.UP}
    present = {s.address for s in before}
    new = {found for host, found in addresses.items() if host in servers and servers[host].address != found}
    # Sorted: if servers share an address, the placement of a pooled one counts.
    placements = {s.address: s.placement for s in sorted(servers.values(), key=lambda s: s.pooled) if s.eligible}
    for host in addresses.keys() & servers.keys():
        server, address = servers[host], addresses[host]
        if address is None:
            lost = not server.ready and not server.unresolvable and not server.move
            servers[host] = replace(server, unresolvable=True) if lost else server
        elif address == server.address:
            servers[host] = replace(server, move=None) if server.move else server
        elif server.move and server.move.address == address:
            pass
        elif (
            (server.pooled if server.address else pool.held and server.member.enabled)
            and server.reports
            and address not in serve
            and address not in pool.held
            and not (server.address in new and address in present)
        ):
            none = MappingProxyType(dict.fromkeys(server.reports))
            if not server.move:
                servers[host] = replace(server, move=Move(address, none, at))
            elif server.move.address != address:
                servers[host] = replace(server, move=replace(server.move, address=address, reports=none))
        else:
            servers[host] = replace(
                server,
                address=address,
                unresolvable=False,
                reports=MappingProxyType(dict.fromkeys(server.reports)),
                pending_monitors=frozenset(),
                move=None,
                placement=placements.get(address, server.placement),
            )
    return MappingProxyType(servers)


def _record(pool: Pool, host: str, monitor: str, report: Report) -> Mapping[str, Server]:
    server = pool.servers.get(host)
    if server is None or monitor not in server.reports:
        return pool.servers
    report = report.after(server.reports[monitor])
    if server.reports[monitor] == report:
        return pool.servers
    reports = MappingProxyType({**server.reports, monitor: report})
    server = replace(server, reports=reports, pending_monitors=server.pending_monitors - {monitor})
    return MappingProxyType({**pool.servers, host: server})


def _drop_unreachable(pool: Pool, service: Service) -> Mapping[str, Server]:
    """Remove addresses of the other family from servers if the service has no tunnel."""
    lost = {
        host: replace(server, address=None, unresolvable=True, move=None)
        for host, server in pool.servers.items()
        if (there := server.address or (server.move and server.move.address))
        and there.version != service.vip.version
        and not service.tunneling
    }
    return MappingProxyType({**pool.servers, **lost}) if lost else pool.servers


def _set_monitors(pool: Pool, service: Service) -> Mapping[str, Server]:
    servers = _drop_unreachable(pool, service)
    if service.monitors == pool.service.monitors:
        return servers
    return MappingProxyType({host: _with_monitors(server, service.monitors) for host, server in servers.items()})


def _with_monitors(server: Server, monitors: tuple[str, ...]) -> Server:
    reports = {name: server.reports.get(name) for name in monitors}
    unreported = frozenset(name for name, report in reports.items() if report is None)
    pending_monitors = unreported if server.health is Health.UP else unreported & server.pending_monitors
    move = server.move
    if move:
        move = replace(move, reports=MappingProxyType({name: move.reports.get(name) for name in monitors}))
    reports = MappingProxyType(reports)
    return _settled(replace(server, reports=reports, pending_monitors=pending_monitors, move=move))


def _claim(pool: Pool) -> Pool:
    """Pool unknown servers at held addresses; drop the other addresses once all members are looked up."""
    if not pool.held:
        return _arrive(pool)
    found = {
        host: replace(server, placement=Placement.POOLED)
        for host, server in pool.servers.items()
        if server.address in pool.held and server.eligible and server.health is Health.UNKNOWN
        if not server.pooled
    }
    claimed = {server.address for server in pool.servers.values()}
    left = {address: weight for address, weight in pool.held.items() if address not in claimed}
    awaited = [server for server in pool.servers.values() if server.member.enabled and not server.ready]
    late = all(server.move and server.move.overdue for server in awaited)
    if pool.listed and (not awaited or (late and serving(pool) >= floor(pool))):
        left = {}
    pool = replace(pool, servers=MappingProxyType({**pool.servers, **found}), held=MappingProxyType(left))
    return pool if left else _arrive(pool)


def _arrive(pool: Pool) -> Pool:
    """Give servers without an address their next one, because no held address is left."""
    arrived = {host: _arrived(server) for host, server in pool.servers.items() if server.move and not server.ready}
    return replace(pool, servers=MappingProxyType({**pool.servers, **arrived}))


def _suspect(pool: Pool) -> Pool:
    """Attribute correlated failures to the check, as long as they last (``suspect-check = hold``)."""
    if pool.service.suspect_check is not SuspectCheck.HOLD:
        suspects = {
            host: replace(s, suspect_failures=frozenset()) for host, s in pool.servers.items() if s.suspect_failures
        }
        return replace(pool, servers=MappingProxyType({**pool.servers, **suspects})) if suspects else pool
    together: dict[str, set[tuple[str, str]]] = {}
    for failures in correlated_failures(pool.servers.values(), pool.service.interval):
        for host in failures.hosts:
            together.setdefault(host, set()).add((failures.monitor, failures.cause))
    changed = {}
    for host, server in pool.servers.items():
        failing = {(monitor, report.cause) for monitor, report in server.reports.items() if report and not report.up}
        suspect_failures = failing & (server.suspect_failures | together.get(host, set()))
        if suspect_failures != server.suspect_failures:
            changed[host] = replace(server, suspect_failures=frozenset(suspect_failures))
    return replace(pool, servers=MappingProxyType({**pool.servers, **changed})) if changed else pool


def _place(pool: Pool) -> Pool:
    """Set the placement of every server from its health and its last placement."""
    placements, serving_count = _place_without_floor(pool)
    least = floor(pool)
    if serving_count < least:
        placements.update(
            (server.host, _floor_placement(server)) for server in _needed_for_floor(pool, placements, least)
        )
    moved = {
        host: replace(server, placement=placements[host])
        for host, server in pool.servers.items()
        if server.placement is not placements[host]
    }
    return replace(pool, servers=MappingProxyType({**pool.servers, **moved})) if moved else pool


def _place_without_floor(pool: Pool) -> tuple[dict[str, Placement], int]:
    """Return the placement of each server without regard to the floor, and the number of serving servers."""
    # Local names: in Python 3.11 the lookup of an enum member costs more than the rest of the loop.
    up, unknown, out, pooled = Health.UP, Health.UNKNOWN, Placement.OUT, Placement.POOLED
    optimistic = pool.service.initially_up
    placements = {}
    serving_count = 0
    for host, server in pool.servers.items():
        if not server.eligible:
            placements[host] = out
        elif server.suspect_failures and server.only_suspect_failures:
            placements[host] = pooled
        elif server.health is up:
            placements[host] = pooled
            serving_count += server.member.weight > 0
        elif server.health is unknown and (optimistic or server.placement is not out):
            placements[host] = pooled
        else:
            placements[host] = out
    return placements, serving_count


def _floor_placement(server: Server) -> Placement:
    """Return the placement of a server that the floor needs; only one that is down is forced."""
    return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED


def _needed_for_floor(pool: Pool, placements: Mapping[str, Placement], least: int) -> list[Server]:
    """Return the servers to pool in addition because fewer than ``least`` are serving."""
    out, down = Placement.OUT, Health.DOWN
    stay: list[Server] = []
    first: list[Server] = []
    last: list[Server] = []
    for host, server in pool.servers.items():
        if server.eligible and placements[host] is out:
            if server.placement is not out:
                stay.append(server)
            elif server.member.weight:
                (last if server.health is down else first).append(server)
    kept = {server.host for server in stay}
    pooled = sum(
        server.member.weight > 0 and (placements[host] is not out or host in kept)
        for host, server in pool.servers.items()
    )
    awaited = sum(s.member.enabled and s.member.weight > 0 and not s.ready for s in pool.servers.values())
    missing = least - pooled - min(sum(weight > 0 for weight in pool.held.values()), awaited)
    return stay + (first + last)[: max(0, missing)]


def _same(before: Pool, after: Pool) -> bool:
    """Return whether two states of a pool are equal; unchanged servers are the same objects."""
    return (
        len(before.servers) == len(after.servers)
        and all(map(is_, before.servers.values(), after.servers.values()))
        and (before.service, before.listed, before.held) == (after.service, after.listed, after.held)
    )


@dataclass(frozen=True, slots=True, order=True)
class _Failure:
    at: float
    host: str
    reason: str


def correlated_failures(servers: Iterable[Server], window: float) -> Iterator[CorrelatedFailures]:
    """Yield the correlated failures of eligible servers; ``window`` is one interval, in seconds."""
    up: Counter[str] = Counter()
    failures: dict[tuple[str, str], list[_Failure]] = {}
    for server in servers:
        for monitor, report in server.reports.items():
            if report is None or not server.eligible:
                continue
            if report.up:
                up[monitor] += 1
            else:
                failures.setdefault((monitor, report.cause), []).append(_Failure(report.at, server.host, report.reason))
    for (monitor, cause), alike in failures.items():
        if len(alike) < MIN_SERVERS:
            continue
        together = _largest_run(sorted(alike), window)
        before = up[monitor] + len(together)
        if len(together) >= MIN_SERVERS and 2 * len(together) >= before:
            hosts = frozenset(failure.host for failure in together)
            first, last = together[0], together[-1]
            yield CorrelatedFailures(monitor, cause, first.reason, hosts, before, last.at - first.at)


def _largest_run(failures: list[_Failure], window: float) -> list[_Failure]:
    """Return the first of the largest runs of failures within the window."""
    largest: list[_Failure] = []
    start = 0
    for end, failure in enumerate(failures, start=1):
        while failures[start].at < failure.at - window:
            start += 1
        if end - start > len(largest):
            largest = failures[start:end]
    return largest
