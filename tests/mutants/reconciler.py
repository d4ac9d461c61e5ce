"""Mutants of pybal/ipvs/reconciler.py: exact replacements, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # Freeze and thaw
    Mutant(
        "a freeze does not interrupt the write in progress",
        "        self._frozen = True\n        self._flushing.stop()\n",
        "        self._frozen = True\n",
    ),
    Mutant(
        "a thaw does not end the freeze", "        self._frozen = False\n        if self._due:", "        if self._due:"
    ),
    Mutant("a thaw writes nothing", "        if self._due:\n            self._flushing.wake()\n", ""),
    Mutant(
        "goals are written while frozen",
        "        if not self._frozen:\n            self._flushing.wake()\n",
        "        self._flushing.wake()\n",
        survives="the flush that begins checks the freeze again",
    ),
    Mutant(
        "interrupted services are forgotten",
        "for key in (*self._writing, *self._due) if key in self._goals)",
        "for key in self._due if key in self._goals)",
    ),
    Mutant(
        "due services are forgotten after an interruption",
        "for key in (*self._writing, *self._due) if key in self._goals)",
        "for key in self._writing if key in self._goals)",
    ),
    Mutant(
        "interrupted batches continue beside the new ones",
        "if key in self._goals)\n            self._end_batches()\n",
        "if key in self._goals)\n",
    ),
    # Adoption
    Mutant("adopted services are read again", "            self._writer.learn(key_of(service), found)\n", ""),
    Mutant("adopted services are retired as leftovers", "            self._adopted.add(key_of(service))\n", ""),
    # Goals
    Mutant(
        "an amended goal is not written",
        "            apply()\n            self._pursue(key)\n",
        "            apply()\n",
    ),
    Mutant("a second retirement begins again", "known.wanted is None or known.name != name", "known.name != name"),
    Mutant(
        "a service that took over a key is retired",
        "known.wanted is None or known.name != name",
        "known.wanted is None",
    ),
    Mutant("a retired service counts as adopted", "        self._adopted.discard(key)\n", ""),
    Mutant("a retired service is deleted without a drain", "inf if self.grace else 0.0", "0.0"),
    Mutant("a service without a grace is drained", "inf if self.grace else 0.0", "inf"),
    Mutant("adopted leftovers are retired", "            if key not in self._adopted:\n", "            if True:\n"),
    Mutant("no leftover is retired", "            if key not in self._adopted:\n", "            if False:\n"),
    Mutant(
        "the old name of a service stays verified", "            del self._named[goal.name]\n", "            pass\n"
    ),
    Mutant("a goal is not replaced", "        goal.want(wanted)\n", ""),
    Mutant(
        "a goal is not pursued", "        goal.want(wanted)\n        self._pursue(key)\n", "        goal.want(wanted)\n"
    ),
    # Facts for others
    Mutant("a held entry is always read", "known = key in self._goals and self._writer.knows(key)", "known = False"),
    Mutant("no service is uncreated by a freeze", "return self._frozen and key in self._due and", "return False and"),
    Mutant(
        "an uncreated service is alerted without a freeze",
        "return self._frozen and key in self._due and",
        "return key in self._due and",
    ),
    Mutant("a frozen service of the table counts as uncreated", " and self._writer.known(key) is None\n\n", "\n\n"),
    Mutant(
        "an unread service counts as uncreated",
        "and self._writer.knows(key) and self._writer.known(key) is None\n\n",
        "and self._writer.known(key) is None\n\n",
    ),
    Mutant(
        "a service without a goal is verified",
        "return goal is not None and self._verified(goal, key)",
        "return goal is None or self._verified(goal, key)",
    ),
    Mutant(
        "due services are verified",
        "pending = key in self._due or key in self._writing",
        "pending = key in self._writing",
    ),
    Mutant(
        "services being written are verified",
        "pending = key in self._due or key in self._writing",
        "pending = key in self._due",
    ),
    Mutant(
        "services with a problem are verified",
        "return not goal.problem and not goal.drifted",
        "return not goal.drifted",
    ),
    Mutant(
        "services that drifted are verified", "return not goal.problem and not goal.drifted", "return not goal.problem"
    ),
    # Comparison
    Mutant(
        "a retired service is compared",
        "if not self._writer.knows(key) or self.intent(key) is None:",
        "if not self._writer.knows(key):",
    ),
    Mutant("drift is not remembered", "        self._goals[key].drifted = bool(ops)\n", ""),
    Mutant("drift is not seen", "            self._writer.see(key, held)\n", "            pass\n"),
    Mutant(
        "a repair trusts the cache",
        "        self._writer.distrust(key)\n        self._pursue(key)\n",
        "        self._pursue(key)\n",
    ),
    Mutant(
        "a repair is not written",
        "        self._writer.distrust(key)\n        self._pursue(key)\n",
        "        self._writer.distrust(key)\n",
    ),
    Mutant(
        "a service written while it is compared has drifted",
        "or self._writer.known(key) is not left or key",
        "or key",
    ),
    Mutant(
        "an adopted service is foreign",
        "return key in self._goals or key in self._adopted",
        "return key in self._goals",
    ),
    Mutant(
        "a service without a failure fails to restore",
        "if goal is None or goal.wanted is None or not goal.problem:",
        "if goal is None or goal.wanted is None:",
    ),
    Mutant(
        "a service that still has servers fails to restore",
        "return goal.wanted[1].serves and not (seen and seen.serves)",
        "return goal.wanted[1].serves",
    ),
    Mutant(
        "a service that should have no server fails to restore", "return goal.wanted[1].serves and not", "return not"
    ),
    Mutant("alerts of the backend are missing", " *self._access.alerts(), *self", " *self"),
    Mutant("alerts of the ledger are missing", ", *self._ledger.alerts())", ")"),
    # Stop
    Mutant(
        "a stop writes no pending goal",
        "        await self._flush()\n        await self._ledger",
        "        await self._ledger",
    ),
    Mutant(
        "a stop waits for ever", "        finished.addTimeout(STOP_SECONDS, self._clock, self._log_unfinished)\n", ""
    ),
    Mutant("a stop leaves the backend open", "        self._access.close()\n", ""),
    Mutant(
        "a stop leaves retries",
        "            goal.cancel()\n        self._ledger.stop()\n",
        "            pass\n        self._ledger.stop()\n",
    ),
    Mutant("a stop leaves the ledger open", "        self._ledger.stop()\n", ""),
    Mutant(
        "a stop does not wait for the ledger",
        "        await self._flush()\n        await self._ledger.settled()\n",
        "        await self._flush()\n",
    ),
    Mutant(
        "a stop writes beside the write in progress",
        "        self._flushing.stop()\n        for goal in",
        "        for goal in",
    ),
    # Writing
    Mutant(
        "a new goal keeps the retry of the last one",
        "        self._goals[key].cancel()\n        self._due",
        "        self._due",
        survives="the begin of its write cancels the retry",
    ),
    Mutant("services are written before the ledger", "if self._ledger.admits(key)}", "}"),
    Mutant(
        "services that the ledger refused are not tried again",
        "        self._unadmitted = len(admitted) < len(due)\n",
        "        self._unadmitted = False\n",
    ),
    Mutant(
        "interrupted services are not admitted again",
        "        self._unadmitted = True\n        try:\n",
        "        try:\n",
    ),
    Mutant(
        "batches do not take turns",
        "                self._batches.append(batch)\n                await",
        "                self._batches.appendleft(batch)\n                await",
    ),
    Mutant(
        "due services are lost after an error of the backend",
        "keys = dict.fromkeys((*self._writing, *self._due))",
        "keys = dict.fromkeys(self._writing)",
    ),
    Mutant(
        "an error of the backend fails one service only",
        "keys = dict.fromkeys((*self._writing, *self._due))",
        "keys = list(dict.fromkeys((*self._writing, *self._due)))[:1]",
    ),
    Mutant(
        "services stay due after an error",
        "        self._due.clear()\n        for key in keys:",
        "        for key in keys:",
    ),
    Mutant(
        "batches continue after an error",
        "        self._end_batches()\n        self._due.clear()\n",
        "        self._due.clear()\n",
    ),
    Mutant(
        "the cache is trusted after an error",
        "            self._writer.distrust(key)\n            self._settle(key, error",
        "            self._settle(key, error",
    ),
    Mutant(
        "errors of the backend are not reported",
        "            self._fail_all(str(error))\n",
        "            self._fail_all(str(error))\n            return\n",
    ),
    Mutant("large services share a batch", "            if own >= TOGETHER:\n", "            if False:\n"),
    Mutant("a small batch has no limit", "elif self._small is None and cost < TOGETHER:", "elif self._small is None:"),
    Mutant(
        "a small batch is the last one",
        "        if batch is self._small:\n            self._small = None\n",
        "",
    ),
    Mutant(
        "a goal set during a write is not written",
        "        self._unadmitted = True\n        for key in batch.goals:\n",
        "        for key in batch.goals:\n",
    ),
    Mutant(
        "a goal set during a write is written at the same time",
        "for key in self._due if key not in self._writing}",
        "for key in self._due}",
    ),
    Mutant("a share has no end", "                if share.spent:\n                    return\n", ""),
    Mutant(
        "a write continues while frozen",
        " and not self._frozen:\n                self._admit()",
        ":\n                self._admit()",
    ),
    Mutant(
        "a finished service is still being written",
        "            del self._writing[key]\n            self._settle(",
        "            self._settle(",
    ),
    Mutant("different services count as equal", "met=key not in batch.different)", "met=True)"),
    # Settling
    Mutant("a failure is logged at each attempt", "            if error != goal.problem:\n", "            if True:\n"),
    Mutant("a failure begins again at each attempt", "            if not goal.problem:\n", "            if True:\n"),
    Mutant(
        "a service that failed is not tried again",
        "                goal.next = self._clock.callLater(goal.backoff.pause(), self._pursue, key)\n",
        "                pass\n",
    ),
    Mutant("a problem stays after its end", 'goal.problem, goal.absent = "", False', "goal.absent = False"),
    Mutant("a created service counts as absent", 'goal.problem, goal.absent = "", False', 'goal.problem = ""'),
    Mutant("the back-off continues after a success", "        goal.backoff.reset()\n", ""),
    # Retirement
    Mutant(
        "a deletion that failed is not tried again",
        "if key not in batch.different and key not in self._due]",
        "if key not in self._due]",
    ),
    Mutant(
        "a service counts as drained before its drain is written",
        "if key not in batch.different and key not in self._due]",
        "if key not in batch.different]",
    ),
    Mutant(
        "each write of a drain begins the grace again", "min(goal.drained_at, now + self.grace)", "now + self.grace"
    ),
    Mutant(
        "a drained service is never deleted",
        "                goal.next = self._clock.callLater(remaining, self._pursue, key)\n",
        "",
    ),
    Mutant("a deleted service stays in the cache", "                self._writer.forget(key)\n", ""),
    Mutant(
        "a draining service is struck from the ledger", "for key in keys if key not in self._goals)", "for key in keys)"
    ),
    Mutant(
        "a deleted service stays in the ledger",
        "        self._ledger.strike(key for key in keys if key not in self._goals)\n",
        "",
    ),
)
