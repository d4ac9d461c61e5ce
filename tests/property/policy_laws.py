"""An independent specification of the pooling policy: the laws of every transition of a pool.

Facts, health and the floor are computed here, without the policy and without the derived properties of a server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from math import ceil

from pybal.core.changes import ChangeKind, changes
from pybal.core.events import Adopted, Event, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import Address, Health, Member, Move, Placement, Pool, Report, Server
from pybal.core.policy import arithmetic, can_depool, floor, serving, step, wanted

Facts = tuple[Member, Address | None, bool, list[tuple[str, Report | None]], set[str], Move | None]


def health(server: Server) -> Health:
    reports = list(server.reports.values())
    if server.move is not None and server.move.overdue:
        return Health.DOWN
    if any(report is not None and not report.up for report in reports):
        return Health.DOWN
    unreported = {monitor for monitor, report in server.reports.items() if report is None}
    return Health.UNKNOWN if unreported - server.pending_monitors else Health.UP


def eligible(server: Server) -> bool:
    return server.member.enabled and server.address is not None


def is_pooled(server: Server) -> bool:
    return server.placement in {Placement.POOLED, Placement.FORCED}


def weighted(pool: Pool) -> list[Server]:
    """Return the servers that may take new connections: only these count."""
    return [server for server in pool.servers.values() if server.member.weight > 0]


def count_serving(pool: Pool) -> int:
    return sum(eligible(server) and health(server) is Health.UP for server in weighted(pool))


def least(pool: Pool) -> int:
    threshold = Fraction(str(pool.service.depool_threshold))
    return max(1, ceil(threshold * len(weighted(pool)))) if threshold > 0 else 0


def unresolved(pool: Pool) -> list[Server]:
    """Return the enabled servers without an address."""
    return [server for server in pool.servers.values() if server.member.enabled and server.address is None]


def check(before: Pool, event: Event, after: Pool) -> None:
    """Assert every law of the transition from ``before`` to ``after`` by ``event``."""
    assert step(before, event) == after, "equal facts lead to equal decisions"
    expected = expected_facts(before, event)
    if not after.held:  # nothing to wait for
        expected = [(host, fact if fact[1] else arrived(fact)) for host, fact in expected]
    assert {host: facts(server) for host, server in after.servers.items()} == dict(expected)
    assert list(after.servers) == [host for host, _ in expected]
    assert after.listed == (before.listed or isinstance(event, Listed))
    assert after.service == (event.service if isinstance(event, Reconfigured) else before.service)
    check_held(before, event, after)
    check_placements(after, {host: former(before, event, server) for host, server in after.servers.items()})
    check_wanted(after)
    check_identity(before, after)
    check_changes(before, after)


def facts(server: Server) -> Facts:
    return (
        server.member,
        server.address,
        server.unresolvable,
        list(server.reports.items()),
        set(server.pending_monitors),
        server.move,
    )


def expected_facts(before: Pool, event: Event) -> list[tuple[str, Facts]]:
    """Return the expected facts of each server after ``event``, in the order of the source."""
    unreported: list[tuple[str, Report | None]] = [(monitor, None) for monitor in before.service.monitors]
    if isinstance(event, Listed):
        known = {server.host: facts(server)[1:] for server in before.servers.values()}
        lines = {member.host: member for member in event.members}
        return [
            (host, (line, *known.get(host, (None, False, unreported, set(), None)))) for host, line in lines.items()
        ]
    return [(host, expected_fact(before, facts(server), unreported, event)) for host, server in before.servers.items()]


def moves(before: Pool, server: Server, event: Resolved) -> bool:
    """Return whether a server keeps its address until the next one has passed its checks."""
    there = event.addresses[server.host]
    others = before.servers.values()
    if not server.reports or there in before.held:
        return False
    if server.address is None:
        if not before.held or not server.member.enabled:
            return False
    elif not is_pooled(server):
        return False
    if any(s.address == there and is_pooled(s) and s.member.weight and health(s) is Health.UP for s in others):
        return False
    gone_there = [h for h, a in event.addresses.items() if h in before.servers and before.servers[h].address != a]
    swaps = any(event.addresses[host] == server.address for host in gone_there)
    return not (swaps and any(s.address == there for s in others))


def arrives(before: Pool, old: Server, event: Event, there: Address | None) -> bool:
    """Return whether a server without an address has one only after its checks, or the wait for them."""
    if old.move is not None and old.move.address == there:
        return True
    return isinstance(event, Resolved) and bool(event.addresses.get(old.host)) and moves(before, old, event)


def passed(reports: Mapping[str, Report | None]) -> bool:
    return all(report is not None and report.up for report in reports.values())


def expected_fact(  # noqa: C901, PLR0912  # one case for each event
    before: Pool, fact: Facts, unreported: list[tuple[str, Report | None]], event: Event
) -> Facts:
    member, address, unresolvable, reports, pending, move = fact
    match event:
        case Resolved(addresses) if member.host in addresses:
            there = addresses[member.host]
            if there is None:
                lost = address is None and move is None
                return (member, address, unresolvable or lost, reports, pending, move)
            if there == address:
                return (member, address, unresolvable, reports, pending, None)
            if move is not None and move.address == there:
                return fact
            if moves(before, before.servers[member.host], event):
                if move is None:
                    move = Move(there, dict(unreported), event.at)
                else:
                    move = replace(move, address=there, reports=dict(unreported))
                return (member, address, unresolvable, reports, pending, move)
            return (member, there, False, unreported, set(), None)
        case Tried([Reported(host, monitor, report)]) if (
            host == member.host and move is not None and monitor in move.reports
        ):
            move = replace(move, reports={**move.reports, monitor: report})
            if passed(move.reports):
                return (member, move.address, False, list(move.reports.items()), set(), None)
            return (member, address, unresolvable, reports, pending, move)
        case Overdue(hosts) if member.host in hosts and move is not None:
            return (member, address, unresolvable, reports, pending, replace(move, overdue=True))
        case Reported(host, monitor, report) if host == member.host and monitor in dict(unreported):
            return (
                member,
                address,
                unresolvable,
                list({**dict(reports), monitor: report}.items()),
                pending - {monitor},
                move,
            )
        case Reconfigured(service):
            next_one = address or (move and move.address)
            if next_one and next_one.version != service.vip.version and not service.tunneling:
                address, unresolvable, move = None, True, None
            found = [(name, dict(reports).get(name)) for name in service.monitors]
            new = {name for name, report in found if report is None}
            counted = [report for name, report in reports if name not in pending or report]
            if service.monitors != before.service.monitors and move is not None:
                move = replace(move, reports={name: move.reports.get(name) for name in service.monitors})
                if passed(move.reports):
                    return (member, move.address, False, list(move.reports.items()), set(), None)
            late = move is not None and move.overdue
            # A server that was up stays up until a new monitor reports it down.
            up = not late and all(report is not None and report.up for report in counted)
            return (member, address, unresolvable, found, new if up else new & pending, move)
    return fact


def arrived(fact: Facts) -> Facts:
    """Return a server at its next address, if it has one."""
    member, _, _, _, _, move = fact
    return fact if move is None else (member, move.address, False, list(move.reports.items()), set(), None)


def check_held(before: Pool, event: Event, after: Pool) -> None:
    held = dict(event.held if isinstance(event, Adopted) else before.held)
    if isinstance(event, Listed) and not any(map(eligible, weighted(after))):
        for host, old in before.servers.items():
            if host not in after.servers and is_pooled(old) and old.address:
                held[old.address] = old.member.weight
    taken = {server.address for server in after.servers.values()}
    left = {address: weight for address, weight in held.items() if address not in taken}
    awaited = unresolved(after)
    late = all(server.move is not None and server.move.overdue for server in awaited)
    over = not awaited or (late and count_serving(after) >= least(after))
    assert after.held == ({} if after.listed and over else left)


def former(before: Pool, event: Event, server: Server) -> Placement:
    """Return the placement before the event that applies to ``server``, given as it is after the event."""
    held = event.held if isinstance(event, Adopted) else before.held
    if server.address in held and eligible(server) and health(server) is Health.UNKNOWN:
        return Placement.POOLED
    old = before.servers.get(server.host)
    if old is None or (old.address is None and arrives(before, old, event, server.address)):
        return Placement.OUT
    if old.address != server.address and not isinstance(event, Tried | Reconfigured):
        there = [s for s in before.servers.values() if s.address == server.address and eligible(s)]
        for neighbour in (*filter(is_pooled, reversed(there)), *there):
            return neighbour.placement
    return old.placement


def check_placements(pool: Pool, former: Mapping[str, Placement]) -> None:
    servers = pool.servers.values()
    needed, have = least(pool), count_serving(pool)
    pooled = [server for server in weighted(pool) if is_pooled(server)]
    awaited = [s for s in weighted(pool) if s.member.enabled and s.address is None]
    spare = min(sum(weight > 0 for weight in pool.held.values()), len(awaited))
    assert len(pooled) + spare >= min(needed, sum(map(eligible, weighted(pool)))), "the invariant of the architecture"
    for server in servers:
        check_placement(pool, server, former[server.host], lacking=have < needed)
    entered = [
        server
        for server in servers
        if is_pooled(server) and former[server.host] is Placement.OUT and health(server) is not Health.UP
        if not pool.service.initially_up or health(server) is Health.DOWN
    ]
    if entered:
        assert len(pooled) + spare <= needed, "servers enter only up to the floor"
        assert all(server.member.weight for server in entered), "servers of weight 0 do not help the floor"
        order = list(pool.servers)
        left_out = [server for server in weighted(pool) if eligible(server) and not is_pooled(server)]
        ranks = [(health(s) is Health.DOWN, order.index(s.host)) for s in (*entered, *left_out)]
        assert max(ranks[: len(entered)]) < min([*ranks[len(entered) :], (True, len(order))]), "in order"


def check_placement(pool: Pool, server: Server, former: Placement, *, lacking: bool) -> None:
    """Assert the laws on one server; ``lacking`` means that fewer than the floor serve."""
    if not eligible(server):
        assert server.placement is Placement.OUT, "not eligible, so not pooled"
    elif health(server) is Health.UP:
        assert server.placement is Placement.POOLED, "up and eligible, so pooled"
    elif health(server) is Health.DOWN:
        assert server.placement is not Placement.POOLED, "down: forced or out"
        assert lacking or server.placement is Placement.OUT, "no server is forced once the floor serves"
    else:
        assert server.placement is not Placement.FORCED, "unknown, so not forced"
        stays = former is not Placement.OUT or pool.service.initially_up
        assert is_pooled(server) or not stays, "unknown: stays pooled"
        assert lacking or stays or not is_pooled(server), "unknown: enters only if the floor needs it"
    if eligible(server) and lacking and former is not Placement.OUT:
        assert is_pooled(server), "no server leaves while fewer than the floor serve"


def check_wanted(pool: Pool) -> None:
    expected: dict[Address, int] = dict(pool.held)
    for server in reversed(list(pool.servers.values())):
        if is_pooled(server):
            assert server.address is not None
            expected[server.address] = server.member.weight or expected.get(server.address, 0)
    assert wanted(pool) == expected
    assert floor(pool) == least(pool)
    assert serving(pool) == count_serving(pool)
    forced = [server for server in pool.servers.values() if server.placement is Placement.FORCED]
    counts = (count_serving(pool), len(weighted(pool)), least(pool), len(forced))
    disabled = sum(not server.member.enabled for server in weighted(pool))
    without = len(pool.servers) - len(weighted(pool))
    expected_text = "serving {} of {}, floor {}, {} forced".format(*counts)
    expected_text += f", {disabled} disabled" if disabled else ""
    assert arithmetic(pool) == expected_text + (f", {without} of weight 0" if without else "")
    assert can_depool(pool) == (count_serving(pool) >= least(pool))


def check_identity(before: Pool, after: Pool) -> None:
    """Equal servers and pools must be the same objects."""
    for host, server in after.servers.items():
        old = before.servers.get(host)
        assert server is old or server != old
    same = list(before.servers.items()) == list(after.servers.items()) and before == after
    assert (after is before) == same


def check_changes(before: Pool, after: Pool) -> None:
    """Every difference must be reported once, and nothing else."""
    reported = list(changes(before, after))
    assert Counter((c.kind, c.server.host, c.monitor, c.reason) for c in reported) == Counter(
        expected_changes(before, after)
    )
    decisions = [
        ChangeKind.NOT_DEPOOLED,
        ChangeKind.LEFT_POOLED,
        ChangeKind.FORCED_IN,
        ChangeKind.DEPOOLED,
        ChangeKind.REPOOLED,
    ]
    assert [c.kind in decisions for c in reported] == sorted(c.kind in decisions for c in reported), (
        "facts precede decisions"
    )
    for change in reported:
        state = before if change.kind in {ChangeKind.REMOVED, ChangeKind.REPORTED_DOWN, ChangeKind.UP} else after
        assert change.server is state.servers[change.server.host]


def expected_changes(before: Pool, after: Pool) -> Iterator[tuple[ChangeKind, str, str, str]]:
    old, new = before.servers, after.servers
    for host in old.keys() - new.keys():
        yield ChangeKind.REMOVED, host, "", ""
    for host in new.keys() - old.keys():
        yield ChangeKind.NEW, host, "", ""
    for host in new.keys() & old.keys():
        for kind, happened in differences(old[host], new[host]).items():
            if happened:
                yield kind, host, "", ""
        for monitor, report in new[host].reports.items():
            last = old[host].reports.get(monitor)
            if (
                report is not None
                and not report.up
                and (last is None or (last.up, last.reason) != (False, report.reason))
            ):
                yield ChangeKind.REPORTED_DOWN, host, monitor, report.reason


def differences(old: Server, new: Server) -> dict[ChangeKind, bool]:
    was, now = is_pooled(old), is_pooled(new)
    went_down = health(new) is Health.DOWN is not health(old)
    came_up = health(new) is Health.UP is not health(old)
    moves_elsewhere = new.move is not None and (old.move is None or old.move.address != new.move.address)
    return {
        ChangeKind.MERGED: old.member != new.member,
        ChangeKind.MOVING: moves_elsewhere and new.address is not None,
        ChangeKind.ARRIVING: moves_elsewhere and new.address is None,
        ChangeKind.MOVED: old.address is not None and old.address != new.address,
        ChangeKind.ARRIVED: old.address is None and old.move is not None and new.address is not None,
        ChangeKind.UNRESOLVABLE: not old.unresolvable and new.unresolvable,
        ChangeKind.UP: came_up,
        ChangeKind.DEPOOLED: was and not now,
        ChangeKind.REPOOLED: not was and new.placement is Placement.POOLED,
        ChangeKind.FORCED_IN: not was and new.placement is Placement.FORCED,
        ChangeKind.LEFT_POOLED: old.placement is Placement.FORCED and now and came_up,
        ChangeKind.NOT_DEPOOLED: was and now and went_down,
    }
