"""Mutants of pybal/bgp/verdict.py: exact replacements, each named after the rule that it breaks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Counts of servers
    Mutant("down servers count as possible", "server.usable and server.health is not Health.DOWN", "server.usable"),
    Mutant("unusable servers count as possible", "server.usable and server.health is not", "server.health is not"),
    Mutant(
        "unusable servers are awaited",
        "server.weighted and server.usable and (server.health is Health.UNKNOWN",
        "server.weighted and (server.health is Health.UNKNOWN",
    ),
    Mutant("no server is awaited", "(server.health is Health.UNKNOWN or not server.ready)", "False"),
    Mutant(
        "servers without an address are not awaited",
        "(server.health is Health.UNKNOWN or not server.ready)",
        "(server.health is Health.UNKNOWN)",
    ),
    Mutant(
        "unknown servers are not awaited", "(server.health is Health.UNKNOWN or not server.ready)", "(not server.ready)"
    ),
    Mutant(
        "weight 0 is awaited",
        "server.weighted and server.usable and (server.health is Health.UNKNOWN",
        "server.usable and (server.health is Health.UNKNOWN",
    ),
    Mutant(
        "weight 0 carries",
        "count(lambda server: server.pooled and server.weighted)",
        "count(lambda server: server.pooled)",
    ),
    Mutant(
        "weight 0 may serve",
        "server.weighted and server.usable and server.health is not",
        "server.usable and server.health is not",
    ),
    Mutant("disabled servers count for a share", "server.enabled and server.weighted", "server.weighted"),
    Mutant("weight 0 counts for a share", "server.enabled and server.weighted", "server.enabled"),
    Mutant("held addresses do not count", " + sum(map(bool, pool.held.values())),\n", ",\n"),
    Mutant("held addresses with weight 0 count", "sum(map(bool, pool.held.values()))", "len(pool.held)"),
    # Flaps
    Mutant("a return from empty is never held", "self.withdrawn is not Why.EMPTY or self.flaps < FLAPS", "True"),
    Mutant("every return is held", "self.withdrawn is not Why.EMPTY or self.flaps < FLAPS", "self.flaps < FLAPS"),
    Mutant(
        "the first return is held",
        "self.withdrawn is not Why.EMPTY or self.flaps < FLAPS",
        "self.withdrawn is not Why.EMPTY",
    ),
    Mutant("the hold does not double", "settings.hold * 2.0**doublings", "settings.hold"),
    Mutant(
        "the hold has no limit",
        "min(settings.hold * 2.0**doublings, max(settings.hold, LONGEST_HOLD))",
        "settings.hold * 2.0**doublings",
    ),
    Mutant("the limit shortens the option", "max(settings.hold, LONGEST_HOLD)", "LONGEST_HOLD"),
    Mutant("flaps are never forgotten", "or now < self.quiet_at else", "or True else"),
    Mutant("only an announced VIP is quiet", "(self.announced or self.why in _CONCLUSIVE)", "self.announced"),
    Mutant("a withdrawn VIP alone is quiet", "(self.announced or self.why in _CONCLUSIVE)", "self.why in _CONCLUSIVE"),
    Mutant("any reason is quiet", "(self.announced or self.why in _CONCLUSIVE)", "True"),
    Mutant("a drain counts as a flap", "elif self.announced and verdict.why in _CONCLUSIVE:", "elif self.announced:"),
    Mutant(
        "the reason of a withdrawal outlives the return",
        "            withdrawn = None\n",
        "            pass\n",
    ),
    Mutant("each decision restarts the hold", "self.now if self.past.ready is None else self.past.ready", "self.now"),
    Mutant(
        "a failure does not restart the hold",
        "return verdict, None if announced else ready",
        "return verdict, self.past.ready if ready is None else ready",
    ),
    Mutant(
        "no wake at the end of the hold",
        "        ends += [vip.ready + vip.hold(settings)] if vip.ready is not None else []\n",
        "",
    ),
    Mutant(
        "no wake at the end of the quiet time",
        "        ends += [vip.quiet_at] if vip.quiet_at is not None else []\n",
        "",
    ),
    Mutant(
        "announcements are not remembered",
        "VIPPast(self.seen, verdict.since, announced, ",
        "VIPPast(self.seen, verdict.since, False, ",
    ),
    # Emptiness
    Mutant(
        "first checks are awaited for ever",
        "awaited = count.awaited and self.now < past.listed + self.settings.wait",
        "awaited = count.awaited",
    ),
    Mutant(
        "unknown servers withdraw an announced VIP",
        "count.possible if self.past.announced else awaited",
        "False if self.past.announced else awaited",
    ),
    Mutant("an announced VIP waits for checks only", "count.possible if self.past.announced else awaited", "awaited"),
    Mutant("an empty pool is accepted", "if not count.carrying:", "if False:"),
    Mutant("a service that is absent stays announced", "if standing.absent:", "if False:"),
    # Memory
    Mutant(
        "the time of the first list is not kept", "listed = now if past.listed is None else past.listed", "listed = now"
    ),
    Mutant(
        "a missing list clears the memory",
        "        return past\n    listed = now",
        "        return ServicePast()\n    listed = now",
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
        "one service is always enough", "any_service = self.services[0].policy is VIPPolicy.ANY", "any_service = True"
    ),
    Mutant(
        "one service is never enough", "any_service = self.services[0].policy is VIPPolicy.ANY", "any_service = False"
    ),
    Mutant("a service that is not ready announces", "if any_service and None in reasons:", "if any_service:"),
    Mutant(
        "inconclusive reasons withdraw",
        "            return None if kept or not conclusive else conclusive[0]\n",
        "            return None if kept else next(iter(conclusive + inconclusive), None)\n",
    ),
    Mutant(
        "conclusive reasons do not withdraw",
        "            return None if kept or not conclusive else conclusive[0]\n",
        "            return None\n",
    ),
    Mutant(
        "only a ready service keeps a VIP",
        "known and (reason is None or reason.why not in _CONCLUSIVE)",
        "reason is None",
    ),
    Mutant("a service without list and servers keeps a VIP", "return known and (reason", "return (reason"),
    Mutant(
        "a service with servers in the kernel but no list keeps no VIP",
        "standing.pool.listed or standing.count.carrying > 0",
        "standing.pool.listed",
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
    Mutant("first checks are not awaited", "awaited = count.awaited and self.now", "awaited = False and self.now"),
    Mutant("verification by IPVS is not required", "        if not standing.verified:\n", "        if False:\n"),
    Mutant(
        "unknown servers count as serving at first",
        "return below if count.serving < standing.required else None",
        "return None",
    ),
)
