"""The only writer of the IPVS table: holds the goal of each service and makes the table equal to it.

Changes are computed against a cached copy of the table (:mod:`pybal.ipvs.writer`), so the fast path reads nothing. Goals set in
one turn of the reactor are written together at its end, in slices of the loop's time; a goal that changes while its service is
being written is written after that. Large services take turns with the others, so that a small one does not wait for ten
thousand destinations. A service that still differs after three rounds raises an alert and is retried with exponential back-off;
a new goal is tried immediately.

Each service is entered in a ledger before it is written. A service that leaves the configuration is *retired*: its weights are
set to 0 so that its connections can end, then it is deleted and struck from the ledger.

While frozen, the reconciler writes nothing; it stores goals and applies them when it thaws.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.model import Address, Alert, Service
from pybal.core.steps import Steps, finish
from pybal.ipvs.access import PIECE, Access, ModuleLoader
from pybal.ipvs.backend import Backend, BackendError
from pybal.ipvs.diff import ordered, steps
from pybal.ipvs.goal import Goal, Intent, Retired
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import (
    Endpoint,
    Op,
    ServiceKey,
    TableEntry,
    Traffic,
    VirtualService,
    entry_in_steps,
    key_of,
)
from pybal.ipvs.render import place
from pybal.ipvs.writer import MESSAGES, Batch, TableWriter
from pybal.runtime.activity import Activity
from pybal.runtime.turns import Pace
from pybal.runtime.workers import Workers

STOP_SECONDS = 5.0
"""Deadline for the pending goals at the stop."""

TOGETHER = 512
"""Destinations to compare in a batch of several services; a service with more has its own batch."""

SHARE_SECONDS = 0.005
"""Time for which a batch is written until the next one has its turn."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A service as read with its traffic, and the operations that would undo changes by other programs."""

    held: TableEntry | None
    drift: tuple[Op, ...]
    traffic: Sequence[tuple[Endpoint, Traffic]]


class Reconciler:
    """Makes the table of ``backend`` equal to the goals. Owns the backend and the ledger.

    A retired service is drained for ``grace`` seconds. ``settled`` is called after each write or failed write. ``workers`` (one
    thread) makes the calls of a backend that waits, ``loader`` those of netlink that may load a module.
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
        workers: Workers | None = None,
        loader: ModuleLoader | None = None,
    ) -> None:
        self._access = Access(backend, clock, workers, loader)
        self._writer = TableWriter(self._access, clock)
        self._clock = clock
        self._ledger = ledger or Ledger()
        self.grace = grace
        self._settled = settled
        self._goals: dict[ServiceKey, Goal] = {}
        self._named: dict[str, ServiceKey] = {}
        self._adopted: set[ServiceKey] = set()
        self._due: dict[ServiceKey, None] = {}
        self._unadmitted = False
        """True if a service may be due that the last admission has not seen, or had to refuse."""
        self._writing: dict[ServiceKey, None] = {}
        self._batches = deque[Batch]()
        """The batches of the services that are being written, in the order of their turns."""
        self._small: Batch | None = None
        """The one of them that is not of a large service."""
        self._flushing = Activity("write IPVS", lambda: Deferred.fromCoroutine(self._flush()), clock)
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """True while writing is suspended."""
        return self._frozen

    def freeze(self) -> None:
        """Suspend writing, including pending goals."""
        self._frozen = True
        self._flushing.stop()

    def thaw(self) -> None:
        """Resume writing; pending goals are applied at the end of this turn."""
        self._frozen = False
        if self._due:
            self._flushing.wake()

    async def adopt(self, services: Iterable[Service]) -> Mapping[str, Mapping[Address, int]]:
        """Read the table: addresses and weights by service name, empty if the service is absent.

        Writes nothing. Raises BackendError.
        """
        held = {}
        pace = Pace(self._clock)
        for service in services:
            found = await self._access.read(key_of(service))
            await pace.pause()
            self._writer.learn(key_of(service), found)
            self._adopted.add(key_of(service))
            destinations = found.destinations.values() if found else ()
            held[service.name] = {d.address: d.weight for d in destinations if d.port == service.port}
        return held

    def want(self, service: Service, destinations: Mapping[Address, int]) -> None:
        """Set the goal of a service: its destinations with their weights; applied at the end of this turn.

        Raises ValueError for an unknown scheduler flag.
        """
        finish(self.wanting(service, destinations))()

    def wanting(self, service: Service, destinations: Mapping[Address, int]) -> Steps[Callable[[], None]]:
        """Return the call that does what :meth:`want` does, in a short time."""
        goal = yield from entry_in_steps(service, destinations)

        def want() -> None:
            self._set(key_of(service), service.name, (service, goal))
            self._named[service.name] = key_of(service)

        return want

    def amend(self, service: Service, changes: Mapping[Address, int | None]) -> None:
        """Change a service and these destinations of its goal: their weights, or ``None`` to remove them.

        The cost follows the number of changes. Raises LookupError without a goal: set one with :meth:`want` first, also
        after a change of the name or of ``tunneling``, and ValueError for an unknown scheduler flag.
        """
        finish(self.amending(service, changes))()

    def amending(self, service: Service, changes: Mapping[Address, int | None]) -> Steps[Callable[[], None]]:
        """Return the call that does what :meth:`amend` does, in a short time.

        It raises LookupError if the goal was replaced since.
        """
        key = key_of(service)
        apply = yield from self._goals[key].amending(service, changes)

        def amend() -> None:
            apply()
            self._pursue(key)

        return amend

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

    async def held(self, service: Service) -> TableEntry | None:
        """Return the entry of a service as last written, or read from the table. Raises BackendError."""
        key = key_of(service)
        known = key in self._goals and self._writer.knows(key)
        return self._writer.known(key) if known else await self._access.read(key)

    def holds(self, service: Service, address: Address) -> bool:
        """Return whether the table held a destination of a service when it was last read or written."""
        entry = self._writer.seen(key_of(service))
        return entry is not None and (address, service.port) in entry.destinations

    def alerts(self) -> tuple[Alert, ...]:
        """Return one alert per service that differs from its goal, and those of the backend and the ledger."""
        now = self._clock.seconds()
        services = (
            alert for key, goal in self._goals.items() if (alert := goal.alert(now, uncreated=self._uncreated(key)))
        )
        return (*services, *self._access.alerts(), *self._ledger.alerts())

    def _uncreated(self, key: ServiceKey) -> bool:
        """Return whether a service is not in the table because of a freeze."""
        return self._frozen and key in self._due and self._writer.knows(key) and self._writer.known(key) is None

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

    def fails_to_restore(self, service: Service) -> bool:
        """Return whether the table has no server of a service that should serve, because a write failed."""
        key = key_of(service)
        goal, seen = self._goals.get(key), self._writer.seen(key)
        if goal is None or goal.wanted is None or not goal.problem:
            return False
        return goal.wanted[1].serves and not (seen and seen.serves)

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

    async def compare(self, key: ServiceKey) -> Comparison | None:
        """Read a service that has a goal and compare it with what was last written.

        Returns ``None`` if that is unknown, because a write failed or is in progress. Raises BackendError.
        """
        if not self._writer.knows(key) or self.intent(key) is None:
            return None
        left, held = self._writer.known(key), await self._access.read(key)
        pace, ops = Pace(self._clock), list[Op]()
        for step in steps(left, held):
            ops += step
            await pace.pause()
        if not self._writer.knows(key) or self._writer.known(key) is not left or key not in self._goals:
            return None
        self._goals[key].drifted = bool(ops)
        if ops:
            self._writer.see(key, held)
        # One copy is kept: that of the last write, unless they differ.
        return Comparison(held if ops else left, ordered(ops), held.traffic if held else ())

    def repair(self, key: ServiceKey) -> None:
        """Read a service again and apply its goal at the end of this turn."""
        self._writer.distrust(key)
        self._pursue(key)

    async def read(self, key: ServiceKey) -> TableEntry | None:
        """Read a service, ``None`` if the table does not have it. Raises BackendError."""
        return await self._access.read(key)

    async def services(self) -> tuple[VirtualService, ...]:
        """Read all services, including those of other programs, without destinations. Raises BackendError."""
        return await self._access.services()

    def view(self) -> Backend:
        """Return the table to read immediately; with ``ipvs-backend = ipvsadm`` as the last audit read it."""
        return self._access.view()

    def stop(self) -> Deferred[None]:
        """Apply pending goals unless frozen, at most :data:`STOP_SECONDS`, and close the backend."""
        self._flushing.stop()
        for goal in self._goals.values():
            goal.cancel()
        finished = Deferred.fromCoroutine(self._finish())
        finished.addTimeout(STOP_SECONDS, self._clock, self._log_unfinished)
        return finished.addErrback(self._log_failure).addCallback(self._close)

    async def _finish(self) -> None:
        await self._flush()
        await self._ledger.settled()

    def _log_unfinished(self, _result: object, seconds: float) -> None:
        text = "IPVS not updated within {seconds:g} s at the stop ({number} services waiting)"
        self._log.error(text, seconds=seconds, number=len(self._due))

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("IPVS not updated at the stop", failure)

    def _close(self, _result: None) -> None:
        for goal in self._goals.values():
            goal.cancel()
        self._ledger.stop()
        self._access.close()

    def _verified(self, goal: Goal, key: ServiceKey | None) -> bool:
        pending = key in self._due or key in self._writing
        return not goal.problem and not goal.drifted and not pending

    def _pursue(self, key: ServiceKey) -> None:
        self._goals[key].cancel()
        self._due[key] = None
        self._unadmitted = True
        if not self._frozen:
            self._flushing.wake()

    async def _flush(self) -> None:
        """Write the due services in batches that take turns, each until its share is spent.

        At most :data:`MESSAGES` and one slice of time in each turn of the loop.
        """
        pace = Pace(self._clock, most=MESSAGES)
        self._unadmitted = True
        try:
            while (self._due or self._batches) and not self._frozen:
                self._admit()
                if not self._batches:
                    await self._ledger.settled()
                    continue
                batch = self._batches.popleft()
                self._batches.append(batch)
                await self._advance(batch, pace)
                await pace.pause()
        finally:  # after a freeze, the stop or a bug, some batches are unfinished
            self._due = dict.fromkeys(key for key in (*self._writing, *self._due) if key in self._goals)
            self._end_batches()

    def _admit(self) -> None:
        """Begin to write the due services that the ledger admits: large ones alone, small ones together."""
        if not self._unadmitted:
            return
        due = {key: self._goals[key] for key in self._due if key not in self._writing}
        self._ledger.enter({key: goal.name for key, goal in due.items()})
        admitted = {key: goal for key, goal in due.items() if self._ledger.admits(key)}
        self._unadmitted = len(admitted) < len(due)
        together, cost = dict[ServiceKey, Goal](), 0
        for key, goal in admitted.items():
            own = goal.cost(self._writer.known(key))
            if own >= TOGETHER:
                self._begin({key: goal})
            elif self._small is None and cost < TOGETHER:
                together[key] = goal
                cost += own
        if together:
            self._small = self._begin(together)

    def _begin(self, goals: Mapping[ServiceKey, Goal]) -> Batch:
        for key, goal in goals.items():
            del self._due[key]
            self._writing[key] = None
            goal.cancel()
        batch = self._writer.begin(goals)
        self._batches.append(batch)
        return batch

    def _end_batches(self) -> None:
        self._batches.clear()
        self._writing.clear()
        self._small = None

    async def _advance(self, batch: Batch, pace: Pace) -> None:
        """Write a batch until its share is spent; settle its services at its end."""
        share = Pace(self._clock, SHARE_SECONDS, most=PIECE)
        try:
            async for sent in batch.steps:
                pace.count(sent)
                share.count(sent)
                await pace.pause()
                if share.spent:
                    return
        except BackendError as error:
            self._fail_all(str(error))
        else:
            self._finish_batch(batch)
        self._settled()

    def _fail_all(self, error: str) -> None:
        # The others would fail as well: one call that fails is enough.
        keys = dict.fromkeys((*self._writing, *self._due))
        self._end_batches()
        self._due.clear()
        for key in keys:
            self._writer.distrust(key)
            self._settle(key, error, met=False)

    def _finish_batch(self, batch: Batch) -> None:
        self._batches.remove(batch)
        if batch is self._small:
            self._small = None
        self._unadmitted = True
        for key in batch.goals:
            del self._writing[key]
            self._settle(key, batch.errors.get(key, ""), met=key not in batch.different)
        done = [key for key in batch.goals if key not in batch.different and key not in self._due]
        self._finish_retired([key for key in done if self._goals[key].wanted is None])

    def _settle(self, key: ServiceKey, error: str, *, met: bool) -> None:
        goal = self._goals[key]
        if not met:
            if error != goal.problem:
                self._log.error("IPVS not updated: {reason}; retrying", reason=error, system=goal.name)
            if not goal.problem:
                goal.since = self._clock.seconds()
            goal.problem = error
            if key not in self._due:
                goal.next = self._clock.callLater(goal.backoff.pause(), self._pursue, key)
            return
        if error:
            self._log.warn("IPVS drift repaired: {reason}", reason=error, system=goal.name)
        elif goal.problem:
            self._log.info("IPVS updated after errors", system=goal.name)
        goal.problem, goal.absent = "", False
        goal.backoff.reset()

    def _finish_retired(self, keys: Collection[ServiceKey]) -> None:
        """Forget retired services that were deleted; schedule the deletion of the others."""
        for key in keys:
            goal = self._goals[key]
            if self._writer.known(key) is None:
                del self._goals[key]
                self._writer.forget(key)
            else:
                now = self._clock.seconds()
                goal.drained_at = min(goal.drained_at, now + self.grace)
                remaining = max(0.0, goal.drained_at - now)
                text = "{place} removed from the configuration; draining, deleting in {seconds:.0f} s"
                self._log.info(text, place=place(key), seconds=remaining, system=goal.name)
                goal.next = self._clock.callLater(remaining, self._pursue, key)
        self._ledger.strike(key for key in keys if key not in self._goals)
