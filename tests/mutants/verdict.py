"""Ways to break the decision what is announced: exact replacements in pybal/bgp/verdict.py, each named for what it breaks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # What is counted
    Mutant(
        "disabled servers may serve",
        "if server.member.enabled and not server.unresolvable]",
        "if not server.unresolvable]",
    ),
    Mutant(
        "servers that are nowhere may serve",
        "if server.member.enabled and not server.unresolvable]",
        "if server.member.enabled]",
    ),
    Mutant(
        "servers that are down may serve", "possible=sum(server.health is not Health.DOWN for", "possible=sum(True for"
    ),
    Mutant("nobody is awaited", "server.health is Health.UNKNOWN or not server.ready for", "False for"),
    Mutant(
        "servers without an address are not awaited",
        "server.health is Health.UNKNOWN or not server.ready for",
        "server.health is Health.UNKNOWN for",
    ),
    Mutant(
        "unknown servers are not awaited",
        "server.health is Health.UNKNOWN or not server.ready for",
        "not server.ready for",
    ),
    # What is remembered
    Mutant("the list came just now, always", "listed = now if past.listed is None else past.listed", "listed = now"),
    Mutant(
        "without a list nothing was before",
        "        return past\n    listed = now",
        "        return _ServicePast()\n    listed = now",
        "a pool that has had a list is never without one again",
    ),
    Mutant("too few for all we know are too few", "past.low or count.possible < standing.enough", "True"),
    Mutant(
        "too few are forgotten while few serve",
        "past.low or count.possible < standing.enough",
        "count.possible < standing.enough",
    ),
    Mutant("enough are enough at once", "past.low and now < enough + RETURN", "False"),
    Mutant("enough are never enough again", "past.low and now < enough + RETURN", "past.low"),
    Mutant(
        "the wait for enough begins anew at each change",
        "enough = past.enough if past.enough is not None else now",
        "enough = now",
    ),
    # When it is to be asked again
    Mutant(
        "it is not woken when a VIP has waited",
        "ends = [past.seen + settings.wait for past in memory.vips.values() if not past.made]",
        "ends = []",
    ),
    Mutant(
        "it is not woken when a drain ends",
        "    ends += [drain.at + settings.drain.wait for drain in drains.values()]\n",
        "",
    ),
    Mutant(
        "it is not woken when first checks have waited",
        "        ends += [] if past.listed is None else [past.listed + settings.wait]\n",
        "",
    ),
    Mutant(
        "it is not woken when enough have served",
        "        ends += [past.enough + RETURN] if past.low and past.enough is not None else []\n",
        "",
    ),
    Mutant("it is woken for what is over", "if end > now), default", "if True), default"),
    # Drains
    Mutant(
        "the drain of all does not count",
        "for key in (vip, None) if key in drains",
        "for key in (vip,) if key in drains",
    ),
    Mutant(
        "the drain of one does not count",
        "for key in (vip, None) if key in drains",
        "for key in (None,) if key in drains",
    ),
    Mutant("the later drain counts", "drain = min((drains[key]", "drain = max((drains[key]"),
    Mutant(
        "a drain hides that nothing is pooled",
        "if drain and (trouble is None or trouble.why not in _KNOWN):",
        "if drain:",
    ),
    Mutant("a drain announces what was not", "announced = self.past.made and not over", "announced = not over"),
    Mutant("a drain never withdraws", "announced = self.past.made and not over", "announced = self.past.made"),
    Mutant("a drain withdraws at once", "announced = self.past.made and not over", "announced = False"),
    Mutant(
        "what was drained is judged as if it were announced",
        "made=False)) if over else self",
        "made=True)) if over else self",
    ),
    Mutant("a drain lowers a MED that is higher", "max(med, means.med)", "means.med"),
    Mutant("a drain leaves the MED", "max(med, means.med)", "med"),
    Mutant(
        "a drain does not ask to prefer others", "max(med, means.med), means.graceful_shutdown)", "max(med, means.med))"
    ),
    # Verdicts
    Mutant("every decision is a change", "since if same else self.now", "since if False else self.now"),
    Mutant(
        "another reason is no change",
        "same = announced == self.past.made and why is self.past.why",
        "same = announced == self.past.made",
    ),
    Mutant(
        "every VIP has the MED of all",
        "self.services[0].med if self.services else self.settings.med",
        "self.settings.med",
    ),
    Mutant("what is made is forgotten", "made=verdict.announcement is not None, why", "made=False, why"),
    Mutant("advertised addresses are not announced", "        by_vip.setdefault(address, [])\n", "        pass\n"),
    # What speaks against it
    Mutant("the gate is always there", "if not self.services or not self.settings.gate:", "if not self.services:"),
    Mutant("the gate is never there", "if not self.services or not self.settings.gate:", "if True:"),
    Mutant("what is frozen is decided", "if any(standing.frozen for standing in self.services):", "if False:"),
    Mutant(
        "what is frozen is announced", "return None if self.past.made else _Trouble(Why.FROZEN, names)", "return None"
    ),
    Mutant(
        "what is frozen is withdrawn",
        "return None if self.past.made else _Trouble(Why.FROZEN, names)",
        "return _Trouble(Why.FROZEN, names)",
    ),
    Mutant(
        "one service is always enough",
        "self.services[0].policy is VIPPolicy.ANY and None in troubles",
        "None in troubles",
    ),
    Mutant("one service is never enough", "self.services[0].policy is VIPPolicy.ANY and None in troubles", "False"),
    Mutant(
        "what is not known takes back",
        "            return None if one_is_enough or not known else known[0]\n",
        "            return None if one_is_enough else next(iter(known + unknown), None)\n",
    ),
    Mutant(
        "what is known does not take back",
        "            return None if one_is_enough or not known else known[0]\n",
        "            return None\n",
    ),
    Mutant(
        "one fit service does not wait for the others",
        "waited = not unknown or self.now >= self.past.seen + self.settings.wait",
        "waited = True",
    ),
    Mutant(
        "one fit service waits for ever",
        "waited = not unknown or self.now >= self.past.seen + self.settings.wait",
        "waited = not unknown",
    ),
    Mutant("what is unknown is said first", "next(iter(known + unknown), None)", "next(iter(unknown + known), None)"),
    Mutant("no list is no trouble", "if not standing.pool.listed or past.listed is None:", "if False:"),
    Mutant("too few are no trouble", "        if past.low:\n", "        if False:\n"),
    Mutant(
        "first checks are awaited for ever",
        "count.awaited and self.now < past.listed + self.settings.wait and not self.past.made",
        "count.awaited and not self.past.made",
    ),
    Mutant("first checks are not awaited", "awaited = count.awaited and self.now", "awaited = False and self.now"),
    Mutant(
        "an announced VIP without servers waits for checks",
        "past.listed + self.settings.wait and not self.past.made",
        "past.listed + self.settings.wait",
    ),
    Mutant("an empty pool is no trouble", "if not count.addresses and not awaited:", "if False:"),
    Mutant(
        "an empty pool is one while checks are awaited",
        "if not count.addresses and not awaited:",
        "if not count.addresses:",
    ),
    Mutant("IPVS need not hold it", "        if not standing.verified:\n", "        if False:\n"),
    Mutant(
        "unknown servers are enough to begin with",
        "return below if count.serving < standing.enough else None",
        "return None",
    ),
)
