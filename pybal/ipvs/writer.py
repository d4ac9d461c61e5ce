"""Writes services of the IPVS table in slices.

The *shadow* holds the entries that the table is known to hold. A service leaves it when a write of the service begins
and comes back when all of the write has succeeded: after a failure, or if the write is cancelled, the service is read again. If
an operation fails, the difference is tried again, at most three rounds. The entry that was last read or written in full is kept
for reports until then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.ipvs.access import Access
from pybal.ipvs.diff import ordered, split, steps
from pybal.ipvs.goal import Goal
from pybal.ipvs.model import Command, Failure, Op, ServiceKey, TableEntry
from pybal.ipvs.render import failure, operation
from pybal.runtime.turns import Pace

ROUNDS = 3

MESSAGES = 128
"""Operations in one turn of the loop."""

Goals = Mapping[ServiceKey, Goal]

_LINES = {
    Command.ADD_SERVICE: "Created LVS service '{name}'",
    Command.DELETE_SERVICE: "Deleted LVS service '{name}'",
}


@dataclass(slots=True)
class _Round:
    """The entries before and after one round of some services, and the operations between them."""

    actual: dict[ServiceKey, TableEntry] = field(default_factory=dict)
    wanted: dict[ServiceKey, TableEntry] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)


class TableWriter:
    """Makes services of the table equal to their goals."""

    _log = Logger()

    def __init__(self, access: Access, clock: IReactorTime) -> None:
        self._access = access
        self._clock = clock
        self._shadow: dict[ServiceKey, TableEntry | None] = {}
        self._distrusted: set[ServiceKey] = set()
        self._seen: dict[ServiceKey, TableEntry | None] = {}

    def knows(self, key: ServiceKey) -> bool:
        """Return whether the state of a service is known."""
        return key in self._shadow

    def known(self, key: ServiceKey) -> TableEntry | None:
        """Return the entry of a service that is known, ``None`` if the table has none, or if it is not known."""
        return self._shadow.get(key)

    def learn(self, key: ServiceKey, held: TableEntry | None) -> None:
        """Take over an entry that was just read."""
        self._shadow[key] = held
        self.see(key, held)

    def see(self, key: ServiceKey, held: TableEntry | None) -> None:
        """Keep an entry that was just read for reports, also if another program has changed it."""
        self._seen[key] = held

    def seen(self, key: ServiceKey) -> TableEntry | None:
        """Return the entry of a service as last read or written in full, ``None`` without one."""
        return self._seen.get(key)

    def distrust(self, key: ServiceKey) -> None:
        """Read a service before its next write, also if it is being written at present."""
        self._shadow.pop(key, None)
        self._distrusted.add(key)

    def forget(self, key: ServiceKey) -> None:
        """Forget a service that was deleted; another program may create it again."""
        self._shadow.pop(key, None)
        self._seen.pop(key, None)

    async def write(self, goals: Goals, pace: Pace) -> tuple[Mapping[ServiceKey, str], Collection[ServiceKey]]:
        """Write the goals; return the last error by service, and the services that still differ.

        Raises BackendError; the state of all these services is unknown then.
        """
        errors: dict[ServiceKey, str] = {}
        left = dict(goals)
        for _ in range(ROUNDS):
            failures = await self._attempt(left, pace)
            errors.update((key, _summary(own)) for key, own in failures.items())
            left = {key: goals[key] for key in failures}
            if not left:
                break
        return errors, left

    async def _attempt(self, goals: Goals, pace: Pace) -> Mapping[ServiceKey, Sequence[Failure]]:
        self._distrusted.difference_update(goals)
        try:
            plan = _Round()
            for key, goal in goals.items():
                await self._plan(plan, key, goal, pace)
            ops = ordered(plan.ops)
            await pace.pause()
            first, then = split(ops, plan.wanted, plan.actual)
            await pace.pause()
            names = {key: goal.name for key, goal in goals.items()}
            failures = await self._apply(first, names, pace)
            failed = {each.op.key for each in failures}
            failures += await self._apply([op for op in then if op.key not in failed], names, pace)
        except BaseException:
            for key in goals:
                self._shadow.pop(key, None)
            raise
        by_key: dict[ServiceKey, list[Failure]] = {}
        for each in failures:
            by_key.setdefault(each.op.key, []).append(each)
        for key in goals:
            if key in by_key or key in self._distrusted:
                self._shadow.pop(key, None)
            else:
                self.learn(key, plan.wanted.get(key))
        return by_key

    async def _plan(self, plan: _Round, key: ServiceKey, goal: Goal, pace: Pace) -> None:
        if key not in self._shadow:
            held = await self._access.read(key)
            self.see(key, held)
            goal.absent, goal.drifted = held is None, False
        else:
            held = self._shadow.pop(key)
        wanted, touched = goal.begin(held, self._clock.seconds())
        if held:
            plan.actual[key] = held
        if wanted:
            plan.wanted[key] = wanted
        for ops in steps(wanted, held, touched):
            plan.ops += ops
            await pace.pause()

    async def _apply(self, ops: Sequence[Op], names: Mapping[ServiceKey, str], pace: Pace) -> list[Failure]:
        failures: list[Failure] = []
        for piece in self._access.pieces(ops):
            self._log_debug(piece, names)
            refused = await self._access.apply(piece)
            pace.count(len(piece))
            failed = {each.op for each in refused}
            for op in piece:
                line = _LINES.get(op.command)
                if line and op not in failed:
                    self._log.info(line, name=names[op.key], system=names[op.key])
            failures += refused
            await pace.pause()
        return failures

    def _log_debug(self, ops: Sequence[Op], names: Mapping[ServiceKey, str]) -> None:
        by_key: dict[ServiceKey, list[Op]] = {}
        for op in ops:
            by_key.setdefault(op.key, []).append(op)
        for key, own in by_key.items():
            self._log.debug("{lines()}", lines=partial(_lines, own), system=names[key])


def _lines(ops: Sequence[Op]) -> str:
    return "\n".join(f"ipvsadm {operation(op)}" for op in ops)


def _summary(failures: Sequence[Failure]) -> str:
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return failure(failures[0]) + more
