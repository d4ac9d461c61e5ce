"""The core of a daemon on a Clock: real services and reloader, fake sources and monitors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from random import Random
from types import MappingProxyType
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.config.errors import ConfigError
from pybal.config.settings import ServiceSettings, Settings, SourceSettings
from pybal.core.model import Address, IPProtocol, Member, Report, Service
from pybal.daemon.controller import GATHER_SECONDS
from pybal.daemon.reloader import Reloader, ReloadTargets
from pybal.daemon.services import Services
from pybal.ipvs.backend import MemoryBackend
from pybal.ipvs.model import Failure, Op, ServiceKey
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
from pybal.status.listening import Listening
from tests.harness.immediate import result_of

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

    def __init__(self, url: str) -> None:
        self.url = url
        self.running = False

    def start(
        self,
        listed: Callable[[tuple[Member, ...]], None],
        failed: Callable[[SourceError], None],
        pool: Callable[[], PoolState] = PoolState,
    ) -> None:
        self.listed, self.failed, self.pool, self.running = listed, failed, pool, True

    def stop(self) -> None:
        self.running = False


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
    """A table in memory that records each operation; every operation must succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []

    def apply(self, ops: Sequence[Op]) -> tuple[Failure, ...]:
        self.ops += ops
        failures = super().apply(ops)
        assert failures == ()
        return failures


class DaemonOnClock:
    """A daemon without endpoints. ``settings`` are those of its configuration file, or its error."""

    path = "/etc/pybal/pybal.conf"

    def __init__(self, settings: Settings) -> None:
        self.settings: Settings | ConfigError = settings
        self.clock = Clock()
        self.backend = RecordingBackend()
        self.sources: list[FakeSource] = []
        self.events: list[tuple[str, str, str]] = []
        """Events of monitors: ``start`` or ``stop``, host and kind."""
        self.blocker = ""
        self.unreadable: OSError | None = None
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
        listening = Listening(cast("Any", None), cast("Any", None))  # no port is opened
        running = ReloadTargets(
            self.services,
            self.reconciler,
            None,
            listening,
            Notifier({}, self.clock),
            self.clock,
            self._apply_settings,
            lambda: self.blocker,
        )
        self.reloader = Reloader(self, self.read(), running)
        self.services.start(result_of(self.services.adopt()))

    def read(self) -> Loaded:
        if self.unreadable:
            raise self.unreadable
        if isinstance(self.settings, ConfigError):
            raise self.settings
        return Loaded(self.settings, (), self.digest())

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
        fake = FakeSource(settings.source.url)
        self.sources.append(fake)
        wall = datetime(2026, 11, 21, 12, tzinfo=UTC)
        name = settings.service.name
        return PoolSource(fake, settings.source, None, service=name, clock=self.clock, wall=lambda: wall)

    def monitor_factory(self, monitor: MonitorSettings, _service: Service, *, shared: bool) -> MonitorFactory:
        assert isinstance(shared, bool)
        return FakeMonitorFactory(name_of(monitor), lambda *event: self.events.append(event))

    def _apply_settings(self, settings: Settings) -> None:
        self.reconciler.grace = settings.ipvs.remove_grace

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
