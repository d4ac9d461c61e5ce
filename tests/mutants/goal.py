"""Mutants of pybal/ipvs/goal.py: exact replacements, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Back-off
    Mutant("the first pause is longer", "FIRST_DELAY = 1.0", "FIRST_DELAY = 2.0"),
    Mutant("the longest pause is longer", "LONGEST_DELAY = 15.0", "LONGEST_DELAY = 30.0"),
    Mutant("pauses grow less", "factor=2.0", "factor=1.5"),
    # Goals
    Mutant(
        "a goal is not replaced",
        "self.wanted, self.written, self.touched = wanted, None, {}",
        "self.written, self.touched = None, {}",
    ),
    Mutant(
        "a new goal is compared in part",
        "self.wanted, self.written, self.touched = wanted, None, {}",
        "self.wanted, self.touched = wanted, {}",
    ),
    Mutant(
        "a new goal keeps the amendments of the last one",
        "self.wanted, self.written, self.touched = wanted, None, {}",
        "self.wanted, self.written = wanted, None",
        survives="a new goal is compared as a whole",
    ),
    # Amendments
    Mutant("a retired service is amended", "        if wanted is None or (", "        if ("),
    Mutant(
        "a service of another name is amended",
        "(wanted[0].name, wanted[0].tunneling) != (service.name, service.tunneling)",
        "wanted[0].tunneling != service.tunneling",
    ),
    Mutant(
        "the forwarding of a part is amended",
        "(wanted[0].name, wanted[0].tunneling) != (service.name, service.tunneling)",
        "wanted[0].name != service.name",
    ),
    Mutant(
        "amended destinations are not compared",
        "            touched.update(dict.fromkeys(",
        "            dict(dict.fromkeys(",
    ),
    Mutant(
        "only the last part of an amendment is compared",
        "            touched.update(dict.fromkeys((address, service.port) for address in part))\n",
        "            touched = dict.fromkeys((address, service.port) for address in part)\n",
    ),
    Mutant(
        "an amendment undoes the goal that was set during it",
        '            if self.wanted is not wanted:\n                raise LookupError(f"{service.name} has another goal")\n',
        "",
    ),
    Mutant(
        "an amendment does not change the service",
        "            self.wanted = service, entry\n",
        "            self.wanted = wanted[0], entry\n",
    ),
    Mutant(
        "an amendment does not change the entry",
        "            self.wanted = service, entry\n",
        "            self.wanted = service, wanted[1]\n",
    ),
    Mutant(
        "only the last amendment is compared",
        "            self.touched.update(touched)\n",
        "            self.touched = touched\n",
    ),
    # Begin
    Mutant(
        "an entry that is known in part is compared in part",
        "touched = self.touched if held is not None and held is self.written else None",
        "touched = self.touched if held is not None else None",
    ),
    Mutant(
        "a missing service is compared in part",
        "touched = self.touched if held is not None and held is self.written else None",
        "touched = self.touched if held is self.written else None",
    ),
    Mutant(
        "amendments are compared again",
        "        self.written, self.touched = self.aim(held, now), {}\n",
        "        self.written = self.aim(held, now)\n",
        survives="they are equal by then: only the time of the comparison differs",
    ),
    Mutant(
        "a service that was written is compared as a whole",
        "        self.written, self.touched = self.aim(held, now), {}\n        return self.written, touched\n",
        "        self.touched = {}\n        return self.aim(held, now), touched\n",
    ),
    # Cost
    Mutant(
        "an amendment costs as much as the whole service",
        "        if held is not None and held is self.written:\n            return len(self.touched)\n",
        "",
    ),
    Mutant(
        "each change of a known service costs as much as its amendments",
        "        if held is not None and held is self.written:\n            return len",
        "        if held is not None:\n            return len",
    ),
    Mutant(
        "a missing service costs as much as its amendments",
        "        if held is not None and held is self.written:\n            return len",
        "        if held is self.written:\n            return len",
    ),
    Mutant("the smaller entry is the cost", "return max(len(wanted),", "return min(len(wanted),"),
    Mutant(
        "the wanted entry has no cost",
        "return max(len(wanted), len(held.destinations) if held else 0)",
        "return len(held.destinations) if held else 0",
    ),
    Mutant(
        "the entry to remove has no cost",
        "return max(len(wanted), len(held.destinations) if held else 0)",
        "return len(wanted)",
    ),
    # Aim
    Mutant(
        "a retired service is deleted immediately",
        "return drained(held) if held and now < self.drained_at else None",
        "return None",
    ),
    Mutant("a retired service takes connections", "return drained(held) if held", "return held if held"),
    Mutant(
        "a retired service without an entry is drained", "if held and now < self.drained_at", "if now < self.drained_at"
    ),
    Mutant("a drain is one moment longer", "now < self.drained_at", "now <= self.drained_at"),
    Mutant("a drained service is never deleted", "if held and now < self.drained_at", "if held"),
    # Alerts
    Mutant(
        "a service without a server is critical",
        "self.wanted is not None and self.wanted[1].serves",
        "self.wanted is not None",
    ),
    Mutant("no alert is critical", "serves = self.wanted is not None and self.wanted[1].serves", "serves = False"),
    Mutant(
        "a frozen service without a server is critical", "        if serves and uncreated:\n", "        if uncreated:\n"
    ),
    Mutant("a service that is only frozen is critical", "        if serves and uncreated:\n", "        if serves:\n"),
    Mutant("a frozen service is not critical", "        if serves and uncreated:\n", "        if False:\n"),
    Mutant(
        "an absent service without a server is critical",
        "if serves and self.absent and self.problem:",
        "if self.absent and self.problem:",
    ),
    Mutant("each failure is critical", "if serves and self.absent and self.problem:", "if serves and self.problem:"),
    Mutant(
        "an absent service is critical without a failure",
        "if serves and self.absent and self.problem:",
        "if serves and self.absent:",
    ),
    Mutant("an absent service is not critical", "if serves and self.absent and self.problem:", "if False:"),
    Mutant(
        "a critical alert has no beginning",
        "not_in_ipvs(self.name, self.problem, self.since)",
        "not_in_ipvs(self.name, self.problem)",
    ),
    Mutant("an alert has no beginning", ", since=self.since) if self.problem", ") if self.problem"),
    Mutant("an alert lasts since the start", "format_age(now - self.since)", "format_age(now)"),
    Mutant("every service has an alert", "since=self.since) if self.problem else None", "since=self.since)"),
    Mutant("an absent service is a warning", "severity=Severity.CRITICAL, since", "severity=Severity.WARNING, since"),
    # Attempts
    Mutant("an attempt is not cancelled", "            self.next.cancel()\n", "            pass\n"),
    Mutant(
        "an attempt that was made is cancelled",
        "        if self.next and self.next.active():\n",
        "        if self.next:\n",
    ),
    Mutant(
        "a cancelled attempt is kept",
        "        self.next = None\n",
        "",
        survives="it is not active, so it is not cancelled again",
    ),
)
