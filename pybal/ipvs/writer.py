"""Writes services of the IPVS table in slices.

The *shadow* holds the entries that the table is known to hold. A service leaves it when a write of the service begins
and comes back when all of the write has succeeded: after a failure, or if the write is cancelled, the service is read again. If
an operation fails, the difference is tried again, at most three rounds. The entry that was last read or written in full is kept
for reports until then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.ipvs.access import Access
from pybal.ipvs.diff import ordered, split, steps
from pybal.ipvs.goal import Goal
from pybal.ipvs.model import Command, Failure, Op, ServiceKey, TableEntry
from pybal.ipvs.render import failure, operation

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


@dataclass(slots=True, eq=False)
class Batch:
    """Services that are written together, in ``steps`` that return the number of operations sent.

    ``errors`` has the last error by service. After the last step the services in ``different`` still differ. A step raises
    BackendError if the table does not work.
    """

    goals: Goals
    errors: dict[ServiceKey, str] = field(default_factory=dict)
    different: Collection[ServiceKey] = ()
    steps: AsyncGenerator[int, None] = field(init=False, repr=False)


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

    def begin(self, goals: Goals) -> Batch:
        """Begin to write services; their state is unknown until the end, and after an exception of a step."""
        batch = Batch(goals)
        batch.steps = self._write(batch)
        return batch

    async def _write(self, batch: Batch) -> AsyncGenerator[int, None]:
        left = dict(batch.goals)
        for _ in range(ROUNDS):
            failures: list[Failure] = []
            async for sent in self._attempt(left, failures):
                yield sent
            by_key: dict[ServiceKey, list[Failure]] = {}
            for each in failures:
                by_key.setdefault(each.op.key, []).append(each)
            batch.errors.update((key, _summary(own)) for key, own in by_key.items())
            left = batch.different = {key: batch.goals[key] for key in by_key}
            if not left:
                break

    async def _attempt(self, goals: Goals, failures: list[Failure]) -> AsyncGenerator[int, None]:
        """Write the goals once; append the operations that failed."""
        self._distrusted.difference_update(goals)
        plan = _Round()
        for key, goal in goals.items():
            held = await self._take(key, goal)
            for ops in self._plan(plan, key, goal, held):
                plan.ops += ops
                yield 0
        ops = ordered(plan.ops)
        yield 0
        parts = split(ops, plan.wanted, plan.actual)
        yield 0
        names = {key: goal.name for key, goal in goals.items()}
        for part in parts:
            failed = {each.op.key for each in failures}
            for piece in self._access.pieces([op for op in part if op.key not in failed]):
                failures += await self._apply(piece, names)
                yield len(piece)
        failed = {each.op.key for each in failures}
        for key in goals:
            if key in failed or key in self._distrusted:
                self._shadow.pop(key, None)
            else:
                self.learn(key, plan.wanted.get(key))

    async def _take(self, key: ServiceKey, goal: Goal) -> TableEntry | None:
        """Take the entry of a service from the shadow, or read it."""
        if key in self._shadow:
            return self._shadow.pop(key)
        held = await self._access.read(key)
        self.see(key, held)
        goal.absent, goal.drifted = held is None, False
        return held

    def _plan(self, plan: _Round, key: ServiceKey, goal: Goal, held: TableEntry | None) -> Iterator[Sequence[Op]]:
        wanted, touched = goal.begin(held, self._clock.seconds())
        if held:
            plan.actual[key] = held
        if wanted:
            plan.wanted[key] = wanted
        return steps(wanted, held, touched)

    async def _apply(self, ops: Sequence[Op], names: Mapping[ServiceKey, str]) -> Sequence[Failure]:
        self._log_debug(ops, names)
        refused = await self._access.apply(ops)
        failed = {each.op for each in refused}
        for op in ops:
            line = _LINES.get(op.command)
            if line and op not in failed:
                self._log.info(line, name=names[op.key], system=names[op.key])
        return refused

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
