"""The composition root: builds every part from the settings, wires them, starts and stops them in order.

Start: the HTTP endpoints open, so that nobody meets a closed port; the kernel is read and adopted; the BGP sessions
begin, with nothing to say before services are checked and the kernel is verified; then sources, names and checks begin.
Stop: what is announced is withdrawn, checks end, the IPVS entries stay as they are, the endpoints close last.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from grp import getgrnam
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from pybal.bgp.announcing import Announcing
from pybal.checks.engine import Engine
from pybal.config.errors import Problem, shown
from pybal.config.settings import BGPSettings, DriftPolicy, MonitorSettings, ServiceSettings, Settings
from pybal.control import commands
from pybal.control.commands import Controls
from pybal.control.listener import ControlSocket
from pybal.controller import Controller
from pybal.freeze import Freezer
from pybal.ipvs import render
from pybal.ipvs.audit import Audit
from pybal.ipvs.backend import Backend
from pybal.ipvs.reconcile import Reconciler
from pybal.model import Alert, Service, Snapshot
from pybal.monitors import kinds as monitors
from pybal.monitors.base import Monitor, Plan
from pybal.monitors.shared import Sharing
from pybal.resolve import Lookup, Resolver
from pybal.silence import Answer, CutOff
from pybal.sources import kinds as sources
from pybal.sources.guarded import GuardedSource
from pybal.sources.kept import Kept
from pybal.status import ipvs as kernel
from pybal.status.bgp import BGP
from pybal.status.listener import StatusFactory, listen
from pybal.status.metrics import Family
from pybal.status.process import descriptors
from pybal.status.site import Status
from pybal.systemd import Notifier

#: How long trouble of the checker itself stays an alert, in seconds.
_RECENT = 60.0

#: The share of the descriptors that may be in use before it is an alert.
_MANY_DESCRIPTORS = 0.9

#: The heap of a large configuration is given this long, in seconds, to be complete before it is frozen.
_SETTLED = 30.0


def unsupported(settings: Settings, file: str) -> Iterator[Problem]:
    """Yield what is valid, but not to be had in this version or on this machine: to go on without it would be wrong."""
    for peer in settings.bgp.peers if settings.bgp else ():
        if peer.md5_password_file and not os.access(peer.md5_password_file, os.R_OK):
            found = f"{shown(peer.md5_password_file)} for peer {peer.address}"
            yield Problem(file, 0, "global", "bgp-md5-password-file", found, "a file that can be read")
    if settings.control_group and not _is_group(settings.control_group):
        yield Problem(file, 0, "global", "control-group", shown(settings.control_group), "a group of this machine")
    for refusal in sources.refusals(service.source for service in settings.services):
        yield Problem(file, 0, *refusal)
    for service in settings.services:
        section = service.service.name
        if service.source.scheme not in sources.SUPPORTED:
            known = ", ".join(sorted(sources.SUPPORTED))
            yield Problem(
                file, service.line, section, "config", shown(service.source.url), f"a scheme of this version: {known}"
            )
        for monitor in service.monitors:
            if unable := monitors.refusal(monitor):
                yield Problem(file, service.line, section, *unable)


class App:
    """The daemon. ``reactor`` provides time, descriptors and TCP; ``lookup`` asks for the addresses of names.

    ``runtime`` is a directory for as long as it runs, ``state`` one for what is to outlive it, if there is one. ``control``
    is the path of the socket for commands, if there is to be one.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        *,
        reactor: Any,  # noqa: ANN401  # Twisted has no type for a reactor that provides several interfaces
        backend: Backend,
        lookup: Lookup,
        random: Random,
        notifier: Notifier,
        runtime: Path,
        state: Path | None = None,
        control: Path | None = None,
    ) -> None:
        self._settings = settings
        self._state = state
        self._reactor = reactor
        self._backend = backend
        self._random = random
        self._notifier = notifier
        self._engine = Engine(reactor)
        self._sharing = Sharing(self._plan, self._engine)
        self._engine.cut_off = CutOff(self._answers, settings.suspect_self, self._say_of_checks)
        self._resolver = Resolver(lookup, reactor, random)
        self._reconciler = Reconciler(backend, reactor, settled=self._changed)
        self._audit = Audit(
            self._reconciler,
            backend,
            reactor,
            interval=settings.ipvs.audit_interval,
            repairs=settings.ipvs.drift is DriftPolicy.REPAIR,
        )
        self._freezer = Freezer(reactor, self._frozen)
        self._announcing = self._bgp(settings.bgp, runtime) if settings.bgp else None
        self._sources = {s.service.name: self._source(s) for s in settings.services}
        self._controllers = {s.service.name: self._controller(s) for s in settings.services}
        self._ports: list[IListeningPort] = []
        self._control = self._control_socket(control) if control else None

    def start(self) -> None:
        """Start everything. What was started must still be stopped after any failure.

        Raises ControlError, CannotListenError, BackendError, SpeakerError or DrainError.
        """
        if self._control:
            self._control.start()
        self._listen()
        held = self._reconciler.adopt(s.service for s in self._settings.services)
        if self._announcing:
            self._announcing.start()
        self._engine.start()
        for name, controller in self._controllers.items():
            controller.start(held[name])
        self._audit.start()
        self._reactor.callLater(_SETTLED, _freeze)
        self._notifier.ready(f"{len(self._controllers)} services")

    async def stop(self) -> None:
        """Stop everything in order: the routers first, for what they send is served on; the IPVS table stays as it is."""
        self._notifier.stopping()
        if self._control:
            await self._control.stop()
        self._freezer.stop()
        if self._announcing:
            await self._announcing.stop()
        for controller in self._controllers.values():
            controller.stop()
        self._resolver.stop()
        self._engine.stop()
        self._audit.stop()
        self._reconciler.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)

    def snapshot(self) -> Snapshot:
        """Return the state of all pools at this moment."""
        return Snapshot(
            MappingProxyType({name: controller.pool for name, controller in self._controllers.items()}),
            MappingProxyType({name: controller.could_not_depool for name, controller in self._controllers.items()}),
            self._alerts(),
        )

    def _source(self, settings: ServiceSettings) -> GuardedSource:
        name, source = settings.service.name, settings.source
        kept = None if self._state is None else Kept(self._state, name, source.url)
        return sources.build(source, kept, reactor=self._reactor, random=self._random, wall=_wall)

    def _controller(self, settings: ServiceSettings) -> Controller:
        service = settings.service
        plan = self._sharing.plan if settings.share_checks else self._plan
        return Controller(
            service,
            self._sources[service.name],
            self._resolver,
            [plan(monitor, service) for monitor in settings.monitors],
            want=partial(self._reconciler.want, service),
            clock=self._reactor,
            changed=self._changed,
        )

    def _bgp(self, bgp: BGPSettings, runtime: Path) -> Announcing:
        return Announcing(
            self._settings,
            bgp,
            pool=lambda name: self._controllers[name].pool,
            verified=self._reconciler.verified,
            reactor=self._reactor,
            runtime=runtime,
            state=self._state,
            random=self._random,
            frozen=lambda: self._freezer.frozen is not None,
        )

    def _control_socket(self, path: Path) -> ControlSocket:
        controls = Controls(
            clock=self._reactor,
            started=self._reactor.seconds(),
            dry_run=self._settings.dry_run,
            snapshot=self.snapshot,
            bgp=self._announced,
            monitors=self._monitors,
            freezer=self._freezer,
            announcing=self._announcing,
        )
        group = self._settings.control_group
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

    def _changed(self) -> None:
        if self._announcing:
            self._announcing.changed()

    def _announced(self) -> BGP:
        announcing = self._announcing
        if announcing is None:
            return BGP()
        sessions = tuple(announcing.sessions())
        return BGP(not self._settings.dry_run, announcing.verdicts, sessions, announcing.restarts)

    def _plan(self, settings: MonitorSettings, service: Service) -> Plan:
        return monitors.prepare(settings, service, engine=self._engine, random=self._random)

    def _listen(self) -> None:
        instrumentation = self._settings.instrumentation
        if instrumentation is None:
            return
        status = Status(
            clock=self._reactor,
            snapshot=self.snapshot,
            monitors=self._monitors,
            ipvs_text=lambda: "".join(f"{line}\n" for line in render.lines(self._backend.table())),
            ipvs_json=lambda: render.document(self._backend.table()),
            audit=self._audit.findings,
            decisions=lambda service: self._controllers[service].decisions,
            monitors_of=lambda service, host: self._controllers[service].monitors_of(host),
            wall=_wall,
            sources=self._sources.items,
            families=self._families,
            bgp=self._announced,
        )
        factory = StatusFactory(status, self._reactor, host_names={socket.gethostname()})
        for ip in (*instrumentation.ips, *instrumentation.advertised_ips):
            self._ports.append(listen(self._reactor, factory, ip, instrumentation.port))

    def _monitors(self) -> Iterable[tuple[str, str, Monitor]]:
        for name, controller in self._controllers.items():
            for host, monitor in controller.monitors():
                yield name, host, monitor

    def _answers(self) -> Iterator[Answer]:
        for name, host, monitor in self._monitors():
            yield Answer(name, host, monitor.passed_at)

    def _say_of_checks(self, text: str) -> None:
        self.log.error("{text}", text=text, system="checks")

    def _families(self) -> Iterator[Family]:
        """Yield the metrics of the daemon itself."""
        engine = self._engine
        yield Family("pybal_checks_total", "counter", "Checks made", (((), engine.checks),))
        void = "Checks whose result said nothing of the server"
        yield Family("pybal_checks_inconclusive_total", "counter", void, (((), engine.inconclusive),))
        errors = [((("error", name),), count) for name, count in engine.local_errors.items()]
        yield Family("pybal_checks_local_errors_total", "counter", "What local resources refused", errors)
        yield Family("pybal_loop_lost_seconds_total", "counter", "How late the loop came in all", (((), engine.lost),))
        wakes = [((("late_below", f"{seconds:g}"),), count) for seconds, count in engine.lags()]
        late = (
            "Times the loop came to its checks, by how many seconds late: less than this, not less than the one before"
        )
        yield Family("pybal_loop_wakes_total", "counter", late, wakes)
        cut_off = self._engine.cut_off
        yield Family("pybal_cut_off", "gauge", "Whether nobody at all is heard", (((), cut_off.silence is not None),))
        yield Family("pybal_cut_offs_total", "counter", "How often nobody at all was heard", (((), cut_off.times),))
        frozen = self._freezer.frozen
        yield Family("pybal_frozen", "gauge", "Whether nothing is acted on", (((), frozen is not None),))
        left = max(0.0, frozen.until - self._reactor.seconds()) if frozen else 0.0
        yield Family("pybal_frozen_left_seconds", "gauge", "Time until the freeze ends by itself", (((), left),))
        verified = [((("service", name),), self._reconciler.verified(name)) for name in self._controllers]
        yield Family("pybal_ipvs_verified", "gauge", "Whether IPVS holds what is wanted", verified)
        yield from kernel.families(self._audit.findings())

    def _alerts(self) -> Iterator[Alert]:
        if self._freezer.frozen:
            text = f"{self._freezer.frozen.text(self._reactor.seconds())}; IPVS and BGP stay as they are"
            yield Alert("", "frozen", text)
        for controller in self._controllers.values():
            yield from controller.alerts()
        yield from self._reconciler.alerts()
        yield from self._audit.alerts()
        if self._announcing:
            yield from self._announcing.alerts()
        silence = self._engine.cut_off.silence
        if silence is not None:
            yield Alert("", "checker", f"{silence.text(self._engine.seconds())}: we may be cut off")
        used, most = descriptors()
        if used > _MANY_DESCRIPTORS * most:
            yield Alert("", "checker", f"{used} of {most} descriptors in use")
        for trouble, at in self._engine.sick.items():
            age = self._engine.seconds() - at
            if age < _RECENT:
                yield Alert(
                    "", "checker", f"{trouble}, {age:.0f} s ago: checks that met it say nothing of their servers"
                )


def _is_group(name: str) -> bool:
    try:
        getgrnam(name)
    except KeyError:
        return False
    return True


def _wall() -> datetime:
    return datetime.now(UTC)


def _freeze() -> None:
    """Take what lives for ever out of the garbage collector's sight: its passes would stall the loop."""
    gc.collect()
    gc.freeze()
