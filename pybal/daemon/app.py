"""The composition root: builds all parts from the settings, wires, starts and stops them.

Start: open the HTTP endpoints, so that clients never find a closed port; read and adopt the kernel, and retire our services
that are no longer configured; start BGP sessions, without announcements until services are checked and the kernel is
verified; start sources, lookups and checks. Reload: see :mod:`pybal.daemon.reloader`. Stop: withdraw announcements, stop
checks, leave IPVS unchanged, close the endpoints last.
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
from pybal.runtime.reactor import Reactor
from pybal.runtime.systemd import Notifier
from pybal.status import checks
from pybal.status import ipvs as kernel
from pybal.status.bgp import BGP
from pybal.status.listener import StatusFactory
from pybal.status.listening import Listening
from pybal.status.metrics import Family
from pybal.status.reload import alerts
from pybal.status.routes import Routes

#: Seconds until the heap of a large configuration is complete and can be frozen.
_HEAP_COMPLETE = 30.0


class App:
    """The daemon.

    ``reactor`` provides time, descriptors and TCP; ``lookup`` returns the addresses of names.
    ``loaded`` was read from ``file``; reloads read it again. ``runtime`` is a directory that lasts until the process ends,
    ``state`` one that survives it, or ``None``. ``control`` is the path of the control socket, or ``None`` without one.
    """

    log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        *,
        file: ConfigurationFile,
        reactor: Reactor,
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
        self._engine.isolation = Isolation(self._responses, settings.suspect_self, self._log_isolation)
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
        self._freezer = Freezer(reactor, self._freeze_changed)
        self._examination = Examination(self._examine, reactor)
        self._bgp: BGPService | None = None
        self._heap_freeze: IDelayedCall | None = None
        self._services = Services(
            settings.services,
            ServiceFactory(self._engine, reactor, random, state),
            resolver=self._resolver,
            reconciler=self._reconciler,
            clock=reactor,
            changed=self._changed,
        )
        if settings.bgp:
            self._bgp = BGPService(
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
        targets = ReloadTargets(
            self._services,
            self._reconciler,
            self._bgp,
            self._listening,
            notifier,
            reactor,
            self._apply_settings,
            self._reload_blocker,
        )
        self._reload = Reloader(file, loaded, targets)
        self._control = self._control_socket(control, settings, file) if control else None

    def start(self) -> None:
        """Start everything. After a failure, call :meth:`stop` for the parts already started.

        Raises ControlError, CannotListenError, BackendError, SpeakerError or DrainError.
        """
        if self._control:
            self._control.start()
        self._listening.open(self._reload.settings.instrumentation)
        held = self._services.adopt()
        self._reconciler.retire_leftovers()
        self._examination.start()
        if self._bgp:
            self._bgp.start()
        self._engine.start()
        self._services.start(held)
        self._audit.start()
        self._schedule_heap_freeze()
        self._notifier.ready(f"{len(self._services)} services")

    async def stop(self) -> None:
        """Stop everything in order: BGP first, so that routers stop sending; IPVS stays unchanged."""
        self._notifier.stopping()
        if self._control:
            await self._control.stop()
        self._freezer.stop()
        self._examination.stop()
        self._reload.stop()
        if self._bgp:
            await self._bgp.stop()
        self._services.stop()
        self._resolver.stop()
        self._engine.stop()
        self._audit.stop()
        self._reconciler.stop()
        await self._listening.close()

    def plan(self, settings: Settings) -> planning.ReloadPlan:
        """Return the plan of a reload with these settings. Raises BackendError."""
        return self._reload.plan(settings)

    async def reload(self, *, force: bool = False) -> planning.Outcome:
        """Read the configuration file and apply or refuse it; see :meth:`Reloader.reload`."""
        return await self._reload.reload(force=force)

    def request_reload(self) -> None:
        """Request a reload; requests made before it begins are merged."""
        self._reload.request()

    def snapshot(self) -> Snapshot:
        """Return the present state of all pools."""
        controllers = {running.settings.service.name: running.controller for running in self._services}
        return Snapshot(
            self._services.pools(),
            MappingProxyType({name: controller.could_not_depool for name, controller in controllers.items()}),
            self._alerts(),
        )

    def _apply_settings(self, settings: Settings) -> None:
        """Apply the settings of a reload outside services."""
        self._engine.isolation.suspect_self = settings.suspect_self
        ipvs = settings.ipvs
        self._reconciler.grace = ipvs.remove_grace
        repairs = ipvs.drift is DriftPolicy.REPAIR
        self._audit.reconfigure(interval=ipvs.audit_interval, repairs=repairs, exclusive=ipvs.exclusive)
        self._schedule_heap_freeze()

    def _reload_blocker(self) -> str:
        return self._freezer.frozen.text(self._reactor.seconds()) if self._freezer.frozen else ""

    def _schedule_heap_freeze(self) -> None:
        if self._heap_freeze and self._heap_freeze.active():
            self._heap_freeze.cancel()
        self._heap_freeze = self._reactor.callLater(_HEAP_COMPLETE, _freeze_heap)

    def _control_socket(self, path: Path, settings: Settings, file: ConfigurationFile) -> ControlSocket:
        controls = ControlAPI(
            clock=self._reactor,
            started=self._reactor.seconds(),
            dry_run=settings.dry_run,
            snapshot=self.snapshot,
            bgp=self._bgp_status,
            monitors=self._services.monitors,
            freezer=self._freezer,
            announcing=self._bgp,
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

    def _freeze_changed(self) -> None:
        frozen = self._freezer.frozen
        if frozen:
            now = self._reactor.seconds()
            self.log.warn("{text}; not changing IPVS or BGP", text=frozen.text(now), system="control")
            self._reconciler.freeze()
        else:
            self.log.warn("thawed: applying all changes made while frozen", system="control")
            self._reconciler.thaw()
            self._audit.thaw()
        self._changed()

    def _examine(self) -> Sequence[Finding]:
        host = gather(rules.modules(self._reload.settings), rules.SYSCTLS)
        return rules.judge(host, self._reload.settings, len(tuple(self._services.monitors())) or None)

    def _verified(self, service: Service) -> bool:
        intent = self._reconciler.intent(key_of(service))
        return intent is not None and intent.verified

    def _changed(self) -> None:
        if self._bgp:
            self._bgp.changed()

    def _bgp_status(self) -> BGP:
        bgp = self._bgp
        if bgp is None:
            return BGP()
        sessions = tuple(bgp.sessions())
        return BGP(not self._reload.settings.dry_run, bgp.verdicts, sessions, bgp.restarts)

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
            bgp=self._bgp_status,
        )

    def _responses(self) -> Iterator[LastResponse]:
        for name, host, monitor in self._services.monitors():
            yield LastResponse(name, host, monitor.passed_at)

    def _log_isolation(self, text: str) -> None:
        self.log.error("{text}", text=text, system="checks")

    def _families(self) -> Iterator[Family]:
        """Yield the metrics of the daemon itself."""
        yield from checks.families(self._engine)
        frozen = self._freezer.frozen
        yield Family(
            "pybal_frozen", "gauge", "1 while frozen: IPVS and BGP are not changed", (((), frozen is not None),)
        )
        left = max(0.0, frozen.until - self._reactor.seconds()) if frozen else 0.0
        yield Family("pybal_frozen_left_seconds", "gauge", "Seconds until the freeze expires", (((), left),))
        services = [running.settings.service for running in self._services]
        verified = [((("service", service.name),), self._verified(service)) for service in services]
        yield Family(
            "pybal_ipvs_verified", "gauge", "1 if IPVS holds exactly the wanted destinations of the service", verified
        )
        yield from kernel.families(self._audit.findings())

    def _alerts(self) -> Iterator[Alert]:
        if self._freezer.frozen:
            text = f"{self._freezer.frozen.text(self._reactor.seconds())}; not changing IPVS or BGP"
            yield Alert("", "frozen", text)
        for running in self._services:
            yield from running.controller.alerts()
        yield from self._reconciler.alerts()
        yield from self._examination.alerts()
        yield from self._audit.alerts()
        if self._bgp:
            yield from self._bgp.alerts()
        yield from alerts(self._reload.configuration)
        yield from checks.alerts(self._engine)


def _ledger(settings: Settings, runtime: Path) -> Ledger:
    """Return the ledger of the IPVS table; it is a file, except for a table in memory."""
    persistent = settings.ipvs_backend is not IPVSBackend.MEMORY
    return Ledger(runtime / "ipvs-services.json" if persistent else None, dry_run=settings.dry_run)


def _wall() -> datetime:
    return datetime.now(UTC)


def _freeze_heap() -> None:
    """Exclude long-lived objects from garbage collection, because its passes would block the loop.

    Objects that a reload has released are collected first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
