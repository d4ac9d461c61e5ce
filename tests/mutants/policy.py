"""Mutants of the policy: exact replacements in pybal/core/policy.py, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # The events
    Mutant("addresses found in the kernel are not adopted", "replace(pool, held=MappingProxyType(dict(held)))", "pool"),
    Mutant("a list does not set listed", "replace(pool, listed=True, servers=", "replace(pool, servers="),
    Mutant("a reload keeps the old service", "replace(pool, service=service, servers=", "replace(pool, servers="),
    Mutant("a reload keeps the old monitors", "servers=_set_monitors(pool, service)", "servers=pool.servers"),
    Mutant("no server claims a held address", "_place(_suspect(_claim(facts)))", "_place(_suspect(facts))"),
    Mutant(
        "a list is applied without the threshold",
        "    after = _place(_suspect(_claim(facts)))\n",
        "    after = _place(_suspect(_claim(facts)))\n"
        "    if isinstance(event, Listed):\n"
        "        after = replace(after, servers=MappingProxyType({h: replace(s, placement=Placement.OUT)\n"
        "            if s.placement is Placement.FORCED else s for h, s in after.servers.items()}))\n",
    ),
    Mutant(
        "only reports lead to decisions",
        "    after = _place(_suspect(_claim(facts)))\n",
        "    after = _place(_suspect(_claim(facts))) if isinstance(event, Reported) else _suspect(_claim(facts))\n",
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
        "return apply_reports(pool, reports, floor(pool))",
        "return apply_reports(pool, reports, floor(pool) + 1)",
    ),
    # Differences of the wanted set
    Mutant("held addresses are no difference", "if before.held == after.held and after", "if after"),
    Mutant("removed addresses are no difference", "return {**changed, **{", "return {**changed} or {**{"),
    Mutant(
        "a changed placement is no difference",
        "(old.pooled, old.address, old.member) != (new.pooled, ",
        "(old.address, old.member) != (",
    ),
    Mutant(
        "a changed address is no difference",
        "(old.pooled, old.address, old.member) != (new.pooled, new.address, new.member)",
        "(old.pooled, old.member) != (new.pooled, new.member)",
    ),
    Mutant(
        "a changed weight is no difference",
        "old.address, old.member) != (new.pooled, new.address, new.member)",
        "old.address) != (new.pooled, new.address)",
    ),
    Mutant(
        "former addresses are no difference",
        "                addresses[old.address] = None\n",
        "                pass\n",
    ),
    Mutant(
        "servers that are out count at the address",
        "        if servers[host].pooled:\n            return servers[host].member.weight",
        "        if True:\n            return servers[host].member.weight",
    ),
    Mutant(
        "equal weights are a difference",
        "        if weight != _weight_at(before, address):\n            changed",
        "        if True:\n            changed",
    ),
    # The floor
    Mutant("the last server may leave", "max(1, ceil(", "max(0, ceil("),
    Mutant("the floor is rounded down", "ceil(threshold * ", "int(threshold * "),
    Mutant(
        "the floor is rounded as a float",
        "ceil(threshold * len(pool.servers))",
        "ceil(pool.service.depool_threshold * len(pool.servers))",
    ),
    Mutant("with threshold 0 one server has to stay", " if threshold else 0", ""),
    Mutant(
        "disabled servers do not count for the floor",
        "ceil(threshold * len(pool.servers))",
        "ceil(threshold * sum(s.member.enabled for s in pool.servers.values()))",
    ),
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
    Mutant("a pool of one is too small", "total > 1 and ", ""),
    Mutant(
        "too small ignores the server to depool",
        "* Decimal(str(pool.service.depool_threshold)) + 1",
        "* Decimal(str(pool.service.depool_threshold))",
    ),
    Mutant("too small when just large enough", "total < total * ", "total <= total * "),
    Mutant(
        "pooled servers count as forced",
        "count(lambda server: server.forced)",
        "count(lambda server: server.pooled)",
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
        "result.setdefault(server.address, server.member.weight)",
        "result[server.address] = server.member.weight",
    ),
    Mutant("held addresses are not wanted", "    result.update(pool.held)\n", ""),
    Mutant("every weight is 10", "server.address, server.member.weight)", "server.address, 10)"),
    # Lists
    Mutant(
        "removed servers stay",
        "    servers = {}\n    for member in members:",
        "    servers = dict(pool.servers)\n    for member in members:",
    ),
    Mutant("a changed line deletes the facts", "replace(known, member=member)", "Server(member, unreported)"),
    Mutant(
        "a changed line depools",
        "replace(known, member=member)",
        "replace(known, member=member, placement=Placement.OUT)",
    ),
    Mutant("a changed line is ignored", "known if known.member == member else replace(known, member=member)", "known"),
    Mutant(
        "every line makes a new server",
        "known if known.member == member else replace(known, member=member)",
        "replace(known, member=member)",
    ),
    Mutant("new servers have no monitors", "or Server(member, unreported)", "or Server(member)"),
    Mutant(
        "new servers are pooled immediately",
        "or Server(member, unreported)",
        "or Server(member, unreported, placement=Placement.POOLED)",
        survives="a new server has no address, so it is not pooled in any case",
    ),
    # Addresses
    Mutant(
        "a lost name loses its address",
        "replace(server, unresolvable=True)",
        "replace(server, address=None, unresolvable=True)",
    ),
    Mutant(
        "a lost name is unresolvable", "if not server.ready and not server.unresolvable:", "if not server.unresolvable:"
    ),
    Mutant(
        "an unresolvable name is a change every time",
        "if not server.ready and not server.unresolvable:",
        "if not server.ready:",
    ),
    Mutant("an unresolvable name is not recorded", "found[host] = replace(server, unresolvable=True)", "pass"),
    Mutant("an unresolvable name stays unresolvable", "                unresolvable=False,\n", ""),
    Mutant(
        "a new address keeps the reports on the old one",
        "                reports=MappingProxyType(dict.fromkeys(server.reports)),\n",
        "",
    ),
    Mutant("the same address again clears the reports", "elif address != server.address:", "else:"),
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
    # Reports and monitors
    Mutant("a reload clears the reports", "name: server.reports.get(name) for name", "name: None for name"),
    # Held addresses
    Mutant("a disabled server claims an address", "in pool.held and server.eligible and", "in pool.held and"),
    Mutant(
        "a server that is down claims an address",
        "server.eligible and server.health is Health.UNKNOWN\n",
        "server.eligible\n",
    ),
    Mutant(
        "a claim pools no server",
        "        if server.address in pool.held and server.eligible",
        "        if False and server.eligible",
    ),
    Mutant("a claim replaces pooled servers", "        if not server.pooled\n", ""),
    Mutant("a claimed address is still held", " if address not in claimed}", "}"),
    Mutant("held addresses are never dropped", "if pool.listed and not _pending_lookups(pool):", "if False:"),
    Mutant(
        "held addresses are dropped at the first list",
        "if pool.listed and not _pending_lookups(pool):",
        "if pool.listed:",
    ),
    Mutant(
        "held addresses are dropped before the first list",
        "if pool.listed and not _pending_lookups(pool):",
        "if not _pending_lookups(pool):",
    ),
    # Placements
    Mutant("servers stay when exactly the floor serves", "if serving_count < least:", "if serving_count <= least:"),
    Mutant("no server is forced", "if serving_count < least:", "if False:"),
    Mutant("the decision counts one server too many", "    serving_count = 0\n", "    serving_count = 1\n"),
    Mutant(
        "servers that enter for the floor do not count",
        "_needed_for_floor(pool, placements, least)",
        "_needed_for_floor(pool, placements, least + 1)",
    ),
    Mutant(
        "forced servers count as pooled",
        "return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED",
        "return Placement.POOLED",
    ),
    Mutant(
        "unknown servers are forced",
        "return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED",
        "return Placement.FORCED",
    ),
    Mutant(
        "a list of unresolved names empties the pool",
        "    pooled = (server for server in",
        "    return pool.held\n    pooled = (server for server in",
    ),
    Mutant(
        "removed servers are held although others are eligible",
        "if servers.count(lambda server: server.eligible):",
        "if False:",
    ),
    Mutant(
        "removed servers that were not pooled are held",
        "pool.servers.values() if server.pooled)",
        "pool.servers.values())",
    ),
    Mutant("a list of unresolved names drops held addresses", "{**pool.held, **{s.address", "{**{s.address"),
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
    Mutant(
        "one suspect failure hides all failures",
        "if server.suspect_failures and server.only_suspect_failures:",
        "if server.suspect_failures:",
    ),
    Mutant("disabled servers are pooled", "if not server.eligible:", "if server.address is None:"),
    Mutant("servers without an address are pooled", "if not server.eligible:", "if not server.member.enabled:"),
    Mutant(
        "unknown counts as serving",
        "elif server.health is up:",
        "elif server.health is up or server.health is unknown:",
    ),
    Mutant("unknown servers leave", "(optimistic or server.placement is not out)", "optimistic"),
    Mutant("unknown servers enter", "and (optimistic or server.placement is not out)", ""),
    Mutant(
        "unknown servers that were forced leave", "or server.placement is not out)", "or server.placement is pooled)"
    ),
    Mutant(
        "initial-state = up is ignored", "(optimistic or server.placement is not out)", "server.placement is not out"
    ),
    Mutant(
        "initial-state = up pools down servers",
        "server.health is unknown and (optimistic or server.placement is not out)",
        "(optimistic or server.health is unknown and server.placement is not out)",
    ),
    Mutant(
        "servers that go down are not depooled",
        "        else:\n            placements[host] = out\n",
        "        else:\n            placements[host] = server.placement\n",
    ),
    # Forced servers
    Mutant("pooled servers do not stay for the floor", "return stay + (first", "return (first"),
    Mutant("no server enters for the floor", "return stay + (first + last)[: max(0, missing)]", "return stay"),
    Mutant("every server enters for the floor", "(first + last)[: max(0, missing)]", "(first + last)"),
    Mutant("servers enter although enough are pooled", "[: max(0, missing)]", "[:missing]"),
    Mutant("servers that stay do not count", " + len(stay)\n", "\n"),
    Mutant(
        "servers stay only up to the floor",
        "return stay + (first + last)[: max(0, missing)]",
        "return (stay + first + last)[: max(0, missing + len(stay))]",
    ),
    Mutant(
        "down servers enter in the order of the source", "else last if server.health is down else first", "else first"
    ),
    Mutant("down servers enter first", "(first + last)[", "(last + first)["),
    Mutant("the last servers of the source enter first", "(first + last)[", "(first[::-1] + last[::-1])["),
    Mutant("disabled servers enter", "if server.eligible and placements[host] is out:", "if placements[host] is out:"),
    Mutant("pooled servers are ranked like others", "stay if server.placement is not out else last", "last"),
    Mutant(
        "pending lookups do not count for the floor",
        "(min(len(pool.held), _pending_lookups(pool)) if pool.held else 0)",
        "0",
    ),
    Mutant(
        "every held address counts for the floor",
        "(min(len(pool.held), _pending_lookups(pool)) if pool.held else 0)",
        "len(pool.held)",
    ),
    Mutant(
        "every pending lookup counts for the floor",
        "(min(len(pool.held), _pending_lookups(pool)) if pool.held else 0)",
        "_pending_lookups(pool)",
    ),
)
