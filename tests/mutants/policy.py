"""Ways to break the policy: exact replacements in pybal/core/policy.py, each with a name that says what it breaks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # The events
    Mutant("what the kernel held is not adopted", "replace(pool, held=MappingProxyType(dict(held)))", "pool"),
    Mutant("a list does not count as one", "replace(pool, listed=True, servers=", "replace(pool, servers="),
    Mutant("a reload keeps the old service", "replace(pool, service=service, servers=", "replace(pool, servers="),
    Mutant("a reload keeps the old monitors", "servers=_remonitor(pool, service)", "servers=pool.servers"),
    Mutant("nobody claims what is held", "_settle(_excuse(_claim(facts)))", "_settle(_excuse(facts))"),
    Mutant(
        "a list is applied without the threshold",
        "    after = _settle(_excuse(_claim(facts)))\n",
        "    after = _settle(_excuse(_claim(facts)))\n"
        "    if isinstance(event, Listed):\n"
        "        after = replace(after, servers=MappingProxyType({h: replace(s, placement=Placement.OUT)\n"
        "            if s.placement is Placement.FORCED else s for h, s in after.servers.items()}))\n",
    ),
    Mutant(
        "only reports are decided upon",
        "    after = _settle(_excuse(_claim(facts)))\n",
        "    after = _settle(_excuse(_claim(facts))) if isinstance(event, Reported) else _excuse(_claim(facts))\n",
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
    # The floor
    Mutant("the last one may leave", "max(1, ceil(", "max(0, ceil("),
    Mutant("the floor is rounded down", "ceil(threshold * ", "int(threshold * "),
    Mutant(
        "the floor is rounded as a float",
        "ceil(threshold * len(pool.servers))",
        "ceil(pool.service.depool_threshold * len(pool.servers))",
    ),
    Mutant("with threshold 0 one has to stay", " if threshold else 0", ""),
    Mutant(
        "disabled servers do not count for the floor",
        "ceil(threshold * len(pool.servers))",
        "ceil(threshold * sum(s.member.enabled for s in pool.servers.values()))",
    ),
    Mutant("pooled is taken for serving", "return sum(server.serving for", "return sum(server.pooled for"),
    Mutant(
        "what is not down is taken for serving",
        "return sum(server.serving for",
        "return sum(server.eligible and server.health is not Health.DOWN for",
    ),
    Mutant(
        "can-depool wants one more than the floor",
        "return serving(pool) >= floor(pool)",
        "return serving(pool) > floor(pool)",
    ),
    Mutant(
        "can-depool counts the pooled",
        "return serving(pool) >= floor(pool)",
        "return sum(s.pooled for s in pool.servers.values()) >= floor(pool)",
    ),
    Mutant("a pool of one is too small", "total > 1 and ", ""),
    Mutant(
        "too small without the one",
        "* Decimal(str(pool.service.depool_threshold)) + 1",
        "* Decimal(str(pool.service.depool_threshold))",
    ),
    Mutant("too small when just large enough", "total < total * ", "total <= total * "),
    Mutant(
        "the pooled are said to be forced",
        "server.placement is Placement.FORCED for server",
        "server.pooled for server",
    ),
    # The wanted set
    Mutant(
        "forced servers are not wanted",
        "if server.placement is not Placement.OUT and",
        "if server.placement is Placement.POOLED and",
    ),
    Mutant("servers that are out are wanted", "if server.placement is not Placement.OUT and", "if"),
    Mutant(
        "the last of two weights counts",
        "result.setdefault(server.address, server.member.weight)",
        "result[server.address] = server.member.weight",
    ),
    Mutant("what is held is not wanted", "    result.update(pool.held)\n", ""),
    Mutant("every weight is 10", "server.address, server.member.weight)", "server.address, 10)"),
    # Lists
    Mutant(
        "removed servers stay",
        "    servers = {}\n    for member in members:",
        "    servers = dict(pool.servers)\n    for member in members:",
    ),
    Mutant("a changed line forgets what is known", "replace(known, member=member)", "Server(member, silent)"),
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
    Mutant("new servers have no monitors", "or Server(member, silent)", "or Server(member)"),
    Mutant(
        "new servers are pooled at once",
        "or Server(member, silent)",
        "or Server(member, silent, placement=Placement.POOLED)",
        survives="a new server has no address, so it is put out at once",
    ),
    # Addresses
    Mutant(
        "a name that is lost loses its address",
        "server if server.ready or server.unresolvable else replace(server, unresolvable=True)",
        "replace(server, address=None, unresolvable=True)",
    ),
    Mutant("a name that is lost is nowhere", "server.ready or server.unresolvable else", "server.unresolvable else"),
    Mutant("nowhere is news every time", "server.ready or server.unresolvable else", "server.ready else"),
    Mutant("nowhere is not remembered", "else replace(server, unresolvable=True)", "else server"),
    Mutant("nowhere for ever", "                unresolvable=False,\n", ""),
    Mutant(
        "a new address inherits the reports on the old one",
        "                reports=MappingProxyType(dict.fromkeys(server.reports)),\n",
        "",
    ),
    Mutant("the same address again forgets the reports", "elif address != server.address:", "else:"),
    Mutant(
        "a server that moves leaves",
        "placement=stood.get(address, server.placement)",
        "placement=stood.get(address, Placement.OUT)",
    ),
    Mutant(
        "a server that moves is pooled", "placement=stood.get(address, server.placement)", "placement=Placement.POOLED"
    ),
    Mutant(
        "two hosts that swap put the dead one in",
        "placement=stood.get(address, server.placement)",
        "placement=server.placement",
    ),
    Mutant(
        "a disabled neighbour decides",
        " for s in sorted(servers.values(), key=lambda s: s.pooled) if s.eligible}",
        " for s in sorted(servers.values(), key=lambda s: s.pooled)}",
    ),
    Mutant("the last neighbour decides", "sorted(servers.values(), key=lambda s: s.pooled)", "servers.values()"),
    Mutant("the neighbour that is out decides", "key=lambda s: s.pooled)", "key=lambda s: not s.pooled)"),
    # Reports and monitors
    Mutant(
        "reports of other monitors are taken in",
        "monitor not in server.reports or server.reports[monitor] == report",
        "server.reports.get(monitor) == report",
    ),
    Mutant("the same report is news", " or server.reports[monitor] == report", ""),
    Mutant(
        "a report forgets those of the other monitors",
        "{**server.reports, monitor: report}",
        "{**dict.fromkeys(server.reports), monitor: report}",
    ),
    Mutant("a report drops the other monitors", "{**server.reports, monitor: report}", "{monitor: report}"),
    Mutant("a reload forgets the reports", "name: server.reports.get(name) for name", "name: None for name"),
    # What the kernel held
    Mutant("a disabled server is made anew by a claim", "in pool.held and server.eligible and", "in pool.held and"),
    Mutant(
        "a server known to be down claims", "server.eligible and server.health is Health.UNKNOWN\n", "server.eligible\n"
    ),
    Mutant(
        "a claim pools nobody",
        "        if server.address in pool.held and server.eligible",
        "        if False and server.eligible",
    ),
    Mutant("a claim makes pooled servers anew", "        if not server.pooled\n", ""),
    Mutant("what is claimed is held as well", " if address not in claimed}", "}"),
    Mutant("what is held is held for ever", "if pool.listed and not _awaited(pool):", "if False:"),
    Mutant("what is held goes with the first list", "if pool.listed and not _awaited(pool):", "if pool.listed:"),
    Mutant(
        "what is held goes before the first list", "if pool.listed and not _awaited(pool):", "if not _awaited(pool):"
    ),
    Mutant("disabled members are awaited", "sum(s.member.enabled and not s.ready", "sum(not s.ready"),
    Mutant("members with an address are awaited", "s.member.enabled and not s.ready and", "s.member.enabled and"),
    Mutant("names without an address are awaited", "not s.ready and not s.unresolvable for", "not s.ready for"),
    # Where servers belong
    Mutant("servers stay when just enough serve", "if serve < least:", "if serve <= least:"),
    Mutant("nobody is forced", "if serve < least:", "if False:"),
    Mutant("the decision is on the state before", "    serve = 0\n", "    serve = 1\n"),
    Mutant(
        "servers that enter for the floor do not count",
        "_lacking(pool, placements, least)",
        "_lacking(pool, placements, least + 1)",
    ),
    Mutant(
        "forced is taken for pooled",
        "return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED",
        "return Placement.POOLED",
    ),
    Mutant(
        "unknown servers are forced",
        "return Placement.FORCED if server.health is Health.DOWN else Placement.POOLED",
        "return Placement.FORCED",
    ),
    Mutant(
        "a list of names not yet known empties the pool",
        "    pooled = (server for server in",
        "    return pool.held\n    pooled = (server for server in",
    ),
    Mutant(
        "those who leave are held though others serve",
        "if any(server.eligible for server in servers.values()):",
        "if False:",
    ),
    Mutant("those who were out are held", "pool.servers.values() if server.pooled)", "pool.servers.values())"),
    Mutant("what was held is forgotten by such a list", "{**pool.held, **{s.address", "{**{s.address"),
    # The check as the suspect
    Mutant(
        "servers are held though that was not asked for",
        "if pool.service.suspect_check is not SuspectCheck.HOLD:",
        "if False:",
    ),
    Mutant("nobody is held", "if pool.service.suspect_check is not SuspectCheck.HOLD:", "if True:"),
    Mutant("an excuse outlives the failure", "suspect_failures = failing & (server", "suspect_failures = (server"),
    Mutant(
        "an excuse is forgotten", "(server.suspect_failures | together.get(host, set()))", "together.get(host, set())"
    ),
    Mutant(
        "one excuse excuses everything",
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
    Mutant("optimism is ignored", "(optimistic or server.placement is not out)", "server.placement is not out"),
    Mutant(
        "optimism pools those that are down",
        "server.health is unknown and (optimistic or server.placement is not out)",
        "(optimistic or server.health is unknown and server.placement is not out)",
    ),
    Mutant(
        "servers that go down are not depooled",
        "        else:\n            placements[host] = out\n",
        "        else:\n            placements[host] = server.placement\n",
    ),
    # Who is forced
    Mutant("those who were pooled do not stay", "return stay + (first", "return (first"),
    Mutant("nobody enters for the floor", "return stay + (first + last)[: max(0, missing)]", "return stay"),
    Mutant("everybody enters for the floor", "(first + last)[: max(0, missing)]", "(first + last)"),
    Mutant("enough are pooled and some enter", "[: max(0, missing)]", "[:missing]"),
    Mutant("those who stay do not count", " + len(stay)\n", "\n"),
    Mutant(
        "only as many stay as the floor needs",
        "return stay + (first + last)[: max(0, missing)]",
        "return (stay + first + last)[: max(0, missing + len(stay))]",
    ),
    Mutant("the down enter by the order of the source", "else last if server.health is down else first", "else first"),
    Mutant("the down enter first", "(first + last)[", "(last + first)["),
    Mutant("the last of the source enter first", "(first + last)[", "(first[::-1] + last[::-1])["),
    Mutant("the disabled enter", "if server.eligible and placements[host] is out:", "if placements[host] is out:"),
    Mutant("those who stay enter as others do", "stay if server.placement is not out else last", "last"),
    Mutant("names awaited do not count", "(min(len(pool.held), _awaited(pool)) if pool.held else 0)", "0"),
    Mutant("every address held counts", "(min(len(pool.held), _awaited(pool)) if pool.held else 0)", "len(pool.held)"),
    Mutant("every name awaited counts", "(min(len(pool.held), _awaited(pool)) if pool.held else 0)", "_awaited(pool)"),
)
