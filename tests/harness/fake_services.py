"""The core of a daemon on a Clock: real services and reloader, fake sources and monitors."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from random import Random
from types import MappingProxyType
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from typing_extensions import override

from pybal.bgp.speaker import SpeakerError
from pybal.bgp.verdict import Verdict
from pybal.config.errors import ConfigError, Problem
from pybal.config.sensitive import NOTHING_SENSITIVE
from pybal.config.settings import InstrumentationSettings, ServiceSettings, Settings, SourceSettings
from pybal.core.model import Address, IPProtocol, Member, Report, Service
from pybal.daemon.controller import GATHER_SECONDS
from pybal.daemon.reloader import Reloader, ReloadTargets
from pybal.daemon.services import Services
from pybal.ipvs.backend import BackendError, MemoryBackend
from pybal.ipvs.model import Failure, Op, ServiceKey, TableEntry
from pybal.ipvs.reconciler import Reconciler
from pybal.ipvs.render import operation
from pybal.monitors.base import NO_SAMPLES, Monitor, MonitorFactory, PastResult, Samples
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import name_of
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.reload.file import Loaded
from pybal.reload.plan import Outcome, ReloadPlan
from pybal.resolve import LookupResult, Resolver
from pybal.runtime.systemd import Notifier
from pybal.runtime.turns import Turns
from pybal.sources.base import PoolState, SourceError
from pybal.sources.pool_source import PoolSource
from tests.harness.immediate import result_of
from tests.harness.turning_clock import TurningClock

FETCH = ProxyFetchSettings(("http://www.example.org/",))
IDLE = IdleConnectionSettings()
ONE, TWO, BOTH = "file:///pools/one", "file:///pools/two", "file:///pools/both"
LISTS: Mapping[str, tuple[Member, ...]] = MappingProxyType(
    {
        ONE: tuple(Member(f"10.0.0.{n}") for n in (1, 2, 3, 4)),
        TWO: tuple(Member(f"10.0.0.{n}", 20) for n in (3, 4, 5)),
        BOTH: (Member("10.0.0.1"), Member("fd00::1")),
    }
)


def web(
    name: str = "web",
    vip: str = "192.0.2.1",
    monitors: Sequence[MonitorSettings] = (FETCH,),
    source: str = ONE,
    **service: Any,
) -> ServiceSettings:
    """Return the settings of a service; other keywords are fields of its ``Service``."""
    own = {key: service.pop(key) for key in ("share_checks", "line", "bgp_med", "bgp") if key in service}
    names = tuple(map(name_of, monitors))
    made = Service(name, IPProtocol.TCP, ip_address(vip), 80, service.pop("scheduler", "wrr"), monitors=names)
    return ServiceSettings(replace(made, **service), SourceSettings(source), tuple(monitors), **own)


class FakeSource:
    """A pool source; the test delivers its lists."""

    problem: str | None = None
    applied = ""
    last_success: float | None = None
    differences = 0
    removed: frozenset[str] = frozenset()
    incomplete = False
    unsure: frozenset[str] = frozenset()
    removal: str | None = None
    saved: tuple[Member, ...] = ()

    def __init__(self, url: str, log: Callable[[str, str], None] = lambda _event, _url: None) -> None:
        self.url = url
        self.running = False
        self._log = log

    def start(
        self,
        listed: Callable[[tuple[Member, ...]], None],
        failed: Callable[[SourceError], None],
        pool: Callable[[], PoolState] = PoolState,
    ) -> None:
        self.listed, self.failed, self.pool, self.running = listed, failed, pool, True
        self._log("start", self.url)

    def stop(self) -> None:
        self.running = False
        self._log("stop", self.url)


class FakeMonitor:
    """A monitor; the test makes its reports, and ``log`` receives each start and stop."""

    passed_at = 0.0
    patience = 30.0
    next_check = 103.0
    needed = 1
    up_results = down_results = up_transitions = down_transitions = 0
    shared_by = ()
    urgent = False

    def __init__(
        self,
        name: str,
        host: str,
        address: Address,
        report: Callable[[Report], None],
        log: Callable[[str, str, str], None],
    ) -> None:
        self.name, self.host, self.address, self.report, self._log = name, host, address, report, log
        self.up: bool | None = None
        self.decided_at = -math.inf
        self.running = False

    def start(self) -> None:
        self.running = True
        self._log("start", self.host, self.name)

    def stop(self) -> None:
        self.running = False
        self._log("stop", self.host, self.name)

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent

    def samples(self) -> Samples:
        return NO_SAMPLES

    def history(self) -> Iterable[PastResult]:
        return ()

    def make_report(self, *, up: bool, reason: str = "connect: refused", at: float = 0.0) -> None:
        self.up, self.decided_at = up, math.inf  # never overdue
        reason = "" if up else reason
        self.report(Report(up, reason, at, reason))


class FakeMonitorFactory:
    """A factory of fake monitors of one kind: ``made`` are all, ``errors`` are raised by the next ones."""

    def __init__(self, name: str, log: Callable[[str, str, str], None] = lambda _event, _host, _kind: None) -> None:
        self.name = name
        self.made: list[FakeMonitor] = []
        self.errors: list[Exception] = []
        self._log = log

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        if self.errors:
            raise self.errors.pop()
        self.made.append(FakeMonitor(self.name, host, address, report, self._log))
        return self.made[-1]

    @property
    def running(self) -> Mapping[str, FakeMonitor]:
        return {monitor.host: monitor for monitor in self.made if monitor.running}


class RecordingBackend(MemoryBackend):
    """A table in memory that records each operation; every operation must succeed.

    Reads fail with the text of ``broken``, if any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []
        self.broken = ""

    @override
    def read(self, key: ServiceKey) -> TableEntry | None:
        if self.broken:
            raise BackendError(self.broken)
        return super().read(key)

    @override
    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        self.ops += ops
        failures = super().apply(ops)
        assert failures == ()
        return failures


class FakeListening:
    """The ports of the HTTP endpoints; no port can be opened while ``in_use``."""

    def __init__(self) -> None:
        self.ports: set[int] = set()
        self.in_use = False

    def open(self, settings: InstrumentationSettings | None) -> None:
        if settings and self.in_use:
            raise CannotListenError("127.0.0.1", settings.port, OSError(errno.EADDRINUSE, "Address already in use"))
        self.ports |= {settings.port} if settings else set()

    async def close(self, besides: InstrumentationSettings | None = None) -> None:
        self.ports &= {besides.port} if besides else set()


class FakeAnnouncing:
    """BGP without peers: holds the VIPs in ``held``, and refuses settings with ``refusal``."""

    def __init__(self) -> None:
        self.held: set[Address] = set()
        self.refusal = ""
        self.reconfigured: list[frozenset[str]] = []
        """The new services of each reconfiguration."""

    async def changed_passwords(self) -> frozenset[Address]:
        return frozenset()

    def check(self, _settings: Settings) -> None:
        if self.refusal:
            raise SpeakerError(self.refusal)

    def reconfigure(self, _settings: Settings, new: frozenset[str]) -> None:
        self.reconfigured.append(new)

    def foresee(self, _settings: Settings, _pools: object, _new: object) -> Sequence[Verdict]:
        return ()

    def holds(self, vip: Address) -> bool:
        return vip in self.held


class DaemonOnClock:
    """A daemon without real endpoints. ``settings`` are those of its configuration file, or its error.

    ``environ`` leads to the socket of a service manager, if any.
    """

    path = "/etc/pybal/pybal.conf"

    def __init__(self, settings: Settings, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        self.settings: Settings | ConfigError = settings
        self.clock = TurningClock()
        self.backend = RecordingBackend()
        self.sources: list[FakeSource] = []
        self.events: list[tuple[str, str, str]] = []
        """Events of monitors: ``start`` or ``stop``, host and kind."""
        self.source_events: list[tuple[str, str]] = []
        """Events of sources: ``start`` or ``stop``, and the URL."""
        self.blocker = ""
        self.unreadable: Exception | None = None
        self.warnings: tuple[Problem, ...] = ()
        self.unsupported: tuple[Problem, ...] = ()
        self.sensitive = NOTHING_SENSITIVE
        self.listening = FakeListening()
        self.announcing = FakeAnnouncing()
        self.applied: list[Settings] = []
        """The settings of each reload that changed something."""
        self.accepted = 0
        self.broken: Exception | None = None
        self.reconciler = Reconciler(self.backend, self.clock, grace=settings.ipvs.remove_grace)
        self.services = Services(
            settings.services,
            self,
            resolver=Resolver(_no_lookup, self.clock, Random(1)),
            reconciler=self.reconciler,
            clock=self.clock,
            turns=Turns(self.clock, now=self.clock.seconds),
            changed=lambda: None,
        )
        notifier = Notifier(environ, self.clock)
        running = ReloadTargets(
            self.services,
            self.reconciler,
            cast("Any", self.announcing),
            cast("Any", self.listening),
            notifier,
            self.clock,
            self._apply_settings,
            lambda: self.blocker,
            accepted=self._count_accepted,
        )
        self.reloader = Reloader(self, self.read(), running)
        notifier.ready("")
        self.services.start(result_of(self.services.adopt()))

    def read(self) -> Loaded:
        if self.unreadable:
            raise self.unreadable
        if isinstance(self.settings, ConfigError):
            raise self.settings
        return Loaded(self.settings, self.warnings, self.digest(), self.unsupported, self.sensitive)

    async def load(self) -> Loaded:
        return self.read()

    def plan(self, settings: Settings) -> ReloadPlan:
        """Return the plan of a reload with other settings."""
        plans: list[ReloadPlan] = []
        Deferred.fromCoroutine(self.reloader.plan(settings)).addCallback(plans.append)
        for _ in range(1000):
            if plans:
                break
            self.clock.advance(0)
        (plan,) = plans
        return plan

    def digest(self) -> str:
        return str(hash(repr(self.settings)))

    def source(self, settings: ServiceSettings) -> PoolSource:
        if self.broken:
            raise self.broken
        fake = FakeSource(settings.source.url, lambda *event: self.source_events.append(event))
        self.sources.append(fake)
        wall = datetime(2026, 11, 21, 12, tzinfo=UTC)
        name = settings.service.name
        return PoolSource(fake, settings.source, None, service=name, clock=self.clock, wall=lambda: wall)

    def monitor_factory(self, monitor: MonitorSettings, _service: Service, *, shared: bool) -> MonitorFactory:
        assert isinstance(shared, bool)
        return FakeMonitorFactory(name_of(monitor), lambda *event: self.events.append(event))

    def _apply_settings(self, settings: Settings) -> None:
        self.reconciler.grace = settings.ipvs.remove_grace
        self.applied.append(settings)

    def _count_accepted(self) -> None:
        self.accepted += 1

    def turn(self) -> None:
        """Run the loop until nothing more is due and no report is gathered."""
        for _ in range(6):
            self.clock.advance(0)
        self.clock.pump([GATHER_SECONDS] * 2)

    def list_all(self, *urls: str) -> None:
        """Deliver the lists of the running sources with these URLs."""
        for source in self.sources:
            if source.running and source.url in urls:
                source.listed(LISTS[source.url])
        self.turn()

    def report_all(self, *down: str) -> None:
        """Report each server as up, except these hosts."""
        for _, host, monitor in list(self.services.monitors()):
            cast("FakeMonitor", monitor).make_report(up=host not in down)
        self.turn()

    def reload(self, settings: Settings | ConfigError, *, force: bool = False) -> Outcome:
        """Reload with other settings, to the end, and return the outcome."""
        self.settings = settings
        self.backend.ops.clear()
        self.events.clear()
        self.source_events.clear()
        outcomes: list[Outcome] = []
        deferred = Deferred.fromCoroutine(self.reloader.reload(force=force))
        deferred.addCallback(outcomes.append)
        for _ in range(1000):
            if outcomes:
                break
            self.clock.advance(0.01)
        self.turn()
        (outcome,) = outcomes
        return outcome

    @property
    def operations(self) -> list[str]:
        """Operations on the kernel since the reload began, in the syntax of ipvsadm."""
        return [operation(op) for op in self.backend.ops]

    def operations_on(self, key: ServiceKey) -> list[str]:
        return [operation(op) for op in self.backend.ops if op.key == key]


async def _no_lookup(host: str, version: int) -> LookupResult:
    raise AssertionError(f"unexpected lookup of {host} in IPv{version}")
