"""The pooling policy: a pure function from a pool and an event to the new pool with its wanted set.

With total = members with a weight above 0 (disabled ones included) and serving = those of them that are up and eligible, the
floor is ``depool-threshold`` x total, rounded up, and at least 1 unless the threshold is 0. A server of weight 0 takes no new
connections, so it does not count. On every transition of any kind (result, list, address, configuration):

* a server that is up and eligible is pooled; a server that is not eligible is never pooled;
* a server that goes down leaves only if the servers still serving reach the floor; else it stays, *forced*;
* while fewer servers than the floor are pooled, counting weights above 0, eligible ones of such a weight enter: first
  unknown servers, then down ones, which are *forced*, each in the order of the source;
* once the serving servers reach the floor, forced ones leave;
* an unknown server that is pooled stays until its first conclusive report;
* a pooled server whose name gets another address keeps the old one until the new one has passed (:mod:`pybal.core.moves`);
* a server that is up stays up when a new configuration adds monitors, until one of these reports it down;
* with ``suspect-check = hold``, servers whose only failures are correlated (:mod:`pybal.core.correlated`) are pooled.

The invariant is ``pooled >= min(floor, eligible)``, counting weights above 0 only.

The addresses found in the kernel at the start are *held*: servers found at them are pooled and unknown. Until the first list
has come and every enabled member has an address, each address not yet claimed stays, because it may belong to such a
member; for the floor, each of these members counts with one of the addresses, counting weights above 0. A member found at another
address has it only when it has passed there: it may have moved. After ``dns-move-wait`` it is *late*: it counts as down, and the
addresses stay for it only until the serving servers reach the floor. After that the rest is
removed immediately. If a list leaves no eligible server with a weight above 0, the servers that it removes are held in the same
way: otherwise a failing resolver would empty the pool.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import ceil
from operator import is_
from types import MappingProxyType

from pybal.core import moves
from pybal.core.correlated import correlated_failures, may_be_correlated
from pybal.core.events import Adopted, Event, Gathered, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import Address, Condition, Health, Member, Placement, Pool, Server, Servers, Service, SuspectCheck
from pybal.core.reports import Burst, apply_reports, begin_burst, placed
from pybal.core.steps import Steps, finish, parts


def step(pool: Pool, event: Event) -> Pool:
    """Return the pool after ``event``: the same object if nothing changed, likewise for each server.

    Hosts outside the pool and monitors of other services are ignored.
    """
    return finish(in_steps(pool, event))


def in_steps(pool: Pool, event: Event) -> Steps[Pool]:
    """Return what :func:`step` returns."""
    match event:
        case Adopted(held):
            facts = replace(pool, held=MappingProxyType(dict(held)))
        case Listed(members):
            servers = yield from _merge(pool, members)
            facts = replace(pool, listed=True, servers=servers, held=(yield from _hold_removed(pool, servers)))
        case Resolved(addresses, at):
            facts = replace(pool, servers=(yield from moves.locate(pool, addresses, at)))
        case Tried():
            facts = replace(pool, servers=(yield from moves.tried(pool, event)))
        case Overdue():
            facts = replace(pool, servers=moves.overdue(pool, event))
        case Reported():
            return (yield from _reported(pool, (event,)))
        case Gathered(reports):
            return (yield from _reported(pool, reports))
        case Reconfigured(service):
            facts = replace(pool, service=service, servers=(yield from _set_monitors(pool, service)))
    # Servers that have not changed since keep their place: it follows from their own state, the service and the floor.
    settled = Servers() if isinstance(event, Adopted | Reconfigured) else pool.servers
    after = yield from _decide(facts, settled)
    return pool if _same(pool, after) else after


def _reported(pool: Pool, reports: Sequence[Reported]) -> Steps[Pool]:
    """Apply reports; one by one while addresses are held for late servers.

    Each of them may be the last that the floor needs.
    """
    number = 0
    while number < len(reports) and _awaits_late(pool):
        after = yield from apply_reports(pool, reports[number : number + 1], floor(pool))
        pool = after if _holds(after) else (yield from _decide(after, after.servers))
        number += 1
    return (yield from apply_reports(pool, reports[number:], floor(pool)))


def _awaits_late(pool: Pool) -> bool:
    return bool(pool.held) and pool.servers.count(lambda server: server.late) > 0


def open_burst(pool: Pool) -> Burst | None:
    """Return a burst of any number of reports on a pool, ``None`` if they must be applied one by one.

    Its end is the state after a step for each report.
    """
    return None if _awaits_late(pool) else finish(begin_burst(pool, sys.maxsize, floor(pool)))


def _decide(facts: Pool, settled: Servers) -> Steps[Pool]:
    """Return a pool with its decisions; those about ``settled`` servers are made."""
    claimed = yield from _claim(facts, settled)
    suspected = yield from _suspect(claimed)
    return (yield from _place(suspected, settled))


def floor(pool: Pool) -> int:
    """Return the number of servers that must stay pooled: an exact ceiling, 0.66 x 50 is 33."""
    return floor_of(pool.service.depool_threshold, total(pool))


def floor_of(threshold: float, members: int) -> int:
    """Return the floor of a pool with this threshold and number of members of weight above 0."""
    return max(1, ceil(Decimal(str(threshold)) * members)) if threshold else 0


def total(pool: Pool) -> int:
    """Return the number of members of weight above 0, disabled ones included."""
    return pool.servers.count(lambda server: server.weighted)


def total_disabled(pool: Pool) -> int:
    """Return the number of disabled members among :func:`total`."""
    return pool.servers.count(lambda server: server.weighted and not server.enabled)


def serving(pool: Pool) -> int:
    """Return the number of servers that are up and eligible, with a weight above 0."""
    return pool.servers.count(lambda server: server.serving)


def can_depool(pool: Pool) -> bool:
    """Return whether a server that has just gone down may leave the wanted set."""
    return serving(pool) >= floor(pool)


def too_small(pool: Pool) -> bool:
    """Return whether the threshold forbids to depool even one of several servers (formula of PyBal 1.15)."""
    members = len(pool.servers)
    return members > 1 and members < members * Decimal(str(pool.service.depool_threshold)) + 1


def arithmetic(pool: Pool) -> str:
    """Return the numbers behind the decisions, for people: ``serving 7 of 16, floor 8, 1 forced``.

    Disabled servers, which count for the total, and servers of weight 0, which do not, are added: ``, 3 disabled, 2 of weight 0``.
    """
    forced = pool.servers.count(lambda server: server.forced)
    others = {"disabled": total_disabled(pool), "of weight 0": len(pool.servers) - total(pool)}
    text = f"serving {serving(pool)} of {total(pool)}, floor {floor(pool)}, {forced} forced"
    return ", ".join((text, *(f"{number} {what}" for what, number in others.items() if number)))


def wanted(pool: Pool) -> Mapping[Address, int]:
    """Return the addresses that the kernel should hold, with their weights.

    If several pooled servers share an address, the first one of weight above 0, in the order of the source, sets the weight.
    """
    result: dict[Address, int] = {}
    for server in pool.servers.values():
        if server.placement is not Placement.OUT and server.address is not None and not result.get(server.address):
            result[server.address] = server.member.weight
    result.update(pool.held)
    return MappingProxyType(result)


def wanted_changes(before: Pool, after: Pool) -> Mapping[Address, int | None]:
    """Return the difference between the wanted sets of two states of a pool; ``None`` means removed."""
    return finish(wanted_changes_in_steps(before, after))


def wanted_changes_in_steps(before: Pool, after: Pool) -> Steps[Mapping[Address, int | None]]:
    """Return what :func:`wanted_changes` returns."""
    addresses: dict[Address, None] = {}  # in the order of the servers
    for part in parts(after.servers.changes_since(before.servers)):
        for _, old, new in part:
            if (was := _contribution(old)) != (now := _contribution(new)):
                for address, _ in (*was, *now):
                    addresses[address] = None
        yield
    if after.servers.names is not before.servers.names:
        addresses.update(dict.fromkeys(after.servers.sharing))  # another server may be the first of them
    if after.held is not before.held:
        addresses.update((address, None) for address, _ in before.held.items() ^ after.held.items())
    changes: dict[Address, int | None] = {}
    for found in parts(addresses):
        for address in found:
            if (weight := _weight_at(after, address)) != _weight_at(before, address):
                changes[address] = weight
        yield
    return changes


def _contribution(server: Server | None) -> tuple[tuple[Address, int], ...]:
    """Return what a server adds to the wanted set: its address with its weight, if it is pooled."""
    if server is None or server.address is None or not server.pooled:
        return ()
    return ((server.address, server.member.weight),)


def _weight_at(pool: Pool, address: Address) -> int | None:
    """Return the weight of an address, ``None`` if it is not wanted."""
    there = [server for host in pool.servers.hosts_at.get(address, ()) if (server := pool.servers[host]).pooled]
    if not there:
        return pool.held.get(address)
    return next((server.member.weight for server in there if server.member.weight), 0)


def _merge(pool: Pool, members: tuple[Member, ...]) -> Steps[Servers]:
    unreported = MappingProxyType(dict.fromkeys(pool.service.monitors))
    servers = {}
    for part in parts(members):
        for member in part:
            known = pool.servers.get(member.host) or Server(member, unreported)
            servers[member.host] = (
                known if known.member is member or known.member == member else replace(known, member=member)
            )
        yield
    return (yield from pool.servers.becoming(servers))


def _hold_removed(pool: Pool, servers: Servers) -> Steps[MappingProxyType[Address, int]]:
    """Return the addresses held; removed servers stay until names resolve if no other one could serve."""
    if servers.count(lambda server: server.eligible and server.weighted):
        return pool.held
    held = pool.held.copy()  # dict() would hash each address again, in Python
    for part in parts(pool.servers.values()):
        for server in part:
            if server.pooled and server.address is not None and server.address not in servers.hosts_at:
                held[server.address] = server.member.weight
        yield
    return MappingProxyType(held)


def _drop_unreachable(pool: Pool, service: Service) -> Steps[Servers]:
    """Remove addresses of the other family from servers if the service has no tunnel."""
    lost = {}
    for part in parts(() if service.tunneling else pool.servers.items()):
        for host, server in part:
            there = server.address or (server.move and server.move.address)
            if there and there.version != service.vip.version:
                lost[host] = replace(server, address=None, unresolvable=True, move=None)
        yield
    return (yield from pool.servers.replacing_in_steps(lost))


def _set_monitors(pool: Pool, service: Service) -> Steps[Servers]:
    servers = yield from _drop_unreachable(pool, service)
    if service.monitors == pool.service.monitors:
        return servers
    watched: dict[str, Server] = {}
    for part in parts(servers.items()):
        watched.update((host, _with_monitors(server, service.monitors)) for host, server in part)
        yield
    return (yield from servers.replacing_in_steps(watched))


def _with_monitors(server: Server, monitors: tuple[str, ...]) -> Server:
    reports = {name: server.reports.get(name) for name in monitors}
    unreported = frozenset(name for name, report in reports.items() if report is None)
    pending_monitors = unreported if server.health is Health.UP else unreported & server.pending_monitors
    move = server.move and replace(
        server.move, reports=MappingProxyType({name: server.move.reports.get(name) for name in monitors})
    )
    return moves.settle(
        replace(server, reports=MappingProxyType(reports), pending_monitors=pending_monitors, move=move)
    )


def _claim(pool: Pool, settled: Servers) -> Steps[Pool]:
    """Pool unknown servers at held addresses; drop the other addresses once all members have addresses.

    No server of ``settled`` is at a held address.
    """
    if not pool.held:
        return (yield from _without_held(pool))
    found: dict[str, Server] = {}
    claimed: set[Address] = set()
    for part in parts(pool.servers.changes_since(settled)):
        for host, _, server in part:
            if server is not None and server.address is not None and server.address in pool.held:
                claimed.add(server.address)
                if server.eligible and server.health is Health.UNKNOWN and not server.pooled:
                    found[host] = server.placed(Placement.POOLED)
        yield
    servers = yield from pool.servers.replacing_in_steps(found)
    if claimed:
        left = pool.held.copy()  # a comprehension would hash each address again, in Python
        for address in claimed:
            del left[address]
        pool = replace(pool, servers=servers, held=MappingProxyType(left))
    return pool if pool.held and _holds(pool) else (yield from _without_held(pool))


def _holds(pool: Pool) -> bool:
    """Return whether held addresses stay for enabled members without an address.

    If all of these are late, the addresses stay for the floor only.
    """
    awaited, late = (pool.servers.count(test) for test in (lambda each: each.unresolved, lambda each: each.late))
    return not pool.listed or awaited > late or (late > 0 and serving(pool) < floor(pool))


def _without_held(pool: Pool) -> Steps[Pool]:
    """Drop the held addresses, and with them the reason to wait for the checks of servers that arrive."""
    servers = yield from moves.arrive(pool.servers)
    changed = pool.held or servers is not pool.servers
    return replace(pool, servers=servers, held=MappingProxyType({})) if changed else pool


def _suspect(pool: Pool) -> Steps[Pool]:
    """Attribute correlated failures to the check, as long as they last (``suspect-check = hold``)."""
    hold, suspect = pool.service.suspect_check is SuspectCheck.HOLD, pool.servers.count(lambda server: server.suspect)
    if not suspect and not (hold and may_be_correlated(pool.servers)):
        return pool
    together: dict[str, set[tuple[str, str]]] = {}
    for failures in (yield from correlated_failures(pool.servers, pool.service.interval)) if hold else ():
        for host in failures.hosts:
            together.setdefault(host, set()).add((failures.monitor, failures.cause))
    changed = {}
    for part in parts(pool.servers.items()):
        for host, server in part:
            failing = {(name, report.cause) for name, report in server.reports.items() if report and not report.up}
            suspect_failures = failing & (server.suspect_failures | together.get(host, set())) if hold else set()
            if suspect_failures != server.suspect_failures:
                changed[host] = replace(server, suspect_failures=frozenset(suspect_failures))
        yield
    return replace(pool, servers=(yield from pool.servers.replacing_in_steps(changed))) if changed else pool


def _place(pool: Pool, settled: Servers) -> Steps[Pool]:
    """Set the placement of each server from its health and its last placement.

    Those of ``settled`` need no other, except for forced servers once the floor is reached.
    """
    servers, lacking = pool.servers, serving(pool) < floor(pool)
    changed = [server for _, _, server in servers.changes_since(settled) if server is not None]
    if not lacking and servers.count(lambda server: server.forced):
        changed += [server for server in servers.values() if server.placement is Placement.FORCED]
    moved = {}
    for part in parts(changed):
        for server in part:
            placement = placed(server, optimistic=pool.service.initially_up, lacking=lacking)
            if placement is not server.placement:
                moved[server.host] = server.placed(placement)
        yield
    pool = replace(pool, servers=(yield from servers.replacing_in_steps(moved)))
    return (yield from _fill(pool)) if lacking else pool


def _fill(pool: Pool) -> Steps[Pool]:
    """Pool more servers until the floor is reached: unknown ones first, then down ones, *forced*."""
    servers, down = pool.servers, Health.DOWN
    held = len(pool.held) - [*pool.held.values()].count(0)  # in C, because there may be thousands
    awaited = min(held, servers.count(lambda server: server.unresolved and server.weighted))
    missing = floor(pool) - servers.count(lambda server: server.pooled and server.weighted) - awaited
    if missing <= 0 or not servers.count(_may_enter):
        return pool
    candidates = [server for server in servers.values() if _may_enter(server.condition)]
    candidates.sort(key=lambda server: server.health is down)  # stable: in the order of the source
    entering = {}
    for part in parts(candidates[:missing]):
        for server in part:
            entering[server.host] = server.placed(Placement.FORCED if server.health is down else Placement.POOLED)
        yield
    return replace(pool, servers=(yield from servers.replacing_in_steps(entering)))


def _may_enter(server: Condition) -> bool:
    return server.weighted and server.eligible and not server.pooled


def _same(before: Pool, after: Pool) -> bool:
    """Return whether two states of a pool are equal; unchanged servers are the same objects."""
    return (
        len(before.servers) == len(after.servers)
        and all(map(is_, before.servers.values(), after.servers.values()))
        and (before.service, before.listed, before.held) == (after.service, after.listed, after.held)
    )
