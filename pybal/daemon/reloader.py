"""Reload: applies a new configuration in the smallest steps, or refuses it and changes nothing.

Everything that can fail happens first: read and check the file, build the new parts, open ports. Then the steps are applied,
removals first, one step per turn of the loop, and BGP is reconfigured. Removed services leave the kernel last: after their
announcements are withdrawn and their successors are in the kernel.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from collections.abc import Set as AbstractSet
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
from pybal.core.model import Address
from pybal.daemon.services import Prepared, Services
from pybal.ipvs.backend import BackendError
from pybal.ipvs.model import key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.reload import plan as planning
from pybal.reload.difference import announcement_reasons, general_reasons, peer_reasons
from pybal.reload.file import Loaded
from pybal.reload.plan import Outcome, ReloadPlan, Step, Verb
from pybal.reload.render import Configuration, plan_lines
from pybal.runtime.systemd import Notifier
from pybal.runtime.turns import Turns
from pybal.status.listening import Listening

REMOVAL_TIMEOUT = 5.0
"""Removed services leave the kernel after this time even if announcements or successors are pending."""
_POLL_INTERVAL = 0.05


class File(Protocol):
    """The configuration file; see :class:`pybal.daemon.loader.Loader`."""

    path: str

    def load(self) -> Awaitable[Loaded]: ...

    def digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ReloadTargets:
    """The parts of the daemon that a reload changes.

    ``applied`` is called with the new settings after the steps, unless the plan is empty; ``accepted`` after every accepted reload.
    ``blocker`` returns the reason why reloads are refused at present, empty if they are allowed, ``status`` the status line
    for the service manager.
    """

    services: Services
    reconciler: Reconciler
    announcing: BGPService | None
    listening: Listening
    notifier: Notifier
    clock: IReactorTime
    applied: Callable[[Settings], None]
    blocker: Callable[[], str] = str
    status: Callable[[], str] = str
    accepted: Callable[[], None] = lambda: None


class Reloader:
    """Applies the configuration of ``file``, one reload at a time."""

    _log = Logger()

    def __init__(
        self,
        file: File,
        loaded: Loaded,
        targets: ReloadTargets,
    ) -> None:
        self.settings = loaded.settings
        """The settings in use."""
        self.sensitive = loaded.sensitive
        """The sensitive parts of the configuration in use."""
        self._file = file
        self._targets = targets
        self._turns = Turns(targets.clock)
        self._lock = DeferredLock()
        self._requested = self._stopped = False
        self._configuration = Configuration(file.path, loaded.digest, loaded.digest, targets.clock.seconds())

    @property
    def configuration(self) -> Configuration:
        """The loaded configuration and the outcome of the last reload."""
        return replace(self._configuration, on_disk=self._file.digest())

    async def plan(self, settings: Settings) -> ReloadPlan:
        """Return the plan of a reload with these settings, made in steps. Raises BackendError."""
        reconciler = self._targets.reconciler
        services = [each.service for each in (*self.settings.services, *settings.services)]
        table = {key_of(service): await reconciler.held(service) for service in services}
        announcing = self._targets.announcing
        rekeyed = await announcing.changed_passwords() if announcing else frozenset[Address]()
        return await self._turns.run(self._planning(settings, lambda service: table[key_of(service)], rekeyed))

    def _planning(
        self, settings: Settings, held: planning.Held, rekeyed: AbstractSet[Address]
    ) -> Generator[None, None, ReloadPlan]:
        before, pools = self.settings, self._targets.services.pools()
        grace = settings.ipvs.remove_grace
        steps = yield from planning.steps(before.services, settings.services, pools, held, grace)
        announcements = yield from self._announcements(settings, steps, rekeyed)
        return ReloadPlan(
            steps,
            tuple(general_reasons(before, settings)),
            announcements,
            planning.needs_restart(before, settings),
            (yield from planning.blast_radius(steps, pools, before.max_blast_radius)),
        )

    def request(self) -> None:
        """Request a reload; requests made before it begins are merged."""
        if not self._requested:
            self._requested = True
            Deferred.fromCoroutine(self.reload()).addErrback(self._log_failure)

    async def reload(self, *, force: bool = False) -> Outcome:
        """Read the file and apply it, or refuse it; ``force`` ignores max-blast-radius.

        Return after the last step. Raises CancelledError if the daemon is stopped before that.
        """
        await self._lock.acquire()
        try:
            return await self._reload(force=force)
        finally:
            self._lock.release()

    def stop(self) -> None:
        """Cancel the reload in progress and refuse others."""
        self._stopped = True

    def _log_failure(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure(
                "reload failed half-way; restart pybal to apply the whole configuration", failure, system="reload"
            )

    async def _reload(self, *, force: bool) -> Outcome:
        await self._turn()
        self._requested = False
        self._targets.notifier.reloading()
        try:
            outcome = await self._outcome(force=force)
            last = self._configuration
            self._configuration = replace(
                last,
                last=outcome,
                accepted=last.accepted + outcome.accepted,
                refused=last.refused + (not outcome.accepted),
            )
        finally:
            if not self._stopped:
                self._targets.notifier.reloaded(self._targets.status())
        return outcome

    async def _outcome(self, *, force: bool) -> Outcome:
        at = self._targets.clock.seconds()
        if blocker := self._targets.blocker():
            return self._refused(Outcome(False, at, (blocker,)))
        try:
            loaded = await self._file.load()
        except ConfigError as refused:
            return self._refused(Outcome(False, at, _texts(refused.problems), _texts(refused.warnings)))
        except OSError as error:
            return self._refused(Outcome(False, at, (f"{self._file.path}: {error.strerror}",)))
        except Exception as bug:  # noqa: BLE001  # as below
            return self._refused(Outcome(False, at, (self._internal(bug),)))
        warnings = _texts(loaded.warnings)
        if problems := _texts(loaded.unsupported):
            return self._refused(Outcome(False, at, problems, warnings))
        plan = None
        try:
            plan = await self.plan(loaded.settings)
            problems = (*plan.restart, *([plan.radius] if plan.radius and not force else []))
            prepared = [] if problems else await self._prepare(plan, loaded.settings)
        except (BackendError, SpeakerError, CannotListenError) as error:
            problems = (str(error),)
        except Exception as bug:  # noqa: BLE001  # A bug in the new parts must leave the old configuration in use.
            problems = (self._internal(bug),)
        if problems:
            return self._refused(Outcome(False, at, problems, warnings, plan))
        assert plan  # noqa: S101  # without a plan there are problems
        await self._turn()
        await self._apply(plan, prepared, loaded)
        return Outcome(True, at, (), warnings, plan)

    def _internal(self, bug: Exception) -> str:
        """Log an unexpected exception; return its text."""
        self._log.failure("reload refused: internal error", Failure(bug), system="reload")
        return f"internal error: {bug!r}"

    def _refused(self, outcome: Outcome) -> Outcome:
        for warning in outcome.warnings:
            self._log.warn("{warning}", warning=warning, system="reload")
        for problem in outcome.problems:
            self._log.error("reload refused, nothing changed: {problem}", problem=problem, system="reload")
        return outcome

    async def _prepare(self, plan: ReloadPlan, settings: Settings) -> Sequence[tuple[Step, Prepared]]:
        """Build all parts that can fail; they are unused until the steps are applied."""
        if self._targets.announcing:
            self._targets.announcing.check(settings)
        prepared = list[tuple[Step, Prepared]]()
        for step in plan.steps:
            await deferLater(self._targets.clock, 0)
            prepared.append((step, await self._targets.services.prepare(step)))
        self._targets.listening.open(settings.instrumentation)
        return prepared

    async def _apply(self, plan: ReloadPlan, prepared: Sequence[tuple[Step, Prepared]], loaded: Loaded) -> None:
        targets, settings = self._targets, loaded.settings
        await self._turns.run(self._log_lines(plan))
        # Removals first: two services of one name must not both write their wanted sets.
        for _step, apply in sorted(prepared, key=lambda each: each[0].verb is not Verb.REMOVE):
            apply()
            await self._turn()
        targets.services.set_order(settings.services)
        self.settings, self.sensitive = settings, loaded.sensitive
        targets.accepted()
        self._configuration = replace(self._configuration, digest=loaded.digest, loaded_at=targets.clock.seconds())
        if targets.announcing:
            targets.announcing.reconfigure(settings, _new(plan.steps))
        if not plan.empty:
            targets.applied(settings)
        await targets.listening.close(besides=settings.instrumentation)
        await self._remove([step for step in plan.steps if step.verb is Verb.REMOVE])
        kept = sum(step.verb is Verb.KEEP for step in plan.steps)
        text = f"reloaded: {kept} of {len(settings.services)} services unchanged"
        self._log.info("{text}", text=text, system="reload")

    def _log_lines(self, plan: ReloadPlan) -> Generator[None, None, None]:
        for line in plan_lines(plan):
            self._log.info("{line}", line=line, system="reload")
            yield

    async def _remove(self, removals: Sequence[Step]) -> None:
        """Remove services from the kernel after their VIPs are withdrawn and their successors are verified."""
        services = [step.before.service for step in removals if step.before]
        successors = [
            each.service for each in self.settings.services for removed in services if each.service.name == removed.name
        ]
        remaining = {each.service.vip for each in self.settings.services}
        vips = {service.vip for service in services} - remaining
        until = self._targets.clock.seconds() + REMOVAL_TIMEOUT
        while services and self._targets.clock.seconds() < until:
            await self._turn(_POLL_INTERVAL)
            held = self._targets.announcing and any(map(self._targets.announcing.holds, vips))
            if not held and all(map(self._targets.reconciler.is_verified, successors)):
                break
        for service in services:
            self._targets.reconciler.retire(key_of(service), service.name)

    def _announcements(
        self, settings: Settings, steps: Sequence[Step], rekeyed: AbstractSet[Address]
    ) -> Generator[None, None, tuple[str, ...]]:
        announcing = self._targets.announcing
        if announcing is None or settings.bgp is None:
            return ()
        peers = tuple(peer_reasons(self.settings, settings, rekeyed))
        yield
        pools = {step.name: step.pool for step in steps if step.pool is not None}
        # Both verdicts are taken now, so that the plan omits changes by time alone.
        present = announcing.foresee(self.settings, self._targets.services.pools(), frozenset())
        return *peers, *announcement_reasons(present, announcing.foresee(settings, pools, _new(steps)))

    async def _turn(self, seconds: float = 0.0) -> None:
        """Wait for a turn of the loop; raise CancelledError if the daemon stops."""
        await deferLater(self._targets.clock, seconds, lambda: None)
        if self._stopped:
            raise CancelledError


def _new(steps: Iterable[Step]) -> frozenset[str]:
    return frozenset(step.name for step in steps if step.verb is Verb.ADD)


def _texts(problems: Iterable[Problem]) -> tuple[str, ...]:
    return tuple(map(str, problems))
