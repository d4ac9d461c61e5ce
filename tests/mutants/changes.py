"""Mutants of the list of changes: exact replacements in pybal/core/changes.py."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant("removals are not reported", "        yield Change(ChangeKind.REMOVED, old)\n", "        return\n"),
    Mutant("new servers are not reported", "        yield Change(ChangeKind.NEW, new)\n", "        return\n"),
    Mutant(
        "new servers are reported as merged",
        "yield Change(ChangeKind.NEW, new)",
        "yield Change(ChangeKind.MERGED, new)",
    ),
    Mutant("a first address is reported as a move", "if old.address is not None and new.address", "if new.address"),
    Mutant(
        "a name without an address is reported again",
        "if new.unresolvable and not old.unresolvable:",
        "if new.unresolvable:",
    ),
    Mutant("a first down is not reported", "(last is None or last.up or", "(last is not None) and (last.up or"),
    Mutant("a down after an up is not reported", "last is None or last.up or", "last is None or not last.up and"),
    Mutant("another reason is not reported", " or last.reason != report.reason)", ")"),
    Mutant(
        "a down has the state after",
        "Change(ChangeKind.REPORTED_DOWN, old,",
        "Change(ChangeKind.REPORTED_DOWN, new,",
    ),
    Mutant("an up has the status before its result", "ChangeKind.UP, old, after=new)", "ChangeKind.UP, old)"),
    Mutant(
        "every change of a server that is up is reported as up",
        "new.health is Health.UP is not old.health",
        "new.health is Health.UP",
    ),
    Mutant(
        "decisions are reported first",
        "(_removed, _new, _facts, _decisions)",
        "(_removed, _new, _decisions, _facts)",
    ),
    Mutant(
        "forced servers that leave are not reported",
        "case ((Placement.POOLED | Placement.FORCED), Placement.OUT):",
        "case Placement.POOLED, Placement.OUT:",
    ),
    Mutant(
        "servers forced in are reported as pooled",
        "yield Change(ChangeKind.FORCED_IN, new)",
        "yield Change(ChangeKind.REPOOLED, new)",
    ),
    Mutant(
        "left pooled is reported without an up",
        "case Placement.FORCED, Placement.POOLED if new.health is Health.UP:",
        "case Placement.FORCED, Placement.POOLED:",
    ),
    Mutant(
        "could not depool is reported repeatedly",
        "case _ if new.pooled_down and not old.pooled_down:",
        "case _ if new.pooled_down:",
    ),
    Mutant("could not depool is not reported", "yield Change(ChangeKind.NOT_DEPOOLED, new)", "yield from ()"),
)
