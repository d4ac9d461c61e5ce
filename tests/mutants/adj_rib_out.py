"""Mutants of pybal/bgp/adj_rib_out.py: exact replacements, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # The goal
    Mutant(
        "a changed goal sends nothing",
        "                self._dirty[prefix] = None\n                self.refused",
        "                self.refused",
    ),
    Mutant("a route that leaves the goal stays", "for prefix in {**before, **goal}:", "for prefix in goal:"),
    Mutant("unchanged routes are sent again", "if before.get(prefix) != goal.get(prefix):", "if True:"),
    Mutant("a refused route that changes stays refused", "                self.refused.pop(prefix, None)\n", ""),
    # The session
    Mutant(
        "routes that ExaBGP sends itself are not in flight",
        "for prefix, held in self._held.items()}",
        "for prefix, held in ()}",
    ),
    Mutant("a new session sends only new goals", "self._dirty = dict.fromkeys(self.goal)", "pass"),
    Mutant("a lost session stays established", "self.established = False\n        self.wire", "self.wire"),
    Mutant("a lost session keeps the wire", "        self.wire.clear()\n", ""),
    Mutant("a lost session keeps refusals", "        self.refused.clear()\n", ""),
    Mutant("a lost session keeps attempts", "        self.attempts.clear()\n", ""),
    Mutant("a lost session keeps changes in flight", "        self.in_flight.clear()\n", ""),
    Mutant("a lost session stays stuck", "        self._undeletable.clear()\n", ""),
    Mutant("a restarted ExaBGP still holds its routes", "        self._held.clear()\n", ""),
    # Commands
    Mutant(
        "commands are sent without a session",
        "        if not self.established:\n            return\n        for prefix in list",
        "        for prefix in list",
    ),
    Mutant("more commands than there is room", "            if room <= 0:\n                return\n", ""),
    Mutant("one command less than there is room", "if room <= 0:", "if room <= 1:"),
    Mutant(
        "a prefix has two changes in flight", "            if prefix in self.in_flight:\n", "            if False:\n"
    ),
    Mutant(
        "a change in flight forgets the next one",
        "            if prefix in self.in_flight:\n                continue",
        "            if prefix in self.in_flight:\n                del self._dirty[prefix]\n                continue",
        survives="its event or its deadline makes the prefix due again",
    ),
    Mutant(
        "sent prefixes stay due",
        "            del self._dirty[prefix]\n",
        "",
        survives="a prefix that is due without a difference needs no command",
    ),
    Mutant("repairs are not counted", "                self.repairs += change.repair\n", ""),
    Mutant("every command counts as a repair", "self.repairs += change.repair", "self.repairs += 1"),
    Mutant("a route that is on the wire is sent again", "if want == held == wire or (", "if ("),
    Mutant("a route that ExaBGP holds is taken as sent", "if want == held == wire or (", "if want == held or ("),
    Mutant("a route on the wire is taken as held", "if want == held == wire or (", "if want == wire or ("),
    Mutant("a refused route is sent again", " or (want is not None and self.refused.get(prefix) == want)", ""),
    Mutant(
        "another route of a refused prefix is not sent", "self.refused.get(prefix) == want)", "prefix in self.refused)"
    ),
    Mutant(
        "a missing route is announced again without a withdrawal",
        "if want is None or want == held:",
        "if want is None:",
    ),
    Mutant("a withdrawal does not name the route on the wire", "None, held or wire, repair", "None, held, repair"),
    Mutant("every withdrawal is a repair", "repair=want == held)", "repair=True)"),
    Mutant("a repair is no repair", "repair=want == held)", "repair=False)"),
    # Deadlines
    Mutant("the deadline does not grow", "2 ** min(self.attempts.get(change.prefix, 0), MAX_DOUBLINGS)", "1"),
    Mutant(
        "the deadline grows for ever",
        "2 ** min(self.attempts.get(change.prefix, 0), MAX_DOUBLINGS)",
        "2 ** self.attempts.get(change.prefix, 0)",
    ),
    Mutant("the route of before a change is not kept", "now + delay, self._held.get(change.prefix))", "now + delay)"),
    Mutant("a withdrawn route counts as held", "            self._held.pop(prefix, None)\n", "            pass\n"),
    Mutant(
        "an announced route does not count as held", "            self._held[prefix] = held\n", "            pass\n"
    ),
    # Events
    Mutant(
        "late events of a lost session count",
        "        if self.established:\n            self.wire[announcement.prefix]",
        "        if True:\n            self.wire[announcement.prefix]",
    ),
    Mutant(
        "late withdrawals of a lost session count",
        "        if self.established:\n            self.wire.pop",
        "        if True:\n            self.wire.pop",
        survives="the end of a session leaves nothing that a withdrawal changes",
    ),
    Mutant("withdrawals leave the wire unchanged", "            self.wire.pop(prefix, None)\n", ""),
    Mutant(
        "an event of an earlier change ends the flight",
        "if flight is not None and flight.new == new:",
        "if flight is not None:",
    ),
    Mutant(
        "no event ends a flight",
        "            del self.in_flight[prefix]\n        if self.wire",
        "            pass\n        if self.wire",
    ),
    Mutant(
        "attempts outlive the success",
        "            self.attempts.pop(prefix, None)\n            self._undeletable.discard(prefix)\n",
        "            self._undeletable.discard(prefix)\n",
    ),
    Mutant("a prefix stays stuck after its withdrawal", "            self._undeletable.discard(prefix)\n", ""),
    Mutant(
        "the next change is not sent after an event",
        "            self._undeletable.discard(prefix)\n        self._dirty[prefix] = None\n",
        "            self._undeletable.discard(prefix)\n",
    ),
    # Refusals
    Mutant(
        "a refusal of a lost session counts",
        "        if not self.established:\n            return\n        flight = ",
        "        flight = ",
    ),
    Mutant(
        "a refused change stays in flight",
        "self.in_flight.pop(change.prefix, None)",
        "self.in_flight.get(change.prefix)",
    ),
    Mutant(
        "a refused change counts as held",
        "        self._set_held(change.prefix, flight.before if flight and flight.new == change.new else change.old)\n",
        "",
    ),
    Mutant(
        "a refusal restores the route of another flight",
        "flight.before if flight and flight.new == change.new else change.old",
        "flight.before if flight else change.old",
    ),
    Mutant(
        "a refused withdrawal forgets the route",
        "if flight and flight.new == change.new else change.old",
        "if flight and flight.new == change.new else None",
    ),
    Mutant("refusals are not recorded", "            self.refused[change.prefix] = change.new\n", "            pass\n"),
    Mutant(
        "a refused route stays overdue",
        "            self.attempts.pop(change.prefix, None)  # missing",
        "            pass  # missing",
    ),
    Mutant(
        "a refused withdrawal does not get the session stuck",
        "            self._undeletable.add(change.prefix)\n        elif flight:",
        "            pass\n        elif flight:",
    ),
    Mutant(
        "a refused withdrawal of an unsent route is repeated immediately",
        "        elif flight:\n            self.in_flight[change.prefix] = flight",
        "        elif flight:\n            pass",
    ),
    Mutant(
        "a refusal ends the attempts at the prefix",
        "  # withdrawn again after the deadline\n        self._dirty[change.prefix] = None\n",
        "  # withdrawn again after the deadline\n",
    ),
    # Verification
    Mutant(
        "a lost session is verified",
        "        if not self.established:\n            return\n        for prefix in [prefix",
        "        for prefix in [prefix",
        survives="nothing is in flight without a session, and the next one makes every prefix due",
    ),
    Mutant("deadlines are ignored", "if flight.deadline <= now]:", "if False]:"),
    Mutant("a deadline is missed a moment later", "if flight.deadline <= now]:", "if flight.deadline < now]:"),
    Mutant(
        "attempts outlive a goal that changed to the wire",
        "            del self.attempts[prefix]  # the goal",
        "            pass  # the goal",
    ),
    Mutant(
        "attempts end while a change is in flight",
        "if p not in self.in_flight and self.wire.get(p) == ",
        "if self.wire.get(p) == ",
    ),
    Mutant(
        "an overdue prefix is not sent again",
        "        flight = self.in_flight.pop(prefix)\n        self._dirty[prefix] = None\n",
        "        flight = self.in_flight.pop(prefix)\n",
    ),
    Mutant(
        "an overdue prefix whose event was lost counts",
        "        if self.wire.get(prefix) == self.goal.get(prefix):\n            self.attempts.pop(prefix, None)\n            return\n        self.attempts[prefix] =",
        "        self.attempts[prefix] =",
    ),
    Mutant("missed deadlines are not counted", "self.attempts.get(prefix, 0) + 1", "self.attempts.get(prefix, 0)"),
    Mutant("lost withdrawals never get the session stuck", "self.attempts[prefix] >= MAX_ATTEMPTS:", "False:"),
    Mutant("one more withdrawal may be lost", ">= MAX_ATTEMPTS:", "> MAX_ATTEMPTS:"),
    Mutant(
        "lost announcements get the session stuck",
        "if flight.new is None and prefix in self.wire and",
        "if prefix in self.wire and",
    ),
    Mutant(
        "withdrawals of routes that were never sent get the session stuck",
        "if flight.new is None and prefix in self.wire and",
        "if flight.new is None and",
    ),
)
