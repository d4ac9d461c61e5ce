"""Mutants of pybal/bgp/verdict.py: exact replacements, each named after the rule that it breaks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Counts of servers
    Mutant("down servers count as possible", "server.usable and server.health is not Health.DOWN", "server.usable"),
    Mutant("unusable servers count as possible", "server.usable and server.health is not", "server.health is not"),
    Mutant(
        "unusable servers are awaited",
        "server.usable and _unknown(server)",
        "_unknown(server)",
    ),
    Mutant("no server is awaited", "return server.health is Health.UNKNOWN or not server.ready", "return False"),
    Mutant(
        "servers without an address are not awaited",
        "return server.health is Health.UNKNOWN or not server.ready",
        "return server.health is Health.UNKNOWN",
    ),
    Mutant(
        "unknown servers are not awaited",
        "return server.health is Health.UNKNOWN or not server.ready",
        "return not server.ready",
    ),
    Mutant(
        "servers of weight 0 are awaited",
        "server.weighted and server.usable and _unknown",
        "server.usable and _unknown",
    ),
    Mutant(
        "servers of weight 0 count as possible",
        "server.weighted and server.usable and server.health",
        "server.usable and server.health",
    ),
    Mutant("servers of weight 0 are addresses", "server.pooled and server.weighted)", "server.pooled)"),
    Mutant(
        "servers of weight 0 share an address",
        "return server.pooled and server.member.weighted",
        "return server.pooled",
    ),
    Mutant("held addresses of weight 0 count", " - [*pool.held.values()].count(0)", ""),
    Mutant("servers that share an address count as several addresses", "max(0, number - 1)", "0"),
    Mutant("servers that are out reduce the addresses", "max(0, number - 1)", "number - 1"),
    Mutant("held addresses do not count", " + held,", ","),
    # Memory
    Mutant(
        "the time of the first list is not kept", "listed = now if past.listed is None else past.listed", "listed = now"
    ),
    Mutant(
        "a missing list clears the memory",
        "        return past\n    listed = now",
        "        return _ServicePast()\n    listed = now",
        "a pool never loses its list",
    ),
    Mutant("unchecked servers start a shortage", "past.low or count.possible < standing.required", "True"),
    Mutant(
        "a shortage ends while few servers serve",
        "past.low or count.possible < standing.required",
        "count.possible < standing.required",
    ),
    Mutant("a shortage ends without the recovery time", "past.low and now < enough + RECOVERY_SECONDS", "False"),
    Mutant("a shortage never ends", "past.low and now < enough + RECOVERY_SECONDS", "past.low"),
    Mutant(
        "each decision restarts the recovery time",
        "enough = past.enough if past.enough is not None else now",
        "enough = now",
    ),
    # Time of the next decision
    Mutant(
        "no wake at the end of a VIP's wait",
        "ends = [past.seen + settings.wait for past in memory.vips.values() if not past.announced]",
        "ends = []",
    ),
    Mutant(
        "no wake at the end of a drain's wait",
        "    ends += [drain.at + settings.drain.wait for drain in drains.values()]\n",
        "",
    ),
    Mutant(
        "no wake at the end of the wait for first checks",
        "        ends += [] if past.listed is None else [past.listed + settings.wait]\n",
        "",
    ),
    Mutant(
        "no wake at the end of the recovery time",
        "        ends += [past.enough + RECOVERY_SECONDS] if past.low and past.enough is not None else []\n",
        "",
    ),
    Mutant("a wake in the past", "if end > now), default", "if True), default"),
    # Drains
    Mutant(
        "a drain of all VIPs is ignored",
        "for key in (vip, None) if key in drains",
        "for key in (vip,) if key in drains",
    ),
    Mutant(
        "a drain of one VIP is ignored",
        "for key in (vip, None) if key in drains",
        "for key in (None,) if key in drains",
    ),
    Mutant("the last of two drains decides", "drain = min((drains[key]", "drain = max((drains[key]"),
    Mutant(
        "a drain hides conclusive reasons",
        "if drain and (reason is None or reason.why not in _CONCLUSIVE):",
        "if drain:",
    ),
    Mutant("a drain announces a withdrawn VIP", "announced = self.past.announced and not over", "announced = not over"),
    Mutant(
        "a drain never withdraws", "announced = self.past.announced and not over", "announced = self.past.announced"
    ),
    Mutant("a drain withdraws without the wait", "announced = self.past.announced and not over", "announced = False"),
    Mutant(
        "a drained VIP is decided as if it were announced",
        "announced=False)) if over else self",
        "announced=True)) if over else self",
    ),
    Mutant("a drain lowers a higher MED", "max(med, means.med)", "means.med"),
    Mutant("a drain keeps the MED", "max(med, means.med)", "med"),
    Mutant("a drain omits graceful shutdown", "max(med, means.med), means.graceful_shutdown)", "max(med, means.med))"),
    # Verdicts
    Mutant("every decision changes `since`", "since if same else self.now", "since if False else self.now"),
    Mutant(
        "another reason keeps `since`",
        "same = announced == self.past.announced and why is self.past.why",
        "same = announced == self.past.announced",
    ),
    Mutant(
        "every VIP has the global MED",
        "self.services[0].med if self.services else self.settings.med",
        "self.settings.med",
    ),
    Mutant(
        "announcements are not remembered", "announced=verdict.announcement is not None, why", "announced=False, why"
    ),
    Mutant("advertised addresses are not announced", "        by_vip.setdefault(address, [])\n", "        pass\n"),
    # Reasons against an announcement
    Mutant("the gate cannot be disabled", "if not self.services or not self.settings.gate:", "if not self.services:"),
    Mutant("the gate is always disabled", "if not self.services or not self.settings.gate:", "if True:"),
    Mutant("frozen services are ignored", "if any(standing.frozen for standing in self.services):", "if False:"),
    Mutant(
        "a frozen VIP is announced",
        "return None if self.past.announced else _Reason(Why.FROZEN, names)",
        "return None",
    ),
    Mutant(
        "a frozen VIP is withdrawn",
        "return None if self.past.announced else _Reason(Why.FROZEN, names)",
        "return _Reason(Why.FROZEN, names)",
    ),
    Mutant(
        "one service is always enough",
        "self.services[0].policy is VIPPolicy.ANY and None in reasons",
        "None in reasons",
    ),
    Mutant("one service is never enough", "self.services[0].policy is VIPPolicy.ANY and None in reasons", "False"),
    Mutant(
        "inconclusive reasons withdraw",
        "            return None if one_is_enough or not conclusive else conclusive[0]\n",
        "            return None if one_is_enough else next(iter(conclusive + inconclusive), None)\n",
    ),
    Mutant(
        "conclusive reasons do not withdraw",
        "            return None if one_is_enough or not conclusive else conclusive[0]\n",
        "            return None\n",
    ),
    Mutant(
        "one ready service does not wait for the others",
        "waited = not inconclusive or self.now >= self.past.seen + self.settings.wait",
        "waited = True",
    ),
    Mutant(
        "one ready service waits for ever",
        "waited = not inconclusive or self.now >= self.past.seen + self.settings.wait",
        "waited = not inconclusive",
    ),
    Mutant(
        "inconclusive reasons come first",
        "next(iter(conclusive + inconclusive), None)",
        "next(iter(inconclusive + conclusive), None)",
    ),
    Mutant("a missing list is accepted", "if not standing.pool.listed or past.listed is None:", "if False:"),
    Mutant("a shortage is accepted", "        if past.low:\n", "        if False:\n"),
    Mutant(
        "first checks are awaited for ever",
        "count.awaited and self.now < past.listed + self.settings.wait and not self.past.announced",
        "count.awaited and not self.past.announced",
    ),
    Mutant("first checks are not awaited", "awaited = count.awaited and self.now", "awaited = False and self.now"),
    Mutant(
        "an announced VIP without servers waits for checks",
        "past.listed + self.settings.wait and not self.past.announced",
        "past.listed + self.settings.wait",
    ),
    Mutant("an empty pool is accepted", "if not count.addresses and not awaited:", "if False:"),
    Mutant(
        "an empty pool does not wait for first checks",
        "if not count.addresses and not awaited:",
        "if not count.addresses:",
    ),
    Mutant("verification by IPVS is not required", "        if not standing.verified:\n", "        if False:\n"),
    Mutant(
        "unknown servers count as serving at first",
        "return below if count.serving < standing.required else None",
        "return None",
    ),
)
