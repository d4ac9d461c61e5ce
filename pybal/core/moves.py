"""Make before break: a pooled server keeps its address until the next one has passed its checks. Pure.

The name service can move every server of a pool to an address at which none responds, for instance by a wrong zone or a wildcard. Both
addresses are watched, each by its own monitors; only the present one is in the table. When all monitors report the next one up, it
takes over in one change. After ``dns-move-wait`` without that the server counts as down, and the floor decides about its present
address; the next one takes over as soon as it passes.

After a restart the table is known, but not which server had which of its addresses. While it holds addresses of no known server, a
server that resolves to another address may have moved: it *arrives* there by the same rules, and has no address until then. After
``dns-move-wait`` it arrives unchecked as soon as enough servers serve without the previous addresses (:mod:`pybal.core.policy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pybal.core.events import Overdue, Tried
from pybal.core.model import Address, Move, Placement, Pool, Server, Servers
from pybal.core.steps import Steps, parts


def locate(pool: Pool, addresses: Mapping[str, Address | None], at: float) -> Steps[Servers]:
    """Set the addresses of servers, by the results of lookups at a monotonic time in seconds.

    A lost name keeps its address. A pooled server begins a move, unless its next address is in the table already or its present
    one stays there. Otherwise a new address clears the reports, and the server takes the placement of its new address if the pool
    had that address, else it keeps its own.
    """
    servers = pool.servers
    found: dict[str, Server] = {}
    taken = yield from _taken(servers, addresses)
    for part in parts(addresses.keys() & servers.keys()):
        for host in part:
            server, address = servers[host], addresses[host]
            if address is None:
                if not server.ready and not server.unresolvable and server.move is None:
                    found[host] = replace(server, unresolvable=True)
            elif address == server.address:
                if server.move is not None:
                    found[host] = replace(server, move=None)
            elif server.move is not None and server.move.address == address:
                continue
            elif _breaks(pool, server, address, taken):
                found[host] = replace(server, move=_moved(server, address, at))
            else:
                found[host] = replace(
                    server,
                    address=address,
                    unresolvable=False,
                    reports=MappingProxyType(dict.fromkeys(server.reports)),
                    pending_monitors=frozenset(),
                    move=None,
                    placement=_placement_at(servers, address) or server.placement,
                )
        yield
    return (yield from servers.replacing_in_steps(found))


def _taken(servers: Servers, addresses: Mapping[str, Address | None]) -> Steps[set[Address | None]]:
    """Return the addresses that servers take: names that swap theirs change nothing in the table."""
    taken: set[Address | None] = set()
    for part in parts(addresses.items()):
        taken.update(address for host, address in part if host in servers and servers[host].address != address)
        yield
    return taken


def tried(pool: Pool, event: Tried) -> Steps[Servers]:
    """Record reports on the next addresses of servers; those that all monitors report up take over."""
    found: dict[str, Server] = {}
    for part in parts(event.reports):
        for each in part:
            server = found.get(each.host) or pool.servers.get(each.host)
            if server is None or server.move is None or each.monitor not in server.move.reports:
                continue
            if each.address not in (None, server.move.address) or server.move.reports[each.monitor] == each.report:
                continue
            reports = MappingProxyType({**server.move.reports, each.monitor: each.report})
            found[each.host] = settle(replace(server, move=replace(server.move, reports=reports)))
        yield
    return (yield from pool.servers.replacing_in_steps(found))


def overdue(pool: Pool, event: Overdue) -> Servers:
    """Count servers as down whose moves take too long."""
    late = {
        host: replace(server, move=replace(move, overdue=True))
        for host in event.hosts
        if (server := pool.servers.get(host)) and (move := server.move) and not move.overdue
    }
    return pool.servers.replacing(late)


def arrive(servers: Servers) -> Steps[Servers]:
    """Give all arriving servers their addresses."""
    if not servers.count(lambda server: server.arriving):
        return servers
    arrived: dict[str, Server] = {}
    for part in parts(servers.items()):
        arrived.update((host, _arrived(each, each.move)) for host, each in part if each.move and not each.ready)
        yield
    return (yield from servers.replacing_in_steps(arrived))


def settle(server: Server) -> Server:
    """Return a server at its next address if that has passed its checks."""
    move = server.move
    return server if move is None or not move.passed else _arrived(server, move)


def _arrived(server: Server, move: Move) -> Server:
    return replace(
        server,
        address=move.address,
        unresolvable=False,
        reports=move.reports,
        pending_monitors=frozenset(),
        suspect_failures=frozenset(),
        move=None,
    )


def _breaks(pool: Pool, server: Server, address: Address, taken: set[Address | None]) -> bool:
    """Return whether the new address, taken immediately, could replace one that serves by a dead one."""
    if not server.reports or not (server.pooled if server.ready else pool.held and server.member.enabled):
        return False
    serves = any(
        pool.servers[host].serving and pool.servers[host].pooled for host in pool.servers.hosts_at.get(address, ())
    )
    swaps = server.address in taken and address in pool.servers.hosts_at
    return not serves and not swaps and address not in pool.held


def _moved(server: Server, address: Address, at: float) -> Move:
    reports = MappingProxyType(dict.fromkeys(server.reports))
    if server.move is None:
        return Move(address, reports, at)
    return replace(server.move, address=address, reports=reports)


def _placement_at(servers: Servers, address: Address) -> Placement | None:
    """Return the placement of the eligible servers at an address: that of the last pooled one, if any."""
    there = [server for host in servers.hosts_at.get(address, ()) if (server := servers[host]).eligible]
    last = max(reversed(there), key=lambda server: server.pooled, default=None)
    return None if last is None else last.placement
