"""The composition root: builds all parts from the settings, wires, starts and stops them.

Start: open the HTTP endpoints, so that clients never find a closed port; start BGP sessions, without announcements until services
are checked and the kernel is verified; read and adopt the kernel, and retire our services that are no longer configured; start
sources, lookups and checks. A part that fails for a cause that may pass (a port in use, no IPVS yet, an unknown group) is an alert and
is retried, and the other parts start without it. Reload: see :mod:`pybal.daemon.reloader`. Stop: withdraw announcements, stop
checks, leave IPVS unchanged, close the endpoints last.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pybal import __version__
from pybal.bgp.announcer import unrecorded
from pybal.bgp.drains import DrainError
from pybal.bgp.service import BGPService
from pybal.bgp.speaker import SpeakerError
from pybal.checks.engine import Engine
from pybal.config.settings import DriftPolicy, IPVSBackend, Settings
from pybal.control import commands
from pybal.control.api import ControlAPI
from pybal.control.freeze import Freezer
from pybal.control.group import UnknownGroupError, group_number
from pybal.control.listener import ControlError, ControlSocket
from pybal.control.overrides import Overrides
from pybal.core.isolation import Isolation
from pybal.core.model import Alert
from pybal.core.unreachable import why_unreachable
from pybal.daemon.factory import ServiceFactory
from pybal.daemon.loader import Loader
from pybal.daemon.machine import Machine
from pybal.daemon.progress import Progress
from pybal.daemon.pulse import Pulse
from pybal.daemon.reloader import Reloader, ReloadTargets
from pybal.daemon.report import DaemonReport
from pybal.daemon.services import POOL_BUDGET, Services
from pybal.doctor import exposure, rules
from pybal.doctor.access import gather_access
from pybal.doctor.facts import gather
from pybal.doctor.finding import Finding
from pybal.doctor.periodic import Examination
from pybal.ipvs.access import ModuleLoader
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import Backend, BackendError
from pybal.ipvs.ledger import Ledger
from pybal.ipvs.netlink import NetlinkBackend
from pybal.ipvs.reconciler import Reconciler
from pybal.journal import recorder
from pybal.journal.rebuild import Rebuild
from pybal.journal.recorder import Recorder
from pybal.reload.file import ConfigurationFile, Loaded
from pybal.resolve import Lookup, Resolver
from pybal.runtime import user_names
from pybal.runtime.attempt import Attempt
from pybal.runtime.clocks import Calendar, Clocks
from pybal.runtime.faults import Faults
from pybal.runtime.file_values import FileValues, file_values
from pybal.runtime.heap import Heap
from pybal.runtime.held import Held
from pybal.runtime.inherited import Inherited
from pybal.runtime.log import Log
from pybal.runtime.reactor import HeartbeatReactor
from pybal.runtime.systemd import Notifier
from pybal.runtime.turns import Turns
from pybal.runtime.user_names import UserNames
from pybal.runtime.workers import MakeWorkers, Workers
from pybal.sources import file_poll, state_files
from pybal.sources.file_poll import FilePoll
from pybal.sources.state_files import StateFiles
from pybal.status.alert_times import AlertTimes
from pybal.status.alerts import alerts_in_parts
from pybal.status.listener import StatusFactory
from pybal.status.listening import Listening
from pybal.status.page.facts import Balancer
from pybal.status.routes import Routes

_MACHINE = Machine()
STAGE_SECONDS = 10.0
"""Seconds that each stage of the stop may take; each ends by its own limit before."""


class App:
    """The daemon.

    ``reactor`` provides time, descriptors and TCP, and ``held`` records its callbacks; ``lookup`` returns the addresses of names.
    ``loaded`` was read from ``file``; reloads read it again. ``runtime`` is a directory that lasts until the process ends,
    ``state`` one that survives it, or ``None``. ``control`` is the path of the control socket, or ``None`` without one. ``faults`` observes
    the log; ``files`` reads secrets and certificates. ``inherited`` are the sockets that the service manager passed.
    ``machine`` provides everything else of the machine.
    """

    log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        *,
        file: ConfigurationFile,
        reactor: HeartbeatReactor,
        held: Held,
        backend: Backend,
        lookup: Lookup,
        random: Random,
        notifier: Notifier,
        log: Log,
        runtime: Path,
        state: Path | None = None,
        control: Path | None = None,
        faults: Faults | None = None,
        files: FileValues | None = None,
        inherited: Inherited | None = None,
        machine: Machine = _MACHINE,
    ) -> None:
        settings = loaded.settings
        faults = faults or Faults(reactor.seconds)
        self._reactor = reactor
        self._machine = machine
        workers = machine.workers
        self._held = held
        self._notifier = notifier
        self._log = log
        self._engine = Engine(reactor, reactor.seconds, machine.network)
        self._files = files = files or file_values(reactor)
        self._resolver = Resolver(lookup, reactor, random)
        self._reconciler = Reconciler(
            backend,
            reactor,
            ledger=_ledger(settings, runtime, reactor, workers),
            grace=settings.ipvs.remove_grace,
            settled=self._changed,
            workers=_ipvs_workers(settings, reactor, workers),
            loader=_ipvs_loader(settings, reactor, workers),
        )
        self._audit = Audit(
            self._reconciler,
            reactor,
            interval=settings.ipvs.audit_interval,
            repairs=settings.ipvs.drift is DriftPolicy.REPAIR,
            exclusive=_is_exclusive(settings),
            changed=self._changed,
        )
        self._freezer = Freezer(reactor, self._freeze_changed)
        self._doctors = workers("doctor", 1, reactor)
        self._examination = Examination(self._examine, reactor)
        self._auditors = workers("exposure", 1, reactor)
        self._exposure = Examination(self._examine_exposure, reactor, "check of the exposure")
        self._names = UserNames(workers("names", user_names.THREADS, reactor), reactor)
        self._state_files = StateFiles(workers("state", state_files.THREADS, reactor), reactor)
        self._heap = Heap(reactor)
        calendar = Calendar(reactor.seconds, machine.wall)
        self._journal = self._recorder(settings, state, calendar.read)
        self._overrides = Overrides(state, workers("overrides", 1, reactor), reactor, calendar.read)
        self._services = Services(
            settings.services,
            ServiceFactory(
                self._engine,
                reactor,
                random,
                poll=FilePoll(workers("files", file_poll.THREADS, reactor), reactor),
                files=files,
                state=state,
                state_files=self._state_files,
                wall=machine.wall,
            ),
            resolver=self._resolver,
            reconciler=self._reconciler,
            clock=reactor,
            turns=Turns(reactor, POOL_BUDGET),
            changed=self._changed,
            overridden=self._overrides.hosts,
            journal=self._journal,
            refusal=partial(why_unreachable, reserved=True, loopback=settings.ipvs_backend is IPVSBackend.MEMORY),
        )
        self._overrides.changed = self._services.apply_overrides
        self._rebuild = self._past(self._journal, state, calendar.read)
        self._bgp = self._bgp_service(settings, runtime, state, random)
        self._attempts: list[Attempt] = []
        """The parts that start as soon as they can, in the order of the start."""
        self._alert_times = AlertTimes(
            lambda: alerts_in_parts(self._report.snapshot()),
            reactor,
            self._journal.see_alerts if self._journal else lambda _alerts, _began: None,
        )
        self._report = DaemonReport(
            alert_times=self._alert_times,
            state=self._state_files,
            clock=reactor,
            started=reactor.seconds(),
            services=self._services,
            held=held,
            engine=self._engine,
            reconciler=self._reconciler,
            audit=self._audit,
            freezer=self._freezer,
            overrides=self._overrides,
            examinations=(self._examination, self._exposure),
            announcing=self._bgp,
            journal=self._journal,
            faults=faults,
            activities=reactor.activities,
            starting=self._starting,
            log=log,
            dry_run=settings.dry_run,
            configuration=lambda: self._reloader.configuration,
        )
        self._pulse = Pulse(self._engine, self._services.prove, reactor, reactor.activities)
        notifier.alive = self._pulse.alive
        self._progress = Progress(
            self._services,
            self._reconciler,
            notifier,
            reactor,
            adopted=lambda: self._adoption.succeeded,
            deliveries=lambda: self._report.bgp().deliveries(),
            alerts=lambda: self._alert_times.number,
            last_reload=lambda: self._reloader.configuration.last,
        )
        self._engine.isolation = Isolation(self._report.last_responses, settings.suspect_self, self._log_isolation)
        host = socket.gethostname()
        routes = self._routes(settings, host)
        self._factory = StatusFactory(routes, reactor, host_names={host}, state=self._report.shown)
        self._listening = Listening(reactor, self._factory, notifier, inherited, machine.bind)
        targets = ReloadTargets(
            self._services,
            self._reconciler,
            self._bgp,
            self._listening,
            notifier,
            reactor,
            self._apply_settings,
            self._blocker,
            self._progress.text,
            self._exposure.wake,
        )
        readers = workers("configuration", 2, reactor)
        self._loader = Loader(file, loaded.digest, readers, Turns(reactor), reactor)
        self._reloader = Reloader(self._loader, loaded, targets)
        self._control = self._control_socket(control, settings, routes) if control else None
        self._adoption = Attempt(
            "cannot read IPVS",
            lambda: Deferred.fromCoroutine(self._adopt()),
            reactor,
            kind="ipvs",
            expected=(BackendError,),
            meanwhile="not checking servers, not announcing VIPs",
        )
        self._attempts.append(self._adoption)
        if self._bgp:
            self._attempts.append(
                Attempt(
                    "BGP cannot start",
                    self._bgp.start,
                    reactor,
                    kind="bgp",
                    expected=(SpeakerError, DrainError),
                    meanwhile="not announcing VIPs",
                )
            )

    def start(self) -> None:
        """Start everything that can start now; the rest is retried."""
        self._heap.start()
        self._alert_times.start()
        self._listening.start(self._reloader.settings.instrumentation)
        self._engine.start()
        if self._rebuild:
            self._rebuild.start()
        for attempt in self._attempts:
            attempt.start()
        self._examination.start()
        self._exposure.start()
        self._pulse.start()
        self._notifier.start()
        self._progress.start()

    async def stop(self) -> None:
        """Stop everything in order: BGP first, so that routers stop sending; IPVS stays unchanged."""
        self._progress.stop()
        self._notifier.stopping("stopping: withdrawing the announcements", STAGE_SECONDS)
        for attempt in self._attempts:
            attempt.stop()
        self._alert_times.stop()
        if self._control:
            await self._control.stop()
        self._freezer.stop()
        self._overrides.stop()
        self._examination.stop()
        self._exposure.stop()
        self._reloader.stop()
        if self._bgp:
            await self._bgp.stop()
        self._notifier.stopping("stopping: writing the last changes to IPVS and to disk", STAGE_SECONDS)
        self._pulse.stop()
        if self._rebuild:
            self._rebuild.stop()
        journaled = self._journal.stop() if self._journal else None
        self._services.stop()
        written = self._state_files.finish()
        self._resolver.stop()
        self._engine.stop()
        self._audit.stop()
        await self._reconciler.stop()
        self._heap.stop()
        await written
        if journaled:
            await journaled
        self._notifier.stopping("stopping: answering the last HTTP requests", STAGE_SECONDS)
        await self._listening.leave()
        await self._factory.finish()
        self._notifier.close()

    def request_reload(self) -> None:
        """Request a reload; requests made before it begins are merged."""
        self._reloader.request()

    def _apply_settings(self, settings: Settings) -> None:
        """Apply the settings of a reload outside services."""
        self._note("reloaded")
        self._log.limit(settings.log_burst)
        self._engine.isolation.suspect_self = settings.suspect_self
        ipvs = settings.ipvs
        self._reconciler.grace = ipvs.remove_grace
        repairs = ipvs.drift is DriftPolicy.REPAIR
        self._audit.reconfigure(interval=ipvs.audit_interval, repairs=repairs, exclusive=_is_exclusive(settings))
        self._heap.expect_growth()

    def _bgp_service(self, settings: Settings, runtime: Path, state: Path | None, random: Random) -> BGPService | None:
        if settings.bgp is None:
            return None
        return BGPService(
            settings,
            settings.bgp,
            pool=lambda name: self._services[name].controller.pool,
            verified=self._reconciler.is_verified,
            absent=self._audit.absent,
            reactor=self._reactor,
            runtime=runtime,
            state=state,
            random=random,
            frozen=lambda: self._freezer.frozen is not None,
            workers=self._machine.workers,
            spawn=self._machine.spawn,
            record=self._journal.decided if self._journal else unrecorded,
        )

    def _recorder(self, settings: Settings, state: Path | None, read: Callable[[], Clocks]) -> Recorder | None:
        """Return the journal, ``None`` without one."""
        if not settings.journal or state is None:
            return None
        return Recorder(
            state / recorder.DIRECTORY,
            settings.journal_size * recorder.MEGABYTE,
            clock=self._reactor,
            turns=Turns(self._reactor),
            threads=self._machine.workers("journal-end", 1, self._reactor),
            read=read,
            host=socket.gethostname(),
            version=__version__,
            writer=self._machine.writer,
        )

    def _past(self, journal: Recorder | None, state: Path | None, read: Callable[[], Clocks]) -> Rebuild | None:
        """Return the work that rebuilds the history of pools, ``None`` without a journal."""
        if journal is None or state is None:
            return None
        return Rebuild(
            state / recorder.DIRECTORY,
            run=journal.run,
            histories=self._services.histories,
            clock=self._reactor,
            threads=self._machine.workers("journal-past", 1, self._reactor),
            read=read,
        )

    def _control_socket(self, path: Path, settings: Settings, routes: Routes) -> ControlSocket:
        controls = ControlAPI(
            clock=self._reactor,
            snapshot=self._report.snapshot,
            overview=self._report.overview,
            read=routes.answer,
            freezer=self._freezer,
            frozen=self._report.frozen,
            overrides=self._overrides,
            announcing=self._bgp,
            file=self._loader,
            plan=self._reloader.plan,
            reload=self._reloader.reload,
            reconciler=self._reconciler,
            sources=self._services.sources,
            pending=self._services.pending,
        )
        group = settings.control_group
        control = ControlSocket(
            path, partial(commands.run, controls), self._reactor, shared=bool(group), names=self._names
        )
        attempt = partial(Attempt, clock=self._reactor, kind="control")
        # A dry run beside a daemon with the same path never takes it over: not even while that daemon restarts.
        self._attempts.append(
            attempt("no control socket", control.start, expected=(ControlError,), retries=not settings.dry_run)
        )
        if group:
            names = self._machine.workers("control-group", 1, self._reactor)

            def look_up() -> Deferred[None]:
                return names.run(partial(group_number, group)).addCallback(control.authorize)

            name = f"control-group {group}"
            meanwhile = "accepting commands of root only"
            self._attempts.append(attempt(name, look_up, expected=(UnknownGroupError,), meanwhile=meanwhile))
        return control

    def _note(self, text: str) -> None:
        if self._journal:
            self._journal.note(text)

    def _freeze_changed(self) -> None:
        self._note(self._report.frozen() or "thawed")
        if frozen := self._report.frozen():
            self.log.warn("{text}; not changing IPVS or BGP", text=frozen, system="control")
            self._reconciler.freeze()
        else:
            self.log.warn("thawed: applying all changes made while frozen", system="control")
            self._reconciler.thaw()
            self._audit.thaw()
        self._changed()

    async def _adopt(self) -> None:
        """Read the kernel, and start the services with what it holds. Raises BackendError."""
        await self._overrides.load()
        held = await self._services.adopt()
        if len(self._services):  # a file without services may be a mistake
            self._reconciler.retire_leftovers()
        self._services.start(held)
        self._audit.start()  # not before: it would take our own services for those of other programs

    def _starting(self) -> Iterator[Alert]:
        """Yield the alerts of the parts that did not start yet."""
        for attempt in self._attempts:
            yield from attempt.alerts()
        yield from self._listening.alerts()
        yield from self._pulse.alerts()
        yield from tuple(self._names.alerts())
        if self._journal is None and self._reloader.settings.journal:
            yield Alert("", "journal", _NO_STATE)
        yield from tuple(self._files.alerts())

    def _blocker(self) -> str:
        """Return why reloads are refused at present, empty if they are allowed."""
        if not self._adoption.succeeded:
            return "IPVS could not be read yet; the file is read again when pybal restarts"
        return self._report.frozen()

    def _examine(self) -> Deferred[Sequence[Finding]]:
        settings, monitors = self._reloader.settings, self._services.number_of_monitors or None
        # In a thread: the files of a kernel's modules may be on any file system.
        gathered = self._doctors.run(partial(gather, rules.modules(settings), rules.SYSCTLS))
        return gathered.addCallback(rules.evaluate, settings, monitors)

    def _examine_exposure(self) -> Deferred[Sequence[Finding]]:
        sensitive, settings = self._reloader.sensitive, self._reloader.settings
        # Its own thread: the files may be on a file system, and the group in a name service, that hangs.
        gathered = self._auditors.run(partial(gather_access, sensitive, settings))
        return gathered.addCallback(partial(exposure.findings, sensitive, settings))

    def _changed(self) -> None:
        if self._bgp:
            self._bgp.changed()

    def _routes(self, settings: Settings, host: str) -> Routes:
        return Routes(
            clock=self._reactor,
            snapshot=self._report.snapshot,
            monitors=self._services.monitors,
            ipvs=self._reconciler.view,
            held=self._held,
            audit=self._audit.findings,
            history=lambda service: self._services[service].controller.history,
            monitors_of=lambda service, host: self._services[service].controller.monitors_of(host),
            wall=self._machine.wall,
            sources=self._services.sources,
            configuration=lambda: self._reloader.configuration,
            families=self._report.families,
            bgp=self._report.bgp,
            overview=self._report.overview,
            frozen=self._report.frozen,
            balancer=Balancer(
                host=host,
                version=__version__,
                started=self._report.started,
                dry_run=settings.dry_run,
                in_memory=settings.ipvs_backend is IPVSBackend.MEMORY,
            ),
            override=self._override,
            host=self._report.findings,
            activities=self._reactor.activities,
            in_effect=self._report.in_effect,
            begins=self._progress.begins,
            any_begins=self._progress.any_begins,
        )

    def _override(self, service: str, host: str) -> str:
        override = self._overrides.get(service, host)
        return "" if override is None else override.text(self._overrides.clocks())

    def _log_isolation(self, text: str) -> None:
        self.log.error("{text}", text=text, system="checks")
        self._note(text)


_NO_STATE = "not recording: no state directory (set StateDirectory=pybal in the unit, or STATE_DIRECTORY)"


def _is_exclusive(settings: Settings) -> bool:
    """Return whether services of other programs are removed; never while none is configured."""
    return settings.ipvs.exclusive and bool(settings.services)


def _ledger(settings: Settings, runtime: Path, reactor: HeartbeatReactor, workers: MakeWorkers) -> Ledger:
    """Return the ledger of the IPVS table; it is a file, except for a table in memory."""
    file = None if settings.ipvs_backend is IPVSBackend.MEMORY else runtime / "ipvs-services.json"
    return Ledger(file, dry_run=settings.dry_run, workers=workers("ledger", 1, reactor), clock=reactor)


def _ipvs_workers(settings: Settings, reactor: HeartbeatReactor, workers: MakeWorkers) -> Workers | None:
    """Return the thread of a backend that waits for a child process, ``None`` for the others."""
    waits = settings.ipvs_backend is IPVSBackend.IPVSADM and not settings.dry_run
    return workers("ipvsadm", 1, reactor) if waits else None


def _ipvs_loader(settings: Settings, reactor: HeartbeatReactor, workers: MakeWorkers) -> ModuleLoader | None:
    """Return the thread for the calls that may load a module of the kernel."""
    loads = settings.ipvs_backend is IPVSBackend.NETLINK and not settings.dry_run
    return ModuleLoader(workers("ipvs", 1, reactor), NetlinkBackend) if loads else None
