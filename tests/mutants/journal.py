"""Mutants of the journal: exact replacements in codec.py, values.py and replay.py of pybal/journal."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CODEC_MUTANTS = (
    Mutant("held addresses are not recorded", "{dumps(held_value(held))}", "{{}}"),
    Mutant(
        "a host that is repeated is written twice",
        "{member.host: member_value(member) for member in members}.items()",
        "((member.host, member_value(member)) for member in members)",
    ),
    Mutant("the time of a lookup is rounded", '"looked_up":{at!r}', '"looked_up":{at:.1f}'),
    Mutant("names without an address have one", "None if where is None else str(where)) for", "str(where)) for"),
    Mutant(
        "reports on next addresses count for the present ones",
        '_reports_in_parts("tries", reports)',
        '_reports_in_parts("reports", reports)',
    ),
    Mutant("parts of a long event are not separated", '        mark = ","\n    yield', "        pass\n    yield"),
    Mutant("an event without reports is damaged", 'yield "[]" if mark == "[" else "]"', 'yield "]"'),
    Mutant("overdue hosts have any order", "dumps(sorted(hosts))", "dumps(list(hosts))"),
    Mutant("tries are read as reports", '"tries": lambda record: Tried(', '"tries": lambda record: Gathered('),
    Mutant(
        "names without an address are damaged",
        "None if where is None else address_of(where) for host",
        "address_of(where) for host",
    ),
    Mutant(
        "a record of an unknown event is an event", 'return record.get("event") in _EVENTS', 'return "event" in record'
    ),
)
VALUES_MUTANTS = (
    Mutant(
        "parts of an object are not separated",
        '        mark = ","\n    yield "{}" if',
        '        pass\n    yield "{}" if',
    ),
    Mutant("an empty object is damaged", 'yield "{}" if mark == "{" else "}"', 'yield "}"'),
    Mutant(
        "disabled members are enabled",
        "    if member.enabled:\n        return member.weight\n",
        "    return member.weight\n",
    ),
    Mutant("overridden members are disabled", "DEPOOLED if member.overridden else DISABLED", "DISABLED"),
    Mutant("disabled members are overridden", "DEPOOLED if member.overridden else DISABLED", "DEPOOLED"),
    Mutant(
        "members are read as disabled by the list", "enabled=False, overridden=state == DEPOOLED)", "enabled=False)"
    ),
    Mutant(
        "the address of a report is lost",
        'where = "null" if event.address is None else f\'"{event.address}"\'',
        'where = "null"',
    ),
    Mutant("the time of a report is rounded", '{where},{report.at!r}"', '{where},{report.at:.1f}"'),
    Mutant(
        "the cause of a failure is its reason",
        "if report.cause != report.reason or report.since is not None or report.up:",
        "if report.since is not None or report.up:",
    ),
    Mutant(
        "the begin of a failure is lost",
        "    if report.since is not None or report.up:\n        rest.append(report.since)\n",
        "    if report.up:\n        rest.append(report.since)\n",
    ),
    Mutant("an up with a reason is a down", "    if report.up:\n        rest.append(True)\n", ""),
    Mutant(
        "a failure without a cause has none",
        "return Report(False, reason, at, reason)",
        'return Report(False, reason, at, "")',
    ),
    Mutant("a failure begins at its report", "cause, rest[0] if rest else None)", "cause, None)"),
    Mutant(
        "an unknown report is up",
        "case [at]:\n            return Report(True",
        "case [at]:\n            return Report(False",
    ),
    Mutant("flags of schedulers are lists", '("scheduler_flags", "monitors")', '("monitors",)'),
    Mutant("suspect-check is a word", '    if "suspect_check" in own:\n', "    if False:\n"),
    Mutant("the address of a server is lost", "    if server.address is not None:\n", "    if False:\n"),
    Mutant("unresolvable servers wait for their name", "    if server.unresolvable:\n", "    if False:\n"),
    Mutant("placements are lost", 'value["placement"] = WORDS[server.placement]', 'value["placement"] = OUT'),
    Mutant("reports of a server are lost", "    if server.reports:\n", "    if False:\n"),
    Mutant("suspect failures are lost", "    if server.suspect_failures:\n", "    if False:\n"),
    Mutant("pending monitors are lost", "    if server.pending_monitors:\n", "    if False:\n"),
    Mutant("moves are lost", "    if move := server.move:\n", "    if (move := server.move) and False:\n"),
    Mutant("overdue moves wait", '"overdue": move.overdue}', '"overdue": False}'),
    Mutant("reports on next addresses are lost", '"reports": _reports_value(move.reports)}', '"reports": {}}'),
    Mutant(
        "servers that left have a placement",
        "if new is not None and new.placement is not",
        "if new is None or new.placement is not",
    ),
    Mutant(
        "every changed server has another placement",
        "and new.placement is not (Placement.OUT if old is None else old.placement)",
        "",
    ),
    Mutant(
        "new servers that stay out have a placement",
        "(Placement.OUT if old is None else old.placement)",
        "(None if old is None else old.placement)",
    ),
)
REPLAY_MUTANTS = (
    # Gaps
    Mutant(
        "a gap keeps the states", "            self._forget()\n        self._n, self.at", "        self._n, self.at"
    ),
    Mutant("a gap has a record more", "n - self._n - 1,", "n - self._n,"),
    Mutant("a gap has no reason", 'record.get("lost", {}).get("reason", "")', '""'),
    Mutant(
        "a new run keeps the states",
        '            self._forget()\n            if record["n"] != 1',
        '            if record["n"] != 1',
    ),
    Mutant(
        "each run has a gap before it",
        'if record["n"] != 1 and self.counts.segments > 1:',
        "if self.counts.segments > 1:",
    ),
    Mutant(
        "a gap at a start has no reason",
        'record["time"], None, _reason(record)))',
        'record["time"], None))',
    ),
    Mutant(
        "a run that begins in the middle has no gap",
        '            if record["n"] != 1 and self.counts.segments > 1:\n'
        '                self.gaps.append(Gap(self.time, record["time"], None, _reason(record)))\n',
        "",
    ),
    Mutant("bursts outlive a gap", "        self._bursts.clear()\n", ""),
    Mutant("alerts outlive a run", "        self.alerts.clear()\n", ""),
    Mutant("an alert has no end", "            self.alerts.pop(key, None)\n", "            pass\n"),
    Mutant(
        "a damaged record keeps the states",
        'not understood ({error!r})")\n        self._forget()\n',
        'not understood ({error!r})")\n',
    ),
    # States
    Mutant(
        "an unequal state is not a difference",
        "            self._differ(state.record, pool.service.name, text)\n",
        "",
    ),
    Mutant(
        "an unequal state is not taken over",
        "            self._differ(state.record, pool.service.name, text)\n            self.pools[state.number] = pool\n",
        "            self._differ(state.record, pool.service.name, text)\n",
    ),
    Mutant(
        "a removed service hides its successor",
        "key=lambda number: (number not in self.ended, number)",
        "key=lambda number: (number in self.ended, number)",
    ),
    Mutant(
        "an event drops the reports before it",
        "self._end_burst(number)\n        before =",
        "before =",
    ),
    Mutant(
        "the order of servers does not count",
        "if tuple(replayed.servers) != tuple(recorded.servers):",
        "if replayed.servers.keys() != recorded.servers.keys():",
    ),
    Mutant("other settings are no difference", "    if replayed != recorded:\n", "    if False:\n"),
    # Outcomes
    Mutant(
        "the number that serve does not count",
        'placed != record["placed"] or serves != record["serving"]',
        'placed != record["placed"]',
    ),
    Mutant(
        "placements do not count",
        'placed != record["placed"] or serves != record["serving"]',
        'serves != record["serving"]',
    ),
    Mutant(
        "a burst places its servers once only",
        " if burst.moved else {}",
        " if burst.moved and not self.counts.changes else {}",
    ),
    Mutant("other verdicts are no difference", "        if changed != recorded:\n", "        if False:\n"),
    Mutant(
        "VIPs without a decision are no difference",
        '        if gone != {address_of(vip) for vip in record.get("gone", ())}:\n',
        "        if False:\n",
    ),
    # Announcements
    Mutant(
        "drains stay as they began",
        '        if "drains" in record:\n            self.drains = drains_of(record["drains"])\n',
        "",
    ),
    Mutant("the past of removed services counts", "if name not in forgotten}", "}"),
    Mutant("standings have a former pool", "or known[1] is not pool:", "or False:"),
    Mutant("standings have former facts", "or known[0] is not facts or", "or"),
    Mutant("each segment begins with its own state", 'if first and "memory" in record:', 'if "memory" in record:'),
)
