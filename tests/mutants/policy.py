"""Mutants of the policy: exact replacements in pybal/core/policy.py, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # The events
    Mutant("addresses found in the kernel are not adopted", "replace(pool, held=MappingProxyType(dict(held)))", "pool"),
    Mutant("a list does not set listed", "replace(pool, listed=True, servers=", "replace(pool, servers="),
    Mutant("a reload keeps the old service", "replace(pool, service=service, servers=", "replace(pool, servers="),
    Mutant(
        "a reload keeps the old monitors", "servers=(yield from _set_monitors(pool, service))", "servers=pool.servers"
    ),
    Mutant("no server claims a held address", "_suspect(claimed)", "_suspect(facts)"),
    Mutant(
        "a list is applied without the threshold",
        "    after = yield from _decide(facts, settled)\n",
        "    after = yield from _decide(facts, settled)\n"
        "    if isinstance(event, Listed):\n"
        "        after = replace(after, servers=MappingProxyType({h: replace(s, placement=Placement.OUT)\n"
        "            if s.placement is Placement.FORCED else s for h, s in after.servers.items()}))\n",
    ),
    Mutant(
        "only reports lead to decisions",
        "    return (yield from _place(suspected, settled))\n",
        "    return suspected\n",
    ),
    Mutant(
        "an event that changes nothing makes a new pool", "return pool if _same(pool, after) else after", "return after"
    ),
    Mutant("a shorter list is no change", "len(before.servers) == len(after.servers)\n        and ", ""),
    Mutant("changed servers are no change", "all(map(is_, before.servers.values(), after.servers.values()))", "True"),
    Mutant(
        "a changed service is no change",
        "(before.service, before.listed, before.held) == (after.service, ",
        "(before.listed, before.held) == (",
    ),
    Mutant(
        "an empty first list is no change",
        "(before.service, before.listed, before.held) == (after.service, after.listed, ",
        "(before.service, before.held) == (after.service, ",
    ),
    Mutant(
        "other addresses held are no change",
        "before.listed, before.held) == (after.service, after.listed, after.held)",
        "before.listed) == (after.service, after.listed)",
    ),
    Mutant(
        "reports are applied with another floor",
        "apply_reports(pool, reports[number:], floor(pool))",
        "apply_reports(pool, reports[number:], floor(pool) + 1)",
    ),
    Mutant(
        "reports are applied with another floor while servers are late",
        "apply_reports(pool, reports[number : number + 1], floor(pool))",
        "apply_reports(pool, reports[number : number + 1], floor(pool) + 1)",
    ),
    Mutant(
        "late servers wait for the end of a batch",
        "reports[number : number + 1], floor(pool))",
        "reports[number:], floor(pool))",
    ),
    Mutant("reports are applied again after late servers arrived", "number += 1", "pass"),
    Mutant("reports never let late servers arrive", "after if _holds(after) else (", "after if True else ("),
    Mutant(
        "reports are applied one by one without late servers",
        "return bool(pool.held) and pool.servers.count(lambda server: server.late) > 0",
        "return bool(pool.held)",
        survives="the result is the same, at a higher cost",
    ),
    Mutant(
        "servers keep their place when the service changes",
        "Servers() if isinstance(event, Adopted | Reconfigured) else",
        "Servers() if isinstance(event, Adopted) else",
    ),
    Mutant(
        "servers at addresses adopted later are overlooked",
        "Servers() if isinstance(event, Adopted | Reconfigured) else",
        "Servers() if isinstance(event, Reconfigured) else",
    ),
    # Differences of the wanted set
    Mutant(
        "held addresses are no difference",
        "if after.held is not before.held:",
        "if False:",
    ),
    Mutant("changed servers are no difference", "!= (now := _contribution(new)):", "!= (now := _contribution(old)):"),
    Mutant("former addresses are no difference", "in (*was, *now):", "in now:"),
    Mutant("new addresses are no difference", "in (*was, *now):", "in was:"),
    Mutant(
        "the order of servers at one address is no difference",
        "if after.servers.names is not before.servers.names:",
        "if False:",
    ),
    Mutant(
        "a changed placement is no difference",
        "or server.address is None or not server.pooled:",
        "or server.address is None:",
    ),
    Mutant(
        "a changed weight is no difference",
        "return ((server.address, server.member.weight),)",
        "return ((server.address, 10),)",
    ),
    Mutant(
        "servers that are out count at the address",
        "if (server := pool.servers[host]).pooled]",
        "if (server := pool.servers[host])]",
    ),
    Mutant("a held address has no weight", "return pool.held.get(address)\n", "return None\n"),
    Mutant(
        "equal weights are a difference",
        "if (weight := _weight_at(after, address)) != _weight_at(before, address)",
        "if (weight := _weight_at(after, address)) or True",
    ),
    # The floor
    Mutant("the last server may leave", "max(1, ceil(", "max(0, ceil("),
    Mutant("the floor is rounded down", "ceil(Decimal(", "int(Decimal("),
    Mutant(
        "the floor is rounded as a float",
        "ceil(Decimal(str(threshold)) * members)",
        "ceil(threshold * members)",
    ),
    Mutant("with threshold 0 one server has to stay", " if threshold else 0", ""),
    Mutant(
        "disabled servers do not count for the floor",
        "floor_of(pool.service.depool_threshold, total(pool))",
        "floor_of(pool.service.depool_threshold, total(pool) - total_disabled(pool))",
    ),
    Mutant(
        "servers of weight 0 count for the floor",
        "floor_of(pool.service.depool_threshold, total(pool))",
        "floor_of(pool.service.depool_threshold, len(pool.servers))",
    ),
    Mutant(
        "servers of weight 0 count as serving",
        "count(lambda server: server.serving)",
        "count(lambda server: server.eligible and server.health is Health.UP)",
    ),
    Mutant("arithmetic counts servers of weight 0", "of {total(pool)}, floor", "of {len(pool.servers)}, floor"),
    Mutant(
        "arithmetic does not name servers of weight 0",
        '"of weight 0": len(pool.servers) - total(pool)',
        '"of weight 0": 0',
    ),
    Mutant("arithmetic does not name disabled servers", '"disabled": total_disabled(pool)', '"disabled": 0'),
    Mutant(
        "disabled servers of weight 0 count for the total",
        "count(lambda server: server.weighted and not server.enabled)",
        "count(lambda server: not server.enabled)",
    ),
    Mutant("a pool is too small by its weights", "    members = len(pool.servers)\n", "    members = total(pool)\n"),
    Mutant(
        "pooled servers count as serving", "count(lambda server: server.serving)", "count(lambda server: server.pooled)"
    ),
    Mutant(
        "unknown servers count as serving",
        "count(lambda server: server.serving)",
        "count(lambda server: server.eligible and server.health is not Health.DOWN)",
    ),
    Mutant(
        "can-depool requires one more than the floor",
        "return serving(pool) >= floor(pool)",
        "return serving(pool) > floor(pool)",
    ),
    Mutant(
        "can-depool counts pooled servers",
        "return serving(pool) >= floor(pool)",
        "return sum(s.pooled for s in pool.servers.values()) >= floor(pool)",
    ),
    Mutant("a pool of one is too small", "members > 1 and ", ""),
    Mutant(
        "too small ignores the server to depool",
        "* Decimal(str(pool.service.depool_threshold)) + 1",
        "* Decimal(str(pool.service.depool_threshold))",
    ),
    Mutant("too small when just large enough", "members < members * ", "members <= members * "),
    Mutant(
        "pooled servers count as forced",
        "forced = pool.servers.count(lambda server: server.forced)",
        "forced = pool.servers.count(lambda server: server.pooled)",
    ),
    # The wanted set
    Mutant(
        "forced servers are not wanted",
        "if server.placement is not Placement.OUT and",
        "if server.placement is Placement.POOLED and",
    ),
    Mutant("servers that are out are wanted", "if server.placement is not Placement.OUT and", "if"),
    Mutant(
        "the last weight at a shared address counts",
        "server.address is not None and not result.get(server.address):",
        "server.address is not None:",
    ),
    Mutant(
        "the first weight at a shared address counts, even 0",
        "server.address is not None and not result.get(server.address):",
        "server.address is not None and server.address not in result:",
    ),
    Mutant(
        "weight 0 of the first server at an address is no difference",
        "next((server.member.weight for server in there if server.member.weight), 0)",
        "there[0].member.weight",
    ),
    Mutant("no address has weight 0", "in there if server.member.weight), 0)", "in there if server.member.weight), 1)"),
    Mutant("held addresses are not wanted", "    result.update(pool.held)\n", ""),
    Mutant("every weight is 10", "result[server.address] = server.member.weight", "result[server.address] = 10"),
    # Lists
    Mutant(
        "removed servers stay",
        "    servers = {}\n    for part in parts(members):",
        "    servers = dict(pool.servers)\n    for part in parts(members):",
    ),
    Mutant("a changed line deletes the facts", "replace(known, member=member)", "Server(member, unreported)"),
    Mutant(
        "a changed line depools",
        "replace(known, member=member)",
        "replace(known, member=member, placement=Placement.OUT)",
    ),
    Mutant(
        "a changed line is ignored",
        "known if known.member is member or known.member == member else replace(known, member=member)",
        "known",
    ),
    Mutant(
        "every line makes a new server",
        "known if known.member is member or known.member == member else replace(known, member=member)",
        "replace(known, member=member)",
    ),
    Mutant("new servers have no monitors", "or Server(member, unreported)", "or Server(member)"),
    Mutant(
        "new servers are pooled immediately",
        "or Server(member, unreported)",
        "or Server(member, unreported, placement=Placement.POOLED)",
        survives="a new server has no address, so it is not pooled in any case",
    ),
    # Reports and monitors
    Mutant("a reload clears the reports", "name: server.reports.get(name) for name", "name: None for name"),
    # Held addresses
    Mutant(
        "a disabled server claims an address",
        "if server.eligible and server.health is Health.UNKNOWN and",
        "if server.health is Health.UNKNOWN and",
    ),
    Mutant(
        "a server that is down claims an address",
        "if server.eligible and server.health is Health.UNKNOWN and",
        "if server.eligible and",
    ),
    Mutant("a claim pools no server", "found[host] = server.placed(Placement.POOLED)", "pass"),
    Mutant("a claim replaces pooled servers", "Health.UNKNOWN and not server.pooled:", "Health.UNKNOWN:"),
    Mutant("a claimed address is still held", "claimed.add(server.address)", "pass"),
    Mutant(
        "held addresses are never dropped",
        "return pool if pool.held and _holds(pool) else",
        "return pool if pool.held else",
    ),
    Mutant(
        "held addresses are dropped at the first list",
        " or awaited > late or ",
        " or ",
    ),
    Mutant(
        "held addresses are dropped before the first list",
        "return not pool.listed or awaited",
        "return awaited",
    ),
    Mutant(
        "late servers hold no address",
        " or (late > 0 and serving(pool) < floor(pool))",
        "",
    ),
    Mutant("late servers hold addresses that the floor does not need", " and serving(pool) < floor(pool))", ")"),
    Mutant("addresses are held for the floor without a late server", "(late > 0 and ", "("),
    Mutant("late servers hold addresses at the floor", "serving(pool) < floor(pool))", "serving(pool) <= floor(pool))"),
    Mutant(
        "arriving servers wait when the last held address has gone",
        "    if not pool.held:\n        return (yield from _without_held(pool))",
        "    if not pool.held:\n        return pool",
    ),
    Mutant(
        "arriving servers wait although no address is held",
        "servers = yield from moves.arrive(pool.servers)",
        "servers = yield from pool.servers.replacing_in_steps({})",
    ),
    Mutant(
        "an address of the other family arrives",
        "there = server.address or (server.move and server.move.address)",
        "there = server.address",
    ),
    # Placements: those of one server are in reports.py
    Mutant(
        "servers stay when exactly the floor serves", "serving(pool) < floor(pool)\n", "serving(pool) <= floor(pool)\n"
    ),
    Mutant("no server is forced", "serving(pool) < floor(pool)\n", "False\n"),
    Mutant(
        "servers of the list are not placed",
        "for _, _, server in servers.changes_since(settled) if server is not None]",
        "for _, _, server in () if server]",
    ),
    Mutant("forced servers stay at the floor", "if not lacking and servers.count(", "if False and servers.count("),
    Mutant("initial-state = up is ignored", "optimistic=pool.service.initially_up", "optimistic=False"),
    Mutant("no server enters for the floor", "return (yield from _fill(pool)) if lacking else pool", "return pool"),
    Mutant(
        "servers enter although the floor serves",
        "return (yield from _fill(pool)) if lacking else pool",
        "return (yield from _fill(pool))",
        survives="the servers that serve are pooled, so none is missing",
    ),
    Mutant("servers that enter for the floor do not count", "missing = floor(pool) - ", "missing = floor(pool) + 1 - "),
    Mutant(
        "forced servers count as pooled",
        "Placement.FORCED if server.health is down else Placement.POOLED",
        "Placement.POOLED",
    ),
    Mutant(
        "unknown servers are forced",
        "Placement.FORCED if server.health is down else Placement.POOLED",
        "Placement.FORCED",
    ),
    Mutant(
        "a list of unresolved names empties the pool",
        "                held[server.address] = server.member.weight\n",
        "                pass\n",
    ),
    Mutant(
        "removed servers are held although others are eligible",
        "if servers.count(lambda server: server.eligible and server.weighted):",
        "if False:",
    ),
    Mutant(
        "removed servers leave when only weight 0 is eligible",
        "if servers.count(lambda server: server.eligible and server.weighted):",
        "if servers.count(lambda server: server.eligible):",
    ),
    Mutant(
        "removed servers that were not pooled are held",
        "if server.pooled and server.address is",
        "if server.address is",
    ),
    Mutant("addresses of servers that stay are held", " and server.address not in servers.hosts_at:", ":"),
    Mutant("a list of unresolved names drops held addresses", "held = pool.held.copy()", "held = dict[Address, int]()"),
    # Correlated failures
    Mutant(
        "suspect failures are recorded without suspect-check = hold",
        "hold, suspect = pool.service.suspect_check is SuspectCheck.HOLD, ",
        "hold, suspect = True, ",
    ),
    Mutant(
        "suspect failures are never recorded",
        "hold, suspect = pool.service.suspect_check is SuspectCheck.HOLD, ",
        "hold, suspect = False, ",
    ),
    Mutant("suspect failures outlive suspect-check = hold", "if not suspect and not (hold", "if not (hold"),
    Mutant(
        "a suspect failure outlives the failure", "suspect_failures = failing & (server", "suspect_failures = (server"
    ),
    Mutant(
        "a suspect failure is dropped after its first report",
        "(server.suspect_failures | together.get(host, set()))",
        "together.get(host, set())",
    ),
    # Servers that enter for the floor
    Mutant("every server enters for the floor", "parts(candidates[:missing])", "parts(candidates)"),
    Mutant("servers enter although enough are pooled", "if missing <= 0 or not", "if not"),
    Mutant(
        "the search for servers to enter is needless",
        " or not servers.count(_may_enter):",
        ":",
        survives="saves a search that finds no server",
    ),
    Mutant(
        "down servers enter in the order of the source",
        "    candidates.sort(key=lambda server: server.health is down)",
        "    #",
    ),
    Mutant(
        "down servers enter first",
        "key=lambda server: server.health is down)",
        "key=lambda server: server.health is not down)",
    ),
    Mutant(
        "the last servers of the source enter first",
        "    candidates.sort(",
        "    candidates.reverse()\n    candidates.sort(",
    ),
    Mutant(
        "disabled servers enter",
        "return server.weighted and server.eligible and not server.pooled",
        "return server.weighted and not server.pooled",
    ),
    Mutant(
        "pooled servers enter again",
        "return server.weighted and server.eligible and not server.pooled",
        "return server.weighted and server.eligible",
    ),
    Mutant(
        "servers of weight 0 enter for the floor",
        "return server.weighted and server.eligible and not server.pooled",
        "return server.eligible and not server.pooled",
    ),
    Mutant(
        "pooled servers of weight 0 count for the floor",
        "servers.count(lambda server: server.pooled and server.weighted)",
        "servers.count(lambda server: server.pooled)",
    ),
    Mutant("held addresses of weight 0 count for the floor", " - [*pool.held.values()].count(0)", ""),
    Mutant(
        "pending lookups of weight 0 count for the floor",
        "servers.count(lambda server: server.unresolved and server.weighted)",
        "servers.count(lambda server: server.unresolved)",
    ),
    Mutant(
        "pending lookups do not count for the floor",
        "awaited = min(held, servers.count(lambda server: server.unresolved and server.weighted))",
        "awaited = 0",
    ),
    Mutant(
        "every held address counts for the floor",
        "awaited = min(held, servers.count(lambda server: server.unresolved and server.weighted))",
        "awaited = held",
    ),
    Mutant(
        "every pending lookup counts for the floor",
        "awaited = min(held, servers.count(lambda server: server.unresolved and server.weighted))",
        "awaited = servers.count(lambda server: server.unresolved and server.weighted)",
    ),
)
