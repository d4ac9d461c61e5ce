"""Mutants of the controller of a service: exact replacements in pybal/daemon/controller.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Start, change and stop
    Mutant("the addresses in the kernel are ignored", "events.Adopted(held)", "events.Adopted({})"),
    Mutant("the start is not recorded", "        self._record(adopted, before)\n", ""),
    Mutant(
        "results of earlier lookups survive new settings",
        "        self._found = None  # Later",
        "        pass  # Later",
    ),
    Mutant(
        "new settings leave the monitors",
        "        self._service = service\n        self._watch.use(factories)\n",
        "        self._service = service\n",
    ),
    Mutant(
        "new settings leave the monitors of next addresses",
        "        self._moving.use(factories)\n        if tunneling",
        "        if tunneling",
    ),
    Mutant("new tunneling looks up no name again", "            self._lookups.restart()\n", "            pass\n"),
    Mutant("any new settings look up all names again", "        if tunneling_changed:  #", "        if True:  #"),
    Mutant(
        "addresses are judged by the settings of before",
        "        self._service = service\n        self._watch",
        "        self._watch",
    ),
    Mutant(
        "a second new source leaves the first one running",
        "            if self._successor is not None:\n                self._successor.stop()\n            self._successor = source",
        "            self._successor = source",
    ),
    Mutant(
        "a new source takes over before its first list",
        "            self._successor = source\n            source.start",
        "            self._source.stop()\n            self._source = source\n            source.start",
    ),
    Mutant("a stop leaves reports waiting", "        self._gathering.cancel()\n", ""),
    Mutant("a stop leaves a search for correlated failures", "        self._suspecting.cancel()\n", ""),
    Mutant("a stop leaves changes in the queue", "        self._changes.stop()\n", ""),
    Mutant(
        "a stop leaves the source running",
        "        self._changes.stop()\n        self._source.stop()\n",
        "        self._changes.stop()\n",
    ),
    Mutant(
        "a stop leaves the new source running",
        "        if self._successor is not None:\n            self._successor.stop()\n        self._lookups",
        "        self._lookups",
    ),
    Mutant("a stop leaves the lookups running", "        self._lookups.stop()\n", ""),
    Mutant("a stop leaves the monitors running", "        self._watch.stop()\n", ""),
    Mutant("a stop leaves the monitors of next addresses running", "        self._moving.stop()\n", ""),
    Mutant("a stop does not end the journal of the pool", "            self._tape.end()\n", "            pass\n"),
    # Lists
    Mutant(
        "overrides are applied before the first list",
        "        if self._members is not None:\n            self._apply_list()\n",
        "        self._apply_list()\n",
    ),
    Mutant(
        "overrides wait for the next list",
        "        if self._members is not None:\n            self._apply_list()\n",
        "",
    ),
    Mutant(
        "overrides do not disable",
        "replace(member, enabled=False, overridden=True) if",
        "replace(member, overridden=True) if",
    ),
    Mutant(
        "overrides count as the operators' list",
        "replace(member, enabled=False, overridden=True) if",
        "replace(member, enabled=False) if",
    ),
    Mutant("overrides are ignored", "if member.host in hosts else member", "if False else member"),
    Mutant(
        "a new source leaves the one of before running",
        "            self._source.stop()\n            self._source, self._successor",
        "            self._source, self._successor",
    ),
    Mutant(
        "a new source stays the next one",
        "            self._source, self._successor = source, None\n",
        "            self._source = source\n",
    ),
    Mutant(
        "a list overtakes the reports before it",
        "            self._apply_reports()\n            self._list_waits",
        "            self._list_waits",
    ),
    Mutant("each list of a burst is an event", "        if not self._list_waits:\n", "        if True:\n"),
    Mutant("lists after the first are not applied", "        self._list_waits = False\n        hosts", "        hosts"),
    Mutant(
        "a failed source is not logged",
        "        self._log.write(LogLevel.error, text)\n        if self._tape",
        "        if self._tape",
    ),
    Mutant(
        "a failed source is not in the journal",
        '            self._tape.alert(Alert(self.name, "source", text))\n',
        "            pass\n",
    ),
    Mutant(
        "the pool of a list in progress has no members",
        "        if not pool.listed:  # The",
        "        if False:  # The",
    ),
    Mutant("disabled servers of a list in progress count as pooled", "if held and each.enabled)", "if held)"),
    Mutant(
        "a list in progress without held addresses counts as pooled", "if held and each.enabled)", "if each.enabled)"
    ),
    Mutant(
        "unresolved servers with held addresses do not count as pooled",
        "if server.condition.unresolved] if held else ()",
        "if False] if held else ()",
    ),
    Mutant(
        "unresolved servers without held addresses count as pooled",
        "if server.condition.unresolved] if held else ()",
        "if server.condition.unresolved]",
    ),
    # Lookups
    Mutant("an unusable address stays an alert", "            self._ignored.pop(host, None)\n", ""),
    Mutant("unusable addresses are used", "                usable[host] = None\n", ""),
    Mutant(
        "unusable addresses are no alert", "                self._ignored[host] = text = f", "                text = f"
    ),
    Mutant("addresses are not merged", "if self._found is not None and len", "if False and len"),
    Mutant("merged addresses are lost", "            self._found.update(usable)\n", ""),
    Mutant(
        "addresses overtake the reports before them",
        "        self._apply_reports()\n        self._found = usable\n",
        "        self._found = usable\n",
    ),
    Mutant(
        "addresses are merged into an event of before",
        "        if self._found is found:\n            self._found = None\n",
        "",
    ),
    Mutant(
        "addresses of the other family are usable",
        "if not service.tunneling and address.version != service.vip.version:",
        "if False:",
    ),
    Mutant(
        "tunneling does not allow the other family",
        "if not service.tunneling and address.version != service.vip.version:",
        "if address.version != service.vip.version:",
    ),
    Mutant("refused addresses are usable", "        return self._refusal(address)\n", '        return ""\n'),
    # Reports
    Mutant("reports are not in the history", "        self.history.report(host, monitor, report)\n", ""),
    Mutant(
        "reports on next addresses count for the present ones",
        "self._gather(self._tries, events",
        "self._gather(self._reports, events",
    ),
    Mutant("reports are gathered for ever", "        self._gathering.request()\n", ""),
    Mutant(
        "any number of reports is gathered",
        "        if len(reports) >= MOST_REPORTS:\n            self._apply_reports()\n",
        "",
    ),
    Mutant(
        "overdue moves are not logged",
        '        self._log.write(LogLevel.error, f"new address of {min(hosts)}{more} {late}")\n',
        "",
    ),
    Mutant(
        "reports on next addresses are not applied",
        '        self._apply_gathered(self._tries, events.Tried, "the next address of ")\n',
        "",
    ),
    Mutant("reports are applied again", "        gathered.clear()\n", ""),
    Mutant(
        "an event overtakes the reports before it",
        "        self._apply_reports()\n        self._changes.add(Change(subject",
        "        self._changes.add(Change(subject",
    ),
    # Applying an event
    Mutant(
        "an event that changes nothing is not recorded",
        "            self._record(happened, before)\n            return\n",
        "            return\n",
    ),
    Mutant("an event that changes nothing is applied", "        if after is before:\n", "        if False:\n"),
    Mutant(
        "the whole set is wanted after each event", "            self._wanted = after.service\n", "            pass\n"
    ),
    Mutant(
        "checks at the floor are not faster",
        "policy.serving(after) <= policy.floor(after)",
        "policy.serving(after) < policy.floor(after)",
    ),
    Mutant("the kernel does not follow", "            want()\n", ""),
    Mutant("a change of the pool is not announced", "            self._changed()\n", ""),
    Mutant(
        "names are not looked up",
        "            self._lookups.follow(after.servers.names, after.service.vip.version)\n",
        "",
    ),
    Mutant("monitors do not follow", "            self._watch.follow(after.servers, moved=not same)\n", ""),
    Mutant("monitors do not follow addresses", "moved=not same)", "moved=False)"),
    Mutant("monitors of next addresses do not follow", "            self._moving.follow(before, after)\n", ""),
    Mutant(
        "an event is half applied after an exception",
        "            self.pool, self._wanted = before, None\n",
        "            pass\n",
    ),
    Mutant("the kernel keeps an amendment that failed", "self.pool, self._wanted = before, None", "self.pool = before"),
    Mutant("an exception is swallowed", "before, None\n            raise\n", "before, None\n            return\n"),
    Mutant(
        "an event is not recorded", "            raise\n        self._record(happened, before)\n", "            raise\n"
    ),
    Mutant(
        "correlated failures are not searched",
        "        if self._correlated or may_be_correlated(after.servers):\n            self._suspecting.request()\n",
        "",
    ),
    Mutant(
        "changes are not logged",
        "        yield from self._log.changes(changes_in_parts(before, after), partial(policy.arithmetic, after))\n",
        "",
    ),
    Mutant(
        "the initialization ends before the lookups",
        " and not self.pool.servers.count(lambda each: each.awaits_lookup):",
        ":",
    ),
    Mutant(
        "the initialization ends before the first list",
        "self._initialized and self.pool.listed and not",
        "self._initialized and not",
    ),
    Mutant(
        "a pool without a list empties the kernel",
        "        if not after.listed:\n            return lambda: None\n",
        "",
    ),
    Mutant(
        "a new name amends the set",
        "(last.name, last.tunneling) != (service.name, service.tunneling):",
        "last.tunneling != service.tunneling:",
    ),
    Mutant("new settings of the service do not reach the kernel", "if found or service != last else", "if found else"),
    Mutant("each event amends the set", "if found or service != last else lambda: None", ""),
    # Correlated failures
    Mutant("correlated failures are no alert", "        self._correlated = correlated\n", ""),
    # Alerts
    Mutant("a failed source is no alert", "        if self._source.problem:\n", "        if False:\n"),
    Mutant("a missing list is no alert", "        elif not self.pool.listed:\n", "        elif False:\n"),
    Mutant(
        "a failed new source is no alert",
        "        if self._successor is not None and self._successor.problem:\n",
        "        if False:\n",
    ),
    Mutant("an alert on a server outlives it", "            if host in self.pool.servers:\n", "            if True:\n"),
    Mutant("a list of disabled servers is no alert", "enabled < policy.floor(pool):", "False:"),
)
