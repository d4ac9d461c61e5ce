"""Periodic audit of the IPVS table: finds drift and has it repaired.

The kernel sends no notification when its table changes. A round reads at most one service per turn of the event loop; rounds start
``interval`` seconds apart. *Drift* is a change that another program made since the last write to a service. Each operation that
would undo it counts once, when it is first found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from pybal.core.model import Alert, Service
from pybal.core.text import first_of, format_age
from pybal.ipvs.backend import BackendError
from pybal.ipvs.goal import Intent, Retired, not_in_ipvs
from pybal.ipvs.model import Command, Endpoint, Op, ServiceKey, TableEntry, Traffic, key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import operation, place
from pybal.ipvs.writer_conflicts import WriterConflicts
from pybal.runtime.activity import Activity

#: An audit older than this many rounds is an alert.
OVERDUE = 3


class Drift(StrEnum):
    """Kinds of drift; the values are label values of ``pybal_ipvs_drift_total``."""

    SERVICE_MISSING = "service-missing"
    SERVICE_CHANGED = "service-changed"
    SERVICE_EXTRA = "service-extra"
    MISSING = "destination-missing"
    CHANGED = "destination-changed"
    EXTRA = "destination-extra"


_UNDONE_BY = {
    Command.ADD_SERVICE: Drift.SERVICE_MISSING,
    Command.EDIT_SERVICE: Drift.SERVICE_CHANGED,
    Command.DELETE_SERVICE: Drift.SERVICE_EXTRA,
    Command.ADD: Drift.MISSING,
    Command.EDIT: Drift.CHANGED,
    Command.REPLACE: Drift.CHANGED,
    Command.DELETE: Drift.EXTRA,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A service and its traffic as read, with the operations that would undo its drift.

    ``at`` is the monotonic time in seconds. ``traffic_before`` is that of the reading at ``at_before``, for rates.
    """

    held: TableEntry | None
    at: float
    drift: tuple[Op, ...]
    traffic: Sequence[tuple[Endpoint, Traffic]] = ()
    traffic_before: Sequence[tuple[Endpoint, Traffic]] = ()
    at_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of the audit.

    ``age`` is the age of the last complete round in seconds; ``problem`` is the error of the round after it, if any.
    """

    interval: float
    repairs: bool
    age: float
    problem: str
    drift: Mapping[tuple[str, Drift], int]
    intents: Mapping[ServiceKey, Intent]
    readings: Mapping[ServiceKey, Reading]
    foreign: Collection[ServiceKey]
    retired: Mapping[ServiceKey, Retired]

    @property
    def drifted(self) -> int:
        """The number of entries that another program changed, at the last reading of each service."""
        return sum(len(reading.drift) for reading in self.readings.values())


class Audit:
    """Compares the table with the last writes of ``reconciler``; repairs drift if ``repairs`` is set.

    Services of other programs raise an alert and stay; with ``exclusive`` they are retired. While the reconciler is frozen,
    drift is only reported. ``changed`` is called when a service is found :meth:`absent`, or present again.
    """

    _log = Logger()

    def __init__(
        self,
        reconciler: Reconciler,
        clock: IReactorTime,
        *,
        interval: float,
        repairs: bool,
        exclusive: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._reconciler = reconciler
        self._changed = changed
        self._clock = clock
        self._repairs = repairs
        self._exclusive = exclusive
        self._drift: Counter[tuple[str, Drift]] = Counter()
        self._readings: dict[ServiceKey, Reading] = {}
        self._foreign: tuple[ServiceKey, ...] = ()
        self._conflicts = WriterConflicts()
        self._problem = ""
        self._began = self._completed = clock.seconds()
        self._activity = Activity("IPVS audit", self._start_round, clock, interval=interval)
        self._interval = interval
        self._auditing = False

    def start(self) -> None:
        """Schedule the first round after one interval."""
        self._began = self._completed = self._clock.seconds()
        self._activity.start()

    def reconfigure(self, *, interval: float, repairs: bool, exclusive: bool) -> None:
        """Use these settings from now on."""
        self._interval = self._activity.interval = interval
        self._repairs, self._exclusive = repairs, exclusive
        if not self._auditing:
            self._activity.reschedule(max(0.0, self._began + interval - self._clock.seconds()))

    def stop(self) -> None:
        """Start no further round, and end the present one."""
        self._activity.stop()

    def thaw(self) -> None:
        """Repair the drift that was only reported during a freeze."""
        for key, reading in self._readings.items():
            if reading.drift and self._repairing and self._reconciler.intent(key):
                self._reconciler.repair(key)

    def findings(self) -> Findings:
        """Return the current results."""
        return Findings(
            self._interval,
            self._repairs,
            self._age,
            self._problem,
            self._drift,
            self._reconciler.intents(),
            self._readings,
            self._foreign,
            self._reconciler.retired(),
        )

    def alerts(self) -> Iterator[Alert]:
        """Yield alerts: overdue audit, writer conflicts, unrepaired drift, services of other programs."""
        if self._age > OVERDUE * self._interval:
            reason = self._problem or "the current round has not ended"
            yield Alert(
                "", "ipvs-audit", f"IPVS audit overdue: last complete audit {format_age(self._age)} ago ({reason})"
            )
        for key, intent in self._reconciler.intents().items():
            if conflict := self._conflicts.text(key, self._clock.seconds()):
                yield Alert(intent.service.name, "ipvs-writer", conflict)
            reading = self._readings.get(key)
            if reading and reading.drift and not self._repairing and not intent.verified:
                text = f"IPVS changed by another program: {_summary(reading.drift)}; not repairing"
                name = intent.service.name
                yield not_in_ipvs(name, text) if self.absent(intent.service) else Alert(name, "ipvs-drift", text)
        if self._foreign:
            places = [place(key) for key in self._foreign]
            text = f"IPVS holds services that PyBal does not own: {first_of(places, 5)}"
            yield Alert("", "ipvs-foreign", text, data={"services": places})

    def absent(self, service: Service) -> bool:
        """Return whether another program removed a service or emptied it, and it is not restored."""
        if self._reconciler.fails_to_restore(service):
            return True
        key = key_of(service)
        reading, intent = self._readings.get(key), self._reconciler.intent(key)
        if reading is None or intent is None or intent.verified or self._repairing or not reading.drift:
            return False
        return intent.entry.serves and not (reading.held and reading.held.serves)

    @property
    def _age(self) -> float:
        return self._clock.seconds() - self._completed

    @property
    def _repairing(self) -> bool:
        return self._repairs and not self._reconciler.frozen

    def _start_round(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        self._began = self._clock.seconds()
        self._auditing = True
        try:
            await self._examine()
        except BackendError as error:
            if str(error) != self._problem:
                self._log.error("IPVS audit failed: {reason}; retrying in {s:g} s", reason=error, s=self._interval)
            self._problem = str(error)
        else:
            self._completed = self._clock.seconds()
            if self._problem:
                self._log.info("IPVS audit works again")
            self._problem = ""
        finally:
            self._auditing = False

    async def _examine(self) -> None:
        self._forget()
        services = await self._reconciler.services()
        self._note_foreign([service.key for service in services if not self._reconciler.owns(service.key)])
        for key in tuple(self._reconciler.intents()):
            await deferLater(self._clock, 0)
            await self._compare(key)

    async def _compare(self, key: ServiceKey) -> None:
        comparison, intent = await self._reconciler.compare(key), self._reconciler.intent(key)
        if intent is None or comparison is None:
            return
        before = self._readings.get(key)
        known = {} if before is None or self._repairing else {_place(op): op for op in before.drift}
        traffic, at = ((), 0.0) if before is None else (before.traffic, before.at)
        now, drift = self._clock.seconds(), comparison.drift
        self._readings[key] = Reading(comparison.held, now, drift, comparison.traffic, traffic, at)
        if (before.drift if before else ()) != comparison.drift:
            self._changed()
        if new := [op for op in comparison.drift if known.get(_place(op)) != op]:
            name = intent.service.name
            self._drift.update((name, _UNDONE_BY[op.command]) for op in new)
            reaction = "repairing" if self._repairing else "not repairing (ipvs-drift = report)"
            if self._reconciler.frozen:
                reaction = "not repairing (frozen)"
            self._log.warn("IPVS changed by another program: {what}; {r}", what=_summary(new), r=reaction, system=name)
            if self._repairing:
                self._repair(key, name, new)

    def _repair(self, key: ServiceKey, name: str, ops: Sequence[Op]) -> None:
        self._reconciler.repair(key)
        now = self._clock.seconds()
        before = self._conflicts.text(key, now)
        self._conflicts.repaired(ops, now)
        conflict = self._conflicts.text(key, now)
        if conflict and not before:
            self._log.error("{text}", text=conflict, system=name)

    def _forget(self) -> None:
        self._conflicts.forget(self._clock.seconds())
        for key in self._readings.keys() - self._reconciler.intents().keys():
            del self._readings[key]

    def _note_foreign(self, keys: Sequence[ServiceKey]) -> None:
        known = frozenset(self._foreign)
        new = [key for key in keys if key not in known]
        self._foreign = () if self._exclusive else tuple(keys)
        if new:
            self._drift["", Drift.SERVICE_EXTRA] += len(new)
            names = ", ".join(map(place, new[:5])) + (" …" if len(new) > 5 else "")  # noqa: PLR2004  as in the alert
            reaction = "removing them (ipvs-exclusive = yes)" if self._exclusive else "leaving them unchanged"
            self._log.warn("IPVS holds services that PyBal does not own: {names}; {r}", names=names, r=reaction)
        if self._exclusive:
            for key in keys:
                self._reconciler.retire(key, place(key))


def _place(op: Op) -> tuple[Command, Endpoint | None]:
    """Return what an operation on a given service changes."""
    return op.command, None if op.destination is None else op.destination.endpoint


def _summary(ops: Sequence[Op]) -> str:
    """Return counts and the first operation: ``2 destination-missing (repair: ipvsadm -a …)``."""
    kinds = Counter(_UNDONE_BY[op.command] for op in ops)
    return f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())} (repair: ipvsadm {operation(ops[0])})"
