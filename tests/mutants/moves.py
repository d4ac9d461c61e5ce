"""Mutants of pybal/core/moves.py: exact replacements, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Addresses
    Mutant(
        "a lost name loses its address",
        "replace(server, unresolvable=True)",
        "replace(server, address=None, unresolvable=True)",
        survives="only a server without an address becomes unresolvable",
    ),
    Mutant(
        "a lost name is unresolvable",
        "if not server.ready and not server.unresolvable and server.move is None:",
        "if not server.unresolvable and server.move is None:",
    ),
    Mutant(
        "an unresolvable name is a change every time",
        "if not server.ready and not server.unresolvable and server.move is None:",
        "if not server.ready and server.move is None:",
    ),
    Mutant("an unresolvable name is not recorded", "found[host] = replace(server, unresolvable=True)", "pass"),
    Mutant("an unresolvable name stays unresolvable", "                    unresolvable=False,\n", ""),
    Mutant(
        "a new address keeps the reports on the old one",
        "                    reports=MappingProxyType(dict.fromkeys(server.reports)),\n",
        "",
    ),
    Mutant("the same address again clears the reports", "elif address == server.address:", "elif False:"),
    Mutant(
        "a server with a new address leaves",
        "placement=_placement_at(servers, address) or server.placement",
        "placement=_placement_at(servers, address) or Placement.OUT",
    ),
    Mutant(
        "a server with a new address is pooled",
        "placement=_placement_at(servers, address) or server.placement",
        "placement=Placement.POOLED",
    ),
    Mutant(
        "two hosts that swap addresses pool the dead one",
        "placement=_placement_at(servers, address) or server.placement",
        "placement=server.placement",
    ),
    Mutant(
        "a disabled server at the address decides",
        "if (server := servers[host]).eligible]",
        "if (server := servers[host])]",
    ),
    Mutant(
        "the last server at the address decides",
        "key=lambda server: server.pooled, default=None)",
        "key=lambda server: True, default=None)",
    ),
    Mutant(
        "a depooled server at the address decides",
        "key=lambda server: server.pooled, default",
        "key=lambda server: not server.pooled, default",
    ),
    # Moves
    Mutant("the next address takes over immediately", "elif _breaks(pool, server, address, taken):", "elif False:"),
    Mutant("every address waits for its checks", "elif _breaks(pool, server, address, taken):", "elif True:"),
    Mutant("servers that are out begin a move", "server.pooled if server.ready else", "True if server.ready else"),
    Mutant("servers without monitors begin a move", "if not server.reports or not (", "if not ("),
    Mutant("no server arrives", "else pool.held and server.member.enabled)", "else False)"),
    Mutant(
        "servers arrive without a held address",
        "else pool.held and server.member.enabled)",
        "else server.member.enabled)",
    ),
    Mutant("disabled servers arrive", "else pool.held and server.member.enabled)", "else pool.held)"),
    Mutant(
        "a lost name ends an arrival",
        " and server.move is None:\n                    found",
        ":\n                    found",
    ),
    Mutant(
        "moving servers arrive with the others",
        "for host, each in part if each.move and not each.ready)",
        "for host, each in part if each.move)",
    ),
    Mutant("a server that serves at the next address does not count", "return not serves and", "return"),
    Mutant("a swap is a move", "not swaps and", ""),
    Mutant("every taken address is a swap", " and address in pool.servers.hosts_at", ""),
    Mutant("held addresses wait for checks", " and address not in pool.held", ""),
    Mutant("servers of weight 0 serve at an address", "pool.servers[host].serving", "pool.servers[host].eligible"),
    Mutant(
        "a move does not end when the name returns",
        "if server.move is not None:\n                    found",
        "if False:\n                    found",
    ),
    Mutant(
        "a repeated lookup begins the move again", "server.move is not None and server.move.address == address", "False"
    ),
    Mutant("another next address keeps the reports", "address=address, reports=reports)", "address=address)"),
    Mutant(
        "another next address ends the wait",
        "return replace(server.move, address=address, reports=reports)",
        "return Move(address, reports, at)",
    ),
    Mutant(
        "reports on the next address are ignored",
        "**server.move.reports, each.monitor: each.report",
        "**server.move.reports",
    ),
    Mutant("reports of other monitors count", " or each.monitor not in server.move.reports", ""),
    Mutant("overdue moves are not recorded", "overdue=True", "overdue=False"),
    Mutant("the first report decides about a move", "not move.passed else", "not any(move.reports.values()) else"),
    Mutant(
        "the reports on the next address are lost",
        "reports=move.reports,",
        "reports=MappingProxyType(dict.fromkeys(move.reports)),",
    ),
)
