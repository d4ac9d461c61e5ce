"""Checks that several services share (``share-checks = yes``).

Services share a monitor if theirs would send identical bytes: the same kind, settings, port and address, and the same host
name, which some kinds send. Each service has a :class:`SharedMonitor`, a proxy of the shared one. A proxy added later
receives the last report within a second; when the last proxy stops, the shared monitor stops.

Log lines of a shared monitor carry the name of the first service that used it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from weakref import WeakValueDictionary

from twisted.logger import Logger

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Monitor, MonitorFactory, PastResult, Samples
from pybal.monitors.factory import MonitorSettings
from pybal.runtime.weak import weakly


class Sharing:
    """The shared monitors; ``prepare`` returns the factory of the first service that uses one."""

    def __init__(self, prepare: Callable[[MonitorSettings, Service], MonitorFactory], engine: Engine) -> None:
        self._prepare = prepare
        self._engine = engine
        # Only the factories of the services hold references: an unused entry disappears.
        self._shared: WeakValueDictionary[Hashable, _SharedFactory] = WeakValueDictionary()

    def factory(self, settings: MonitorSettings, service: Service) -> SharedMonitorFactory:
        """Return a factory whose monitors are shared with services of equal settings."""
        key = (settings, settings.port_of(service))
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _SharedFactory(self._prepare(settings, service), self._engine)
        return SharedMonitorFactory(shared, service.name)


class SharedMonitorFactory:
    """A factory of proxies; see :class:`pybal.monitors.base.MonitorFactory`."""

    def __init__(self, shared: _SharedFactory, service: str) -> None:
        self.name = shared.factory.name
        self._shared = shared
        self._service = service

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> SharedMonitor:
        """Return a proxy that keeps the shared monitor of this server alive until it stops."""
        return SharedMonitor(self._shared.check(host, address), self._service, report)


class SharedMonitor:
    """The proxy of a shared monitor; see :class:`pybal.monitors.base.Monitor`.

    Counters, samples and history are those of the shared monitor since it started, possibly long before this service.
    """

    __slots__ = ("_check", "_report", "_started", "_timer", "service", "urgent")

    def __init__(self, check: _SharedCheck, service: str, report: Callable[[Report], None]) -> None:
        self.service = service
        self._report = report
        self._check = check
        self._timer: Timer | None = None
        self._started = False
        self.urgent = False
        check.proxies.append(self)

    def start(self) -> None:
        self._started = True
        self._check.start()
        if self._check.last_report is not None:
            self._timer = self._check.engine.soon(self._catch_up)

    def stop(self) -> None:
        self._started = False
        self._cancel_catch_up()
        self._check.leave(self)

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent
        self._check.update_urgent()

    def deliver(self, report: Report) -> None:
        """Pass on a report of the shared monitor, unless this proxy has stopped."""
        if self._started:
            self._cancel_catch_up()
            self._report(report)

    def _catch_up(self) -> None:
        self._timer = None
        if self._check.last_report is not None:
            self._report(self._check.last_report)

    def _cancel_catch_up(self) -> None:
        if self._timer is not None:
            self._check.engine.leave(self._timer)
            self._timer = None

    @property
    def name(self) -> str:
        return self._check.monitor.name

    @property
    def shared_by(self) -> Sequence[str]:
        services = sorted(proxy.service for proxy in self._check.proxies)
        return services if len(services) > 1 else ()

    @property
    def up(self) -> bool | None:
        return self._check.monitor.up

    @property
    def up_results(self) -> int:
        return self._check.monitor.up_results

    @property
    def down_results(self) -> int:
        return self._check.monitor.down_results

    @property
    def up_transitions(self) -> int:
        return self._check.monitor.up_transitions

    @property
    def down_transitions(self) -> int:
        return self._check.monitor.down_transitions

    @property
    def passed_at(self) -> float:
        return self._check.monitor.passed_at

    @property
    def decided_at(self) -> float:
        return self._check.monitor.decided_at

    @property
    def patience(self) -> float:
        return self._check.monitor.patience

    @property
    def next_check(self) -> float:
        return self._check.monitor.next_check

    @property
    def needed(self) -> int:
        return self._check.monitor.needed

    def samples(self) -> Samples:
        return self._check.monitor.samples()

    def history(self) -> Iterable[PastResult]:
        return self._check.monitor.history()


class _SharedFactory:
    """The factory that services share, and its monitors in use."""

    def __init__(self, factory: MonitorFactory, engine: Engine) -> None:
        self.factory = factory
        self._engine = engine
        self._checks: dict[tuple[str, Address], _SharedCheck] = {}

    def check(self, host: str, address: Address) -> _SharedCheck:
        key = (host, address)
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = _SharedCheck(self._engine, lambda: self._checks.pop(key))
            check.monitor = self.factory.monitor(host, address, weakly(check.report))
        return check


class _SharedCheck:
    """A shared monitor and its proxies, in order of creation."""

    __slots__ = ("__weakref__", "_forget", "_started", "engine", "last_report", "monitor", "proxies")

    _log = Logger()

    monitor: Monitor

    def __init__(self, engine: Engine, forget: Callable[[], object]) -> None:
        self.engine = engine
        self.proxies: list[SharedMonitor] = []
        self.last_report: Report | None = None
        self._forget = forget
        self._started = False

    def start(self) -> None:
        """Start the monitor unless it runs already."""
        if not self._started:
            self._started = True
            self.monitor.start()

    def leave(self, proxy: SharedMonitor) -> None:
        """Remove a proxy, at most once; stop the monitor with the last one."""
        if proxy in self.proxies:
            self.proxies.remove(proxy)
            if not self.proxies:
                self._forget()
                self.monitor.stop()
            elif proxy.urgent:
                self.update_urgent()

    def update_urgent(self) -> None:
        """Check urgently while one of the services requires it."""
        self.monitor.set_urgent(any(proxy.urgent for proxy in self.proxies))

    def report(self, report: Report) -> None:
        """Report to all services."""
        self.last_report = report
        for proxy in tuple(self.proxies):
            try:
                proxy.deliver(report)
            except Exception:  # noqa: BLE001  # an error of one service must not affect the others
                self._log.failure("Unexpected error while reporting a shared check", system="checks")
