"""Reads the IPVS table again and again, since the kernel tells nobody when it changes, and has drift repaired.

A round reads one service per turn of the loop; rounds begin ``interval`` seconds after one another. *Drift* is what
others changed since we wrote a service: each operation that would undo it counts once, when it is first found.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Alert
from pybal.ipvs.backend import Backend, BackendError
from pybal.ipvs.goal import Intent, Retired
from pybal.ipvs.model import Command, Op, ServiceKey, TableEntry
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import operation, place
from pybal.ipvs.writer_conflicts import WriterConflicts

#: So many rounds without a word from the kernel are an alert.
OVERDUE = 3


class Drift(StrEnum):
    """In what way the table is not as we left it."""

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
    Command.DELETE: Drift.EXTRA,
}


@dataclass(frozen=True, slots=True)
class Sight:
    """A service as it was read at a monotonic time, with the operations that would undo its drift."""

    held: TableEntry | None
    at: float
    drift: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the audit knows: ``age`` of the last whole round in seconds, and what is wrong with the one after it."""

    interval: float
    repairs: bool
    age: float
    problem: str
    drift: Mapping[tuple[str, Drift], int]
    intents: Mapping[ServiceKey, Intent]
    sights: Mapping[ServiceKey, Sight]
    foreign: Collection[ServiceKey]
    retired: Mapping[ServiceKey, Retired]


class Audit:
    """Compares what ``backend`` holds with what ``reconciler`` left there; with ``repairs`` has it made so again.

    Services of others are named in an alert and not touched; if we are ``exclusive``, they are retired.
    While the reconciler is frozen drift is only reported.
    """

    _log = Logger()

    def __init__(
        self,
        reconciler: Reconciler,
        backend: Backend,
        clock: IReactorTime,
        *,
        interval: float,
        repairs: bool,
        exclusive: bool = False,
    ) -> None:
        self._reconciler = reconciler
        self._backend = backend
        self._clock = clock
        self._interval = interval
        self._repairs = repairs
        self._exclusive = exclusive
        self._drift: Counter[tuple[str, Drift]] = Counter()
        self._sights: dict[ServiceKey, Sight] = {}
        self._foreign: tuple[ServiceKey, ...] = ()
        self._disputes = WriterConflicts()
        self._problem = ""
        self._began = self._completed = clock.seconds()
        self._left: deque[ServiceKey] = deque()
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin the first round after an interval."""
        self._began = self._completed = self._clock.seconds()
        self._call = self._clock.callLater(self._interval, self._round)

    def reconfigure(self, *, interval: float, repairs: bool, exclusive: bool) -> None:
        """Go on so from now on."""
        self._interval, self._repairs, self._exclusive = interval, repairs, exclusive
        if self._call and self._call.active() and not self._left:
            self._call.cancel()
            self._again()

    def stop(self) -> None:
        """Read no more."""
        if self._call and self._call.active():
            self._call.cancel()

    def thaw(self) -> None:
        """Have repaired what was only reported during a freeze."""
        for key, sight in self._sights.items():
            if sight.drift and self._mends and self._reconciler.intent(key):
                self._reconciler.repair(key)

    def findings(self) -> Findings:
        """Return what is known at this moment."""
        return Findings(
            self._interval,
            self._repairs,
            self._age,
            self._problem,
            self._drift,
            self._reconciler.intents(),
            self._sights,
            self._foreign,
            self._reconciler.retired(),
        )

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for an overdue round, for other writers, for drift that stays, and for the services of others."""
        if self._age > OVERDUE * self._interval:
            reason = self._problem or "a round takes too long"
            yield Alert("", "ipvs-audit", f"IPVS was last audited {self._age:.0f} s ago: {reason}")
        for key, intent in self._reconciler.intents().items():
            if dispute := self._disputes.text(key, self._clock.seconds()):
                yield Alert(intent.service.name, "ipvs-writer", dispute)
            sight = self._sights.get(key)
            if sight and sight.drift and not self._mends and not intent.verified:
                yield Alert(intent.service.name, "ipvs-drift", f"IPVS was changed by others: {_sum(sight.drift)}")
        if self._foreign:
            names = ", ".join(place(key) for key in self._foreign[:5])
            more = f" and {len(self._foreign) - 5} more" if len(self._foreign) > 5 else ""  # noqa: PLR2004  as above
            yield Alert("", "ipvs-foreign", f"IPVS holds services of others: {names}{more}")

    @property
    def _age(self) -> float:
        return self._clock.seconds() - self._completed

    @property
    def _mends(self) -> bool:
        return self._repairs and not self._reconciler.frozen

    def _round(self) -> None:
        self._began = self._clock.seconds()
        self._forget()
        try:
            services = self._backend.services()
        except BackendError as error:
            self._fail(error)
            return
        self._see_foreign([service.key for service in services if not self._reconciler.owns(service.key)])
        self._left.extend(self._reconciler.intents())
        self._call = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        """Read the next service, and let the loop turn before the one after it."""
        if not self._left:
            self._completed = self._clock.seconds()
            if self._problem:
                self._log.info("IPVS can be audited again")
            self._problem = ""
            self._again()
            return
        try:
            self._look(self._left.popleft())
        except BackendError as error:
            self._fail(error)
            return
        self._call = self._clock.callLater(0, self._turn)

    def _fail(self, error: BackendError) -> None:
        if str(error) != self._problem:
            self._log.error("IPVS cannot be audited: {reason}", reason=error)
        self._problem = str(error)
        self._left.clear()
        self._again()

    def _again(self) -> None:
        self._call = self._clock.callLater(max(0.0, self._began + self._interval - self._clock.seconds()), self._round)

    def _look(self, key: ServiceKey) -> None:
        intent, comparison = self._reconciler.intent(key), self._reconciler.compare(key)
        if intent is None or comparison is None:
            return
        before = self._sights.get(key)
        known = () if before is None or self._mends else before.drift
        self._sights[key] = Sight(comparison.held, self._clock.seconds(), comparison.drift)
        if new := [op for op in comparison.drift if op not in known]:
            name = intent.service.name
            self._drift.update((name, _UNDONE_BY[op.command]) for op in new)
            outcome = "it is made as wanted" if self._mends else "it is left so"
            self._log.warn("IPVS was changed by others: {what}; {o}", what=_sum(new), o=outcome, system=name)
            if self._mends:
                self._mend(key, name, new)

    def _mend(self, key: ServiceKey, name: str, ops: Sequence[Op]) -> None:
        self._reconciler.repair(key)
        now = self._clock.seconds()
        before = self._disputes.text(key, now)
        self._disputes.repaired(ops, now)
        dispute = self._disputes.text(key, now)
        if dispute and not before:
            self._log.error("{text}", text=dispute, system=name)

    def _forget(self) -> None:
        self._disputes.forget(self._clock.seconds())
        for key in self._sights.keys() - self._reconciler.intents().keys():
            del self._sights[key]

    def _see_foreign(self, keys: Sequence[ServiceKey]) -> None:
        new = [key for key in keys if key not in self._foreign]
        self._foreign = () if self._exclusive else tuple(keys)
        if new:
            self._drift["", Drift.SERVICE_EXTRA] += len(new)
            names = ", ".join(map(place, new[:5])) + (" …" if len(new) > 5 else "")  # noqa: PLR2004  as in the alert
            fate = "retired (ipvs-exclusive)" if self._exclusive else "left alone"
            self._log.warn("IPVS holds services of others: {names}; they are {fate}", names=names, fate=fate)
        if self._exclusive:
            for key in keys:
                self._reconciler.retire(key, place(key))


def _sum(ops: Sequence[Op]) -> str:
    """Return e.g. ``2 destination-missing, 1 destination-changed (ipvsadm -a …)``: how many of a kind, and the first."""
    kinds = Counter(_UNDONE_BY[op.command] for op in ops)
    return f"{', '.join(f'{n} {kind}' for kind, n in kinds.items())} (undone by ipvsadm {operation(ops[0])})"
