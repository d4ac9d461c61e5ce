"""The composition root: builds every part from the settings, wires them, starts and stops them in order.

Start: the HTTP endpoints open, so that nobody meets a closed port; the kernel is read and adopted, and what is ours
there but no longer in the configuration is retired; the BGP sessions begin, with nothing to say before services are
checked and the kernel is verified; then sources, names and checks begin.
Reload: see :mod:`pybal.daemon.reloader`. Stop: what is announced is withdrawn, checks end, the IPVS entries stay as they are, the
endpoints close last.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from grp import getgrnam
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pybal.bgp.service import BGPService
from pybal.checks.engine import Engine
from pybal.config.settings import DriftPolicy, IPVSBackend, Settings
from pybal.control import commands
from pybal.control.api import ControlAPI
from pybal.control.freeze import Freezer
from pybal.control.listener import ControlSocket
from pybal.core.isolation import Isolation, LastResponse
from pybal.core.model import Alert, Service, Snapshot
from pybal.daemon.factory import ServiceFactory
from pybal.daemon.reloader import Reloader, ReloadTargets
from pybal.daemon.services import Services
from pybal.doctor import rules
from pybal.doctor.facts import gather
from pybal.doctor.finding import Finding
from pybal.doctor.periodic import Examination
from pybal.ipvs import render
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import Backend
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.model import key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.reload import plan as planning
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.resolve import Lookup, Resolver
from pybal.runtime.systemd import Notifier
from pybal.status import checks
from pybal.status import ipvs as kernel
from pybal.status.bgp import BGP
from pybal.status.listener import StatusFactory
from pybal.status.listening import Listening
from pybal.status.metrics import Family
from pybal.status.reload import alerts
from pybal.status.routes import Routes

#: The heap of a large configuration is given this long, in seconds, to be complete before it is frozen.
_SETTLED = 30.0


class App:
    """The daemon. ``reactor`` provides time, descriptors and TCP; ``lookup`` asks for the addresses of names.

    ``file`` is where ``loaded`` was read, and will be again. ``runtime`` is a directory for as long as it runs, ``state`` one
    for what is to outlive it, if there is one. ``control`` is the path of the socket for commands, if there is to be one.
    """

    log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        *,
        file: ConfigurationFile,
        reactor: Any,  # noqa: ANN401  # Twisted has no type for a reactor that provides several interfaces
        backend: Backend,
        lookup: Lookup,
        random: Random,
        notifier: Notifier,
        runtime: Path,
        state: Path | None = None,
        control: Path | None = None,
    ) -> None:
        settings = loaded.settings
        self._reactor = reactor
        self._backend = backend
        self._notifier = notifier
        self._engine = Engine(reactor)
        self._engine.cut_off = Isolation(self._answers, settings.suspect_self, self._say_of_checks)
        self._resolver = Resolver(lookup, reactor, random)
        self._reconciler = Reconciler(
            backend,
            reactor,
            ledger=_ledger(settings, runtime),
            grace=settings.ipvs.remove_grace,
            settled=self._changed,
        )
        self._audit = Audit(
            self._reconciler,
            backend,
            reactor,
            interval=settings.ipvs.audit_interval,
            repairs=settings.ipvs.drift is DriftPolicy.REPAIR,
            exclusive=settings.ipvs.exclusive,
        )
        self._freezer = Freezer(reactor, self._frozen)
        self._examination = Examination(self._examine, reactor)
        self._announcing: BGPService | None = None
        self._freezing: IDelayedCall | None = None
        self._services = Services(
            settings.services,
            ServiceFactory(self._engine, reactor, random, state),
            resolver=self._resolver,
            reconciler=self._reconciler,
            clock=reactor,
            changed=self._changed,
        )
        if settings.bgp:
            self._announcing = BGPService(
                settings,
                settings.bgp,
                pool=lambda name: self._services[name].controller.pool,
                verified=self._verified,
                reactor=reactor,
                runtime=runtime,
                state=state,
                random=random,
                frozen=lambda: self._freezer.frozen is not None,
            )
        factory = StatusFactory(self._status(), reactor, host_names={socket.gethostname()})
        self._listening = Listening(reactor, factory)
        parts = ReloadTargets(
            self._services,
            self._reconciler,
            self._announcing,
            self._listening,
            notifier,
            reactor,
            self._settled,
            self._why_no_reload,
        )
        self._reload = Reloader(file, loaded, parts)
        self._control = self._control_socket(control, settings, file) if control else None

    def start(self) -> None:
        """Start everything. What was started must still be stopped after any failure.

        Raises ControlError, CannotListenError, BackendError, SpeakerError or DrainError.
        """
        if self._control:
            self._control.start()
        self._listening.open(self._reload.settings.instrumentation)
        held = self._services.adopt()
        self._reconciler.retire_leftovers()
        self._examination.start()
        if self._announcing:
            self._announcing.start()
        self._engine.start()
        self._services.start(held)
        self._audit.start()
        self._freeze_later()
        self._notifier.ready(f"{len(self._services)} services")

    async def stop(self) -> None:
        """Stop everything in order: the routers first, for what they send is served on; the IPVS table stays as it is."""
        self._notifier.stopping()
        if self._control:
            await self._control.stop()
        self._freezer.stop()
        self._examination.stop()
        self._reload.stop()
        if self._announcing:
            await self._announcing.stop()
        self._services.stop()
        self._resolver.stop()
        self._engine.stop()
        self._audit.stop()
        self._reconciler.stop()
        await self._listening.close()

    def plan(self, settings: Settings) -> planning.ReloadPlan:
        """Return what a reload with these settings would do. Raises BackendError."""
        return self._reload.plan(settings)

    async def reload(self, *, force: bool = False) -> planning.Outcome:
        """Read the configuration file and do what it says, or refuse it; see :meth:`pybal.daemon.reloader.Reloader.reload`."""
        return await self._reload.reload(force=force)

    def ask_for_reload(self) -> None:
        """Have a reload, soon: however often this is called before it begins, one."""
        self._reload.ask()

    def snapshot(self) -> Snapshot:
        """Return the state of all pools at this moment."""
        controllers = {running.settings.service.name: running.controller for running in self._services}
        return Snapshot(
            self._services.pools(),
            MappingProxyType({name: controller.could_not_depool for name, controller in controllers.items()}),
            self._alerts(),
        )

    def _settled(self, settings: Settings) -> None:
        """Take what a reload has brought into force beside the services."""
        self._engine.cut_off.suspect_self = settings.suspect_self
        ipvs = settings.ipvs
        self._reconciler.grace = ipvs.remove_grace
        repairs = ipvs.drift is DriftPolicy.REPAIR
        self._audit.reconfigure(interval=ipvs.audit_interval, repairs=repairs, exclusive=ipvs.exclusive)
        self._freeze_later()

    def _why_no_reload(self) -> str:
        return self._freezer.frozen.text(self._reactor.seconds()) if self._freezer.frozen else ""

    def _freeze_later(self) -> None:
        if self._freezing and self._freezing.active():
            self._freezing.cancel()
        self._freezing = self._reactor.callLater(_SETTLED, _freeze)

    def _control_socket(self, path: Path, settings: Settings, file: ConfigurationFile) -> ControlSocket:
        controls = ControlAPI(
            clock=self._reactor,
            started=self._reactor.seconds(),
            dry_run=settings.dry_run,
            snapshot=self.snapshot,
            bgp=self._announced,
            monitors=self._services.monitors,
            freezer=self._freezer,
            announcing=self._announcing,
            file=file,
            plan=self.plan,
            reload=self.reload,
            reconciler=self._reconciler,
            ipvs=self._backend,
        )
        group = settings.control_group
        return ControlSocket(
            path, partial(commands.run, controls), self._reactor, getgrnam(group).gr_gid if group else None
        )

    def _frozen(self) -> None:
        frozen = self._freezer.frozen
        if frozen:
            now = self._reactor.seconds()
            self.log.warn("{text}; nothing is acted on", text=frozen.text(now), system="control")
            self._reconciler.freeze()
        else:
            self.log.warn("thawed: what was wanted meanwhile is done now", system="control")
            self._reconciler.thaw()
            self._audit.thaw()
        self._changed()

    def _examine(self) -> Sequence[Finding]:
        host = gather(rules.modules(self._reload.settings), rules.SYSCTLS)
        return rules.evaluate(host, self._reload.settings, len(tuple(self._services.monitors())) or None)

    def _verified(self, service: Service) -> bool:
        intent = self._reconciler.intent(key_of(service))
        return intent is not None and intent.verified

    def _changed(self) -> None:
        if self._announcing:
            self._announcing.changed()

    def _announced(self) -> BGP:
        announcing = self._announcing
        if announcing is None:
            return BGP()
        sessions = tuple(announcing.sessions())
        return BGP(not self._reload.settings.dry_run, announcing.verdicts, sessions, announcing.restarts)

    def _status(self) -> Routes:
        return Routes(
            clock=self._reactor,
            snapshot=self.snapshot,
            monitors=self._services.monitors,
            ipvs_text=lambda: "".join(f"{line}\n" for line in render.lines(self._backend.table())),
            ipvs_json=lambda: render.document(self._backend.table()),
            audit=self._audit.findings,
            decisions=lambda service: self._services[service].controller.decisions,
            monitors_of=lambda service, host: self._services[service].controller.monitors_of(host),
            wall=_wall,
            sources=self._services.sources,
            configuration=lambda: self._reload.configuration,
            families=self._families,
            bgp=self._announced,
        )

    def _answers(self) -> Iterator[LastResponse]:
        for name, host, monitor in self._services.monitors():
            yield LastResponse(name, host, monitor.passed_at)

    def _say_of_checks(self, text: str) -> None:
        self.log.error("{text}", text=text, system="checks")

    def _families(self) -> Iterator[Family]:
        """Yield the metrics of the daemon itself."""
        yield from checks.families(self._engine)
        frozen = self._freezer.frozen
        yield Family("pybal_frozen", "gauge", "Whether nothing is acted on", (((), frozen is not None),))
        left = max(0.0, frozen.until - self._reactor.seconds()) if frozen else 0.0
        yield Family("pybal_frozen_left_seconds", "gauge", "Time until the freeze ends by itself", (((), left),))
        services = [running.settings.service for running in self._services]
        verified = [((("service", service.name),), self._verified(service)) for service in services]
        yield Family("pybal_ipvs_verified", "gauge", "Whether IPVS holds what is wanted", verified)
        yield from kernel.families(self._audit.findings())

    def _alerts(self) -> Iterator[Alert]:
        if self._freezer.frozen:
            text = f"{self._freezer.frozen.text(self._reactor.seconds())}; IPVS and BGP stay as they are"
            yield Alert("", "frozen", text)
        for running in self._services:
            yield from running.controller.alerts()
        yield from self._reconciler.alerts()
        yield from self._examination.alerts()
        yield from self._audit.alerts()
        if self._announcing:
            yield from self._announcing.alerts()
        yield from alerts(self._reload.configuration)
        yield from checks.alerts(self._engine)


def _ledger(settings: Settings, runtime: Path) -> Ledger:
    """Return the ledger of the kernel's table; a table in memory ends with us, and so does its ledger."""
    kept = settings.ipvs_backend is not IPVSBackend.MEMORY
    return Ledger(runtime / "ipvs-services.json" if kept else None, dry_run=settings.dry_run)


def _wall() -> datetime:
    return datetime.now(UTC)


def _freeze() -> None:
    """Take what lives long out of the garbage collector's sight: its passes would stall the loop.

    What has lived long enough, and went with a reload, is found now.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
