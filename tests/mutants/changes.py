"""Ways to break the list of changes: exact replacements in pybal/core/changes.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant("removals are not told", "            yield Change(ChangeKind.REMOVED, server)\n", "            continue\n"),
    Mutant("new servers are merged", "yield Change(ChangeKind.NEW, server)", "yield Change(ChangeKind.MERGED, server)"),
    Mutant("a first address is a move", "if old.address is not None and new.address", "if new.address"),
    Mutant("nowhere is told again", "if new.unresolvable and not old.unresolvable:", "if new.unresolvable:"),
    Mutant("a first down is not told", "(said is None or said.up or", "(said is not None) and (said.up or"),
    Mutant("a down after an up is not told", "said is None or said.up or", "said is None or not said.up and"),
    Mutant("another reason is not told", " or said.reason != report.reason)", ")"),
    Mutant(
        "a down speaks of the state after",
        "Change(ChangeKind.REPORTED_DOWN, old,",
        "Change(ChangeKind.REPORTED_DOWN, new,",
    ),
    Mutant(
        "every change of a server that is up is an up",
        "new.health is Health.UP is not old.health",
        "new.health is Health.UP",
    ),
    Mutant(
        "decisions are told first",
        "        yield from _learnt(old, new)\n    for old, new in different:\n        yield from _decided(old, new)\n",
        "        yield from _decided(old, new)\n    for old, new in different:\n        yield from _learnt(old, new)\n",
    ),
    Mutant(
        "forced servers that leave are not told",
        "case ((Placement.POOLED | Placement.FORCED), Placement.OUT):",
        "case Placement.POOLED, Placement.OUT:",
    ),
    Mutant(
        "servers forced in are told as pooled",
        "yield Change(ChangeKind.FORCED_IN, new)",
        "yield Change(ChangeKind.REPOOLED, new)",
    ),
    Mutant(
        "left pooled without an up",
        "case Placement.FORCED, Placement.POOLED if new.health is Health.UP:",
        "case Placement.FORCED, Placement.POOLED:",
    ),
    Mutant(
        "could not depool, again and again",
        "case _ if new.pooled_down and not old.pooled_down:",
        "case _ if new.pooled_down:",
    ),
    Mutant("could not depool is not told", "yield Change(ChangeKind.NOT_DEPOOLED, new)", "yield from ()"),
)
