"""The only writer of the IPVS table: holds the goal of each service and makes the table equal to it.

Changes are computed against a *shadow*, a cached copy of the table, so the fast path reads nothing. All goals set in one turn
of the reactor become one batch at its end. If an operation fails, the shadow of that service is stale: the service is read back
and the difference is tried again, at most three rounds. A service that still differs raises an alert and is retried with
exponential back-off; a new goal is tried immediately.

Each service is entered in a ledger before it is written. A service that leaves the configuration is *retired*: its weights are
set to 0 so that its connections can end, then it is deleted and struck from the ledger.

While frozen, the reconciler writes nothing; it stores goals and applies them when it thaws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Address, Alert, Service
from pybal.ipvs.backend import Backend, BackendError
from pybal.ipvs.diff import Touched, diff, split
from pybal.ipvs.goal import Goal, Intent, Retired
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import Command, Failure, Op, ServiceKey, Table, TableEntry, entry, key_of
from pybal.ipvs.render import failure, operation, place

ROUNDS = 3

_LINES = {
    Command.ADD_SERVICE: "Created LVS service '{name}'",
    Command.DELETE_SERVICE: "Deleted LVS service '{name}'",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A service as read, and the operations that would undo changes by other programs."""

    held: TableEntry | None
    drift: tuple[Op, ...]


class Reconciler:
    """Makes the table of ``backend`` equal to the goals. Owns the backend and the ledger.

    A retired service is drained for ``grace`` seconds. ``settled`` is called after each write or failed write.
    """

    _log = Logger()

    def __init__(
        self,
        backend: Backend,
        clock: IReactorTime,
        *,
        ledger: Ledger | None = None,
        grace: float = 0.0,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._ledger = ledger or Ledger()
        self.grace = grace
        self._settled = settled
        self._goals: dict[ServiceKey, Goal] = {}
        self._named: dict[str, ServiceKey] = {}
        self._adopted: set[ServiceKey] = set()
        self._due: set[ServiceKey] = set()
        self._shadow: dict[ServiceKey, TableEntry | None] = {}  # read a key first if it is missing here
        self._flushing: IDelayedCall | None = None
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """True while writing is suspended."""
        return self._frozen

    def freeze(self) -> None:
        """Suspend writing, including pending goals."""
        self._frozen = True
        if self._flushing:
            self._flushing.cancel()
            self._flushing = None

    def thaw(self) -> None:
        """Resume writing; pending goals are applied at the end of this turn."""
        self._frozen = False
        if self._due and self._flushing is None:
            self._flushing = self._clock.callLater(0, self._flush)

    def adopt(self, services: Iterable[Service]) -> Mapping[str, Mapping[Address, int]]:
        """Read the table: addresses and weights by service name, empty if the service is absent.

        Writes nothing. Raises BackendError.
        """
        held = {}
        for service in services:
            found = self._backend.read(key_of(service))
            self._shadow[key_of(service)] = found
            self._adopted.add(key_of(service))
            destinations = found.destinations.values() if found else ()
            held[service.name] = {d.address: d.weight for d in destinations if d.port == service.port}
        return held

    def want(self, service: Service, destinations: Mapping[Address, int]) -> None:
        """Set the goal of a service: its destinations with their weights; applied at the end of this turn.

        Raises ValueError for an unknown scheduler flag.
        """
        goal = entry(service, destinations)
        self._set(key_of(service), service.name, (service, goal))
        self._named[service.name] = key_of(service)

    def amend(self, service: Service, changes: Mapping[Address, int | None]) -> None:
        """Change these destinations of the goal of a service: their weights, or ``None`` to remove them.

        The cost follows the number of changes. Raises LookupError without a goal: set one with :meth:`want` first, also
        after each change of the service itself.
        """
        key = key_of(service)
        goal = self._goals[key]
        goal.amend(service, changes)
        self._pursue(key)

    def retire(self, key: ServiceKey, name: str) -> None:
        """Drain a service at the end of this turn and delete it after the grace time.

        Does nothing if it is already retired, or if a service with another name has replaced it. :meth:`want` ends its
        retirement.
        """
        known = self._goals.get(key)
        if known and (known.wanted is None or known.name != name):
            return
        self._adopted.discard(key)
        self._set(key, name, None)
        self._goals[key].drained_at = inf if self.grace else 0.0

    def retire_leftovers(self) -> None:
        """Retire the services of the ledger that were not adopted.

        They left the configuration while PyBal was stopped.
        """
        for key, name in self._ledger.names.items():
            if key not in self._adopted:
                self.retire(key, name)

    def _set(self, key: ServiceKey, name: str, wanted: tuple[Service, TableEntry] | None) -> None:
        goal = self._goals.setdefault(key, Goal(name, wanted))
        if self._named.get(goal.name) == key:
            del self._named[goal.name]
        goal.name = name
        goal.want(wanted)
        self._pursue(key)

    def held(self, service: Service) -> TableEntry | None:
        """Return the entry of a service from the shadow, or from the table. Raises BackendError."""
        key = key_of(service)
        return self._shadow[key] if key in self._goals and key in self._shadow else self._backend.read(key)

    def alerts(self) -> tuple[Alert, ...]:
        """Return one alert per service that differs from its goal, and one for the ledger."""
        alerts = [Alert(goal.name, "ipvs", goal.problem) for goal in self._goals.values() if goal.problem]
        if problem := self._ledger.problem:
            alerts.append(Alert("", "ipvs-ledger", f"cannot read or write the ownership ledger: {problem}"))
        return tuple(alerts)

    def verified(self, name: str) -> bool:
        """Return whether the table holds the goal of this service; false without a goal."""
        key = self._named.get(name)
        goal = self._goals.get(key) if key else None
        return goal is not None and self._verified(goal, key)

    def intents(self) -> Mapping[ServiceKey, Intent]:
        """Return the wanted entry of each service that has one."""
        return {key: intent for key in self._goals if (intent := self.intent(key))}

    def intent(self, key: ServiceKey) -> Intent | None:
        """Return the wanted entry of a service, ``None`` without one."""
        goal = self._goals.get(key)
        return None if goal is None or goal.wanted is None else Intent(*goal.wanted, self._verified(goal, key))

    def is_verified(self, service: Service) -> bool:
        """Return whether the table was last read or written to hold the wanted entry of a service."""
        intent = self.intent(key_of(service))
        return intent is not None and intent.verified

    def retired(self) -> Mapping[ServiceKey, Retired]:
        """Return the services that are being removed."""
        now = self._clock.seconds()
        return {
            key: Retired(goal.name, min(self.grace, max(0.0, goal.drained_at - now)))
            for key, goal in self._goals.items()
            if goal.wanted is None
        }

    def owns(self, key: ServiceKey) -> bool:
        """Return whether a service is in the configuration or being removed."""
        return key in self._goals or key in self._adopted

    def compare(self, key: ServiceKey) -> Comparison | None:
        """Read a service that has a goal and compare it with the shadow.

        Returns ``None`` while the shadow is unknown because a write failed. Raises BackendError.
        """
        if key not in self._shadow or self.intent(key) is None:
            return None
        left, held = self._shadow[key], self._backend.read(key)
        if held == left:
            held = left  # keep one copy
        ops = diff({key: left} if left else {}, {key: held} if held else {})
        self._goals[key].drifted = bool(ops)
        return Comparison(held, ops)

    def repair(self, key: ServiceKey) -> None:
        """Read a service again and apply its goal at the end of this turn."""
        self._shadow.pop(key, None)
        self._pursue(key)

    def table(self) -> Table:
        """Read the whole table, including services of other programs. Raises BackendError."""
        return self._backend.table()

    def stop(self) -> None:
        """Apply pending goals unless frozen, then close the backend. The table stays as it is."""
        if self._flushing:
            self._flushing.cancel()
            self._flush()
        for goal in self._goals.values():
            goal.cancel()
        self._backend.close()

    def _verified(self, goal: Goal, key: ServiceKey | None) -> bool:
        return not goal.problem and not goal.drifted and key not in self._due

    def _pursue(self, key: ServiceKey) -> None:
        self._goals[key].cancel()
        self._due.add(key)
        if self._flushing is None and not self._frozen:
            self._flushing = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        due = [key for key in self._goals if key in self._due]
        self._due.clear()
        self._ledger.enter({key: self._goals[key].name for key in due})
        try:
            errors, different = self._converge(due)
        except BackendError as error:
            for key in due:  # the state of the batch is unknown
                self._shadow.pop(key, None)
            errors, different = dict.fromkeys(due, str(error)), due
        for key in due:
            self._settle(key, errors.get(key, ""), met=key not in different)
        self._finish_retired([key for key in due if key not in different and self._goals[key].wanted is None])
        self._settled()

    def _converge(self, keys: Sequence[ServiceKey]) -> tuple[Mapping[ServiceKey, str], Sequence[ServiceKey]]:
        """Make the table equal to the goals; return the last error by key, and the keys that still differ."""
        errors: dict[ServiceKey, str] = {}
        for _ in range(ROUNDS):
            for key in keys:
                if key not in self._shadow:
                    self._shadow[key] = self._backend.read(key)
                    self._goals[key].drifted = False
            now = self._clock.seconds()
            aims = {key: self._goals[key].aim(self._shadow[key], now) for key in keys}
            failures = self._write(
                {key: aim for key, aim in aims.items() if aim},
                {key: held for key in keys if (held := self._shadow[key])},
                {key: goal.touched for key in keys if (goal := self._goals[key]).is_amended(self._shadow[key])},
            )
            failed = {failure.op.key for failure in failures}
            for key in keys:
                if key in failed:
                    del self._shadow[key]
                    errors[key] = _summary([failure for failure in failures if failure.op.key == key])
                else:
                    self._shadow[key] = aims[key]
                    self._goals[key].wrote(aims[key])
            keys = [key for key in keys if key in failed]
            if not keys:
                break
        return errors, keys

    def _write(self, wanted: Table, actual: Table, touched: Touched) -> Sequence[Failure]:
        """Send the difference; operations that need the additions to succeed come second (see :func:`split`)."""
        first, then = split(diff(wanted, actual, touched), wanted, actual)
        failures = self._apply(first)
        failed = {failure.op.key for failure in failures}
        return [*failures, *self._apply([op for op in then if op.key not in failed])]

    def _apply(self, ops: Sequence[Op]) -> Sequence[Failure]:
        if not ops:
            return ()
        by_key: dict[ServiceKey, list[Op]] = {}
        for op in ops:
            by_key.setdefault(op.key, []).append(op)
        for key, own in by_key.items():
            self._log.debug("{lines()}", lines=partial(_lines, own), system=self._goals[key].name)
        failures = self._backend.apply(ops)
        failed = {failure.op for failure in failures}
        for op in ops:
            line = _LINES.get(op.command)
            if line and op not in failed:
                name = self._goals[op.key].name
                self._log.info(line, name=name, system=name)
        return failures

    def _settle(self, key: ServiceKey, error: str, *, met: bool) -> None:
        goal = self._goals[key]
        if not met:
            if error != goal.problem:
                self._log.error("IPVS not updated: {reason}; retrying", reason=error, system=goal.name)
            goal.problem = error
            goal.next = self._clock.callLater(goal.backoff.pause(), self._pursue, key)
            return
        if error:
            self._log.warn("IPVS drift repaired: {reason}", reason=error, system=goal.name)
        elif goal.problem:
            self._log.info("IPVS updated after errors", system=goal.name)
        goal.problem = ""
        goal.backoff.reset()

    def _finish_retired(self, keys: Sequence[ServiceKey]) -> None:
        """Forget retired services that were deleted; schedule the deletion of the others."""
        for key in keys:
            goal = self._goals[key]
            if self._shadow[key] is None:
                del self._goals[key], self._shadow[key]
            else:
                now = self._clock.seconds()
                goal.drained_at = min(goal.drained_at, now + self.grace)
                remaining = max(0.0, goal.drained_at - now)
                text = "{place} removed from the configuration; draining, deleting in {seconds:.0f} s"
                self._log.info(text, place=place(key), seconds=remaining, system=goal.name)
                goal.next = self._clock.callLater(remaining, self._pursue, key)
        self._ledger.strike(key for key in keys if key not in self._goals)


def _lines(ops: Sequence[Op]) -> str:
    return "\n".join(f"ipvsadm {operation(op)}" for op in ops)


def _summary(failures: Sequence[Failure]) -> str:
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return failure(failures[0]) + more
