"""Reload: a new configuration takes the place of the one that runs, by the smallest steps, or changes nothing at all.

Everything that can fail happens first: the file is read and checked, what it takes is made, ports are opened. Then
services that go stop being checked, the others change or begin, one in each turn of the loop. The peers hear of it.
What goes leaves the kernel last: when its announcements are withdrawn, and what came in its place is in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.bgp.service import BGPService
from pybal.bgp.speaker import SpeakerError
from pybal.config.errors import ConfigError, Problem
from pybal.config.settings import Settings
from pybal.core.model import Service
from pybal.daemon.services import Prepared, Services
from pybal.ipvs.backend import BackendError
from pybal.ipvs.model import key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.reload import plan as planning
from pybal.reload.difference import announcement_reasons, general_reasons, peer_reasons
from pybal.reload.file import Loaded, unsupported
from pybal.reload.plan import Outcome, ReloadPlan, Step, Verb
from pybal.runtime.systemd import Notifier
from pybal.status.listening import Listening
from pybal.status.reload import Configuration, plan_lines

LEAVING_SECONDS = 5.0
"""What goes leaves the kernel after this time, whatever the peers and the kernel have not said yet."""
_LOOK = 0.05


class File(Protocol):
    """The configuration file; see :class:`pybal.reload.file.ConfigurationFile`."""

    path: str

    def read(self) -> Loaded: ...

    def digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ReloadTargets:
    """The parts of the daemon that a reload changes.

    ``settled`` is told of the settings once they are in force. ``hindrance`` tells why nothing may be changed now; it is
    empty if all may be.
    """

    services: Services
    reconciler: Reconciler
    announcing: BGPService | None
    listening: Listening
    notifier: Notifier
    clock: IReactorTime
    settled: Callable[[Settings], None]
    hindrance: Callable[[], str] = str


class Reloader:
    """Applies what ``file`` says, one reload at a time."""

    _log = Logger()

    def __init__(
        self,
        file: File,
        loaded: Loaded,
        running: ReloadTargets,
    ) -> None:
        self.settings = loaded.settings
        """Those in force."""
        self._file = file
        self._running = running
        self._lock = DeferredLock()
        self._asked = self._stopped = False
        self._configuration = Configuration(file.path, loaded.digest, loaded.digest, running.clock.seconds())

    @property
    def configuration(self) -> Configuration:
        """What is loaded, and what came of the last reload."""
        return replace(self._configuration, on_disk=self._file.digest())

    def plan(self, settings: Settings) -> ReloadPlan:
        """Return what a reload with these settings would do. Raises BackendError."""
        before, services = self.settings, self._running.services
        pools = services.pools()
        grace, held = settings.ipvs.remove_grace, self._running.reconciler.held
        steps = planning.steps(before.services, settings.services, pools, held, grace)
        return ReloadPlan(
            steps,
            tuple(general_reasons(before, settings)),
            tuple(self._announcements(settings, steps)),
            planning.needs_restart(before, settings),
            planning.blast_radius(steps, pools, before.max_blast_radius),
        )

    def ask(self) -> None:
        """Have a reload, soon: however often this is called before it begins, one."""
        if not self._asked:
            self._asked = True
            Deferred.fromCoroutine(self.reload()).addErrback(self._broke_off)

    async def reload(self, *, force: bool = False) -> Outcome:
        """Read the file and do what it says, or refuse it; ``force`` lets any number of services and servers go.

        Returns once all is done. Raises CancelledError if the daemon is stopped before that.
        """
        await self._lock.acquire()
        try:
            return await self._reload(force=force)
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopped = True

    def _broke_off(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("a reload broke off: only a restart is sure to apply all of it", failure, system="reload")

    async def _reload(self, *, force: bool) -> Outcome:
        await self._turn()
        self._asked = False
        self._running.notifier.reloading()
        try:
            outcome = await self._outcome(force=force)
        finally:
            if not self._stopped:
                self._running.notifier.ready(f"{len(self._running.services)} services")
        known = self._configuration
        self._configuration = replace(
            known,
            last=outcome,
            accepted=known.accepted + outcome.accepted,
            refused=known.refused + (not outcome.accepted),
        )
        return outcome

    async def _outcome(self, *, force: bool) -> Outcome:
        at = self._running.clock.seconds()
        if hindrance := self._running.hindrance():
            return self._refused(Outcome(False, at, (hindrance,)))
        try:
            loaded = self._file.read()
        except ConfigError as refused:
            return self._refused(Outcome(False, at, _texts(refused.problems), _texts(refused.warnings)))
        except OSError as error:
            return self._refused(Outcome(False, at, (f"{self._file.path}: {error.strerror}",)))
        warnings = _texts(loaded.warnings)
        problems = _texts(unsupported(loaded.settings, self._file.path))
        if problems:
            return self._refused(Outcome(False, at, problems, warnings))
        plan = None
        try:
            plan = self.plan(loaded.settings)
            problems = (*plan.restart, *([plan.radius] if plan.radius and not force else []))
            prepared = [] if problems else self._prepare(plan, loaded.settings)
        except (BackendError, SpeakerError, CannotListenError) as error:
            problems = (str(error),)
        except Exception as bug:  # noqa: BLE001  # of what is made for the new configuration: the old one serves on
            self._log.failure("a reload could not be prepared", system="reload")
            problems = (f"could not be prepared: {bug!r}",)
        if problems:
            return self._refused(Outcome(False, at, problems, warnings, plan))
        assert plan  # noqa: S101  # else there are problems
        await self._take(plan, prepared, loaded)
        return Outcome(True, at, (), warnings, plan)

    def _refused(self, outcome: Outcome) -> Outcome:
        for warning in outcome.warnings:
            self._log.warn("{warning}", warning=warning, system="reload")
        for problem in outcome.problems:
            self._log.error("reload refused, nothing changed: {problem}", problem=problem, system="reload")
        return outcome

    def _prepare(self, plan: ReloadPlan, settings: Settings) -> Sequence[tuple[Step, Prepared]]:
        """Make all that can fail; what is made is nobody's until the steps are taken."""
        if self._running.announcing:
            self._running.announcing.check(settings)
        prepared = [(step, self._running.services.prepare(step)) for step in plan.steps]
        self._running.listening.open(settings.instrumentation)
        return prepared

    async def _take(self, plan: ReloadPlan, prepared: Sequence[tuple[Step, Prepared]], loaded: Loaded) -> None:
        running, settings = self._running, loaded.settings
        for line in plan_lines(plan):
            self._log.info("{line}", line=line, system="reload")
        # Who goes stops first: two services of one name must not both have wants.
        for step, take in sorted(prepared, key=lambda each: each[0].verb is not Verb.REMOVE):
            take()
            if step.verb is not Verb.KEEP:
                await self._turn()
        running.services.arrange(settings.services)
        self.settings = settings
        self._configuration = replace(self._configuration, digest=loaded.digest, loaded_at=running.clock.seconds())
        if running.announcing:
            running.announcing.reconfigure(settings, _new(plan.steps))
        if not plan.empty:
            running.settled(settings)
        await running.listening.close(besides=settings.instrumentation)
        await self._remove([step for step in plan.steps if step.verb is Verb.REMOVE])
        kept = sum(step.verb is Verb.KEEP for step in plan.steps)
        text = f"reloaded, {kept} of {len(settings.services)} services kept as they are"
        self._log.info("{text}", text=text, system="reload")

    def _verified(self, service: Service) -> bool:
        intent = self._running.reconciler.intent(key_of(service))
        return intent is not None and intent.verified

    async def _remove(self, removals: Sequence[Step]) -> None:
        """Take services out of the kernel when nobody is told of their VIPs, and their successors are there."""
        services = [step.before.service for step in removals if step.before]
        successors = [
            each.service for each in self.settings.services for gone in services if each.service.name == gone.name
        ]
        still = {each.service.vip for each in self.settings.services}
        vips = {service.vip for service in services} - still
        until = self._running.clock.seconds() + LEAVING_SECONDS
        while services and self._running.clock.seconds() < until:
            await self._turn(_LOOK)
            held = self._running.announcing and any(map(self._running.announcing.holds, vips))
            if not held and all(map(self._verified, successors)):
                break
        for service in services:
            self._running.reconciler.retire(key_of(service), service.name)

    def _announcements(self, settings: Settings, steps: Sequence[Step]) -> Iterable[str]:
        announcing = self._running.announcing
        if announcing is None or settings.bgp is None:
            return
        yield from peer_reasons(self.settings, settings)
        pools = {step.name: step.pool for step in steps if step.pool is not None}
        # Both as if decided now: what time alone would change is not the plan's.
        as_it_is = announcing.foresee(self.settings, self._running.services.pools(), frozenset())
        yield from announcement_reasons(as_it_is, announcing.foresee(settings, pools, _new(steps)))

    async def _turn(self, seconds: float = 0.0) -> None:
        """Let the loop go round."""
        await deferLater(self._running.clock, seconds, lambda: None)
        if self._stopped:
            raise CancelledError


def _new(steps: Iterable[Step]) -> frozenset[str]:
    return frozenset(step.name for step in steps if step.verb is Verb.ADD)


def _texts(problems: Iterable[Problem]) -> tuple[str, ...]:
    return tuple(map(str, problems))
