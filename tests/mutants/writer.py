"""Mutants of pybal/ipvs/writer.py: exact replacements, each named after its defect."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    # The shadow
    Mutant("every service is known", "        return key in self._shadow\n", "        return True\n"),
    Mutant("no service is known", "        return key in self._shadow\n", "        return False\n"),
    Mutant(
        "an entry that was learned is read again",
        "        self._shadow[key] = held\n        self.see(key, held)\n",
        "        self.see(key, held)\n",
    ),
    Mutant("an entry that was learned is not reported", "        self.see(key, held)\n\n    def see", "\n    def see"),
    Mutant("an entry that was read is not reported", "        self._seen[key] = held\n", "        pass\n"),
    Mutant(
        "a distrusted service is not read again",
        "        self._shadow.pop(key, None)\n        self._distrusted.add(key)\n",
        "        self._distrusted.add(key)\n",
    ),
    Mutant(
        "a service distrusted during its write is not read again",
        "        self._distrusted.add(key)\n",
        "        pass\n",
    ),
    Mutant(
        "the state of a deleted service is known",
        "        self._shadow.pop(key, None)\n        self._seen.pop(key, None)\n",
        "        self._seen.pop(key, None)\n",
    ),
    Mutant(
        "a deleted service is reported",
        "        self._seen.pop(key, None)\n",
        "",
        survives="its deletion has reported that the table has none: only the memory differs",
    ),
    # Rounds
    Mutant("two rounds only", "ROUNDS = 3\n", "ROUNDS = 2\n"),
    Mutant("four rounds", "ROUNDS = 3\n", "ROUNDS = 4\n"),
    Mutant("one round only", "            if not left:\n                break\n", "            break\n"),
    Mutant(
        "rounds continue after a success",
        "            if not left:\n                break\n",
        "",
        survives="further rounds have no service to write",
    ),
    Mutant(
        "operations are not counted in the share of a batch",
        "                yield sent\n",
        "                yield 0\n",
    ),
    Mutant(
        "failures count in the next round",
        "        for _ in range(ROUNDS):\n            failures: list[Failure] = []\n",
        "        failures: list[Failure] = []\n        for _ in range(ROUNDS):\n",
    ),
    Mutant(
        "the first error of a service stays",
        "            batch.errors.update((key, _summary(own)) for key, own in by_key.items())\n",
        "            for key, own in by_key.items():\n                batch.errors.setdefault(key, _summary(own))\n",
    ),
    Mutant("errors have no reason", "(key, _summary(own)) for key", '(key, "") for key'),
    Mutant(
        "each failure is that of every service",
        "            for each in failures:\n                by_key.setdefault(each.op.key, []).append(each)\n",
        "            for key in left if failures else ():\n                by_key[key] = failures\n",
    ),
    Mutant(
        "a round writes the services that succeeded again",
        "            left = batch.different = {key: batch.goals[key] for key in by_key}\n",
        "            batch.different = {key: batch.goals[key] for key in by_key}\n            left = left if by_key else {}\n",
        survives="they are equal by then: a round writes nothing of them",
    ),
    Mutant("services that differ count as equal", "            left = batch.different = {", "            left = {"),
    # An attempt
    Mutant("a service is distrusted for ever", "        self._distrusted.difference_update(goals)\n", ""),
    Mutant(
        "an attempt trusts the services of other batches",
        "        self._distrusted.difference_update(goals)\n",
        "        self._distrusted.clear()\n",
    ),
    Mutant(
        "only the last part of a comparison counts",
        "                plan.ops += ops\n",
        "                plan.ops = list(ops)\n",
    ),
    Mutant("operations are not in order", "        ops = ordered(plan.ops)\n", "        ops = plan.ops\n"),
    Mutant(
        "removals do not wait for additions",
        "        parts = split(ops, plan.wanted, plan.actual)\n",
        "        parts = (ops,)\n",
    ),
    Mutant(
        "wanted and actual are confused",
        "split(ops, plan.wanted, plan.actual)",
        "split(ops, plan.actual, plan.wanted)",
    ),
    Mutant(
        "removals follow refused additions",
        "[op for op in part if op.key not in failed]",
        "part",
    ),
    Mutant(
        "a failure stops the other services",
        "[op for op in part if op.key not in failed]",
        "() if failed else part",
    ),
    Mutant(
        "a batch is one call",
        "            for piece in self._access.pieces([op for op in part if op.key not in failed]):\n",
        "            for piece in ([op for op in part if op.key not in failed],):\n",
    ),
    Mutant("operations are not counted in the turn", "                yield len(piece)\n", "                yield 0\n"),
    Mutant("refused operations count as done", "                failures += await", "                await"),
    Mutant(
        "failures of the removals count as successes",
        "        failed = {each.op.key for each in failures}\n        for key in goals:\n",
        "        for key in goals:\n",
    ),
    Mutant(
        "a service that failed is known",
        "            if key in failed or key in self._distrusted:\n",
        "            if key in self._distrusted:\n",
    ),
    Mutant(
        "a service distrusted during its write is known",
        "            if key in failed or key in self._distrusted:\n",
        "            if key in failed:\n",
    ),
    Mutant(
        "a service that was read during a write that failed is known",
        "                self._shadow.pop(key, None)\n            else:\n",
        "                pass\n            else:\n",
    ),
    Mutant(
        "the entry before a write is known after it",
        "self.learn(key, plan.wanted.get(key))",
        "self.learn(key, plan.actual.get(key))",
    ),
    # The entry before
    Mutant(
        "a service is known while it is written",
        "            return self._shadow.pop(key)\n",
        "            return self._shadow[key]\n",
    ),
    Mutant("every service is read before its write", "        if key in self._shadow:\n", "        if False:\n"),
    Mutant(
        "the entry before a write is not reported",
        "        self.see(key, held)\n        goal.absent",
        "        goal.absent",
    ),
    Mutant("no service is absent", "goal.absent, goal.drifted = held is None, False", "goal.drifted = False"),
    Mutant(
        "a service that exists is absent",
        "goal.absent, goal.drifted = held is None, False",
        "goal.absent, goal.drifted = held is not None, False",
    ),
    Mutant("drift outlives a reading", "goal.absent, goal.drifted = held is None, False", "goal.absent = held is None"),
    # The plan
    Mutant("a plan is for the time 0", "goal.begin(held, self._clock.seconds())", "goal.begin(held, 0.0)"),
    Mutant("the table counts as empty", "        if held:\n            plan.actual[key] = held\n", ""),
    Mutant("no service is wanted", "        if wanted:\n            plan.wanted[key] = wanted\n", ""),
    Mutant(
        "every destination is compared",
        "steps(wanted, held, touched)",
        "steps(wanted, held)",
        survives="the others are equal: only the time of the comparison differs",
    ),
    # The log
    Mutant("operations are not logged", "        self._log_debug(ops, names)\n", ""),
    Mutant("refused services are logged as created", "if line and op not in failed:", "if line:"),
    Mutant("created services are not logged", "    Command.ADD_SERVICE: \"Created LVS service '{name}'\",\n", ""),
    Mutant("deleted services are not logged", "    Command.DELETE_SERVICE: \"Deleted LVS service '{name}'\",\n", ""),
    Mutant(
        "a created service is not in the log of its service",
        "self._log.info(line, name=names[op.key], system=names[op.key])",
        "self._log.info(line, name=names[op.key])",
    ),
    Mutant("operations are in the log of another service", "system=names[key])", "system=names[ops[0].key])"),
    Mutant(
        "operations are logged together",
        "            by_key.setdefault(op.key, []).append(op)\n",
        "            by_key.setdefault(ops[0].key, []).append(op)\n",
    ),
    # The error
    Mutant("a single failure has others beside it", "if len(failures) > 1 else", "if len(failures) > 0 else"),
    Mutant("the second failure is not counted", "if len(failures) > 1 else", "if len(failures) > 2 else"),
    Mutant(
        "the first failure is counted among the others", "(and {len(failures) - 1} more)", "(and {len(failures)} more)"
    ),
    Mutant("the last failure is reported", "failure(failures[0])", "failure(failures[-1])"),
)
