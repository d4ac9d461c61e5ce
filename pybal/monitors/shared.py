"""Checks that are made once for several services.

Services that ask for it have one monitor between them where theirs would say the same on the wire, byte for byte: of one
kind, with equal settings, for the same port of the same address, and for the same host name, which is part of what some
kinds say. Each service has a monitor of its own that stands for that one, from when it is made until it is stopped. Who
comes late is told of what stands, within a second; when the last one is stopped, so is the one.

What the one logs by itself has the name of the service that was the first to share it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from weakref import WeakValueDictionary

from twisted.logger import Logger

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.config.settings import MonitorSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Monitor, MonitorFactory, PastResult, Sample
from pybal.monitors.kinds import port_of


class Sharing:
    """What services share. ``prepare`` makes a plan for the first of those that will have it between them."""

    def __init__(self, prepare: Callable[[MonitorSettings, Service], MonitorFactory], engine: Engine) -> None:
        self._prepare = prepare
        self._engine = engine
        # Kept by the services' own plans alone: what none of them has any more is gone.
        self._common: WeakValueDictionary[Hashable, _Common] = WeakValueDictionary()

    def plan(self, settings: MonitorSettings, service: Service) -> SharedMonitorFactory:
        """Return the service's own plan: its monitors share with those of other services that have equal settings."""
        key = (settings, port_of(settings, service))
        common = self._common.get(key)
        if common is None:
            common = self._common[key] = _Common(self._prepare(settings, service), self._engine)
        return SharedMonitorFactory(common, service.name)


class SharedMonitorFactory:
    """What a service has in place of a plan of its own; see :class:`pybal.monitors.base.MonitorFactory`."""

    def __init__(self, common: _Common, service: str) -> None:
        self.name = common.plan.name
        self._common = common
        self._service = service

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> SharedMonitor:
        """Return a monitor of this server, which holds on to the shared one until it is stopped."""
        return SharedMonitor(self._common.watch(host, address), self._service, report)


class SharedMonitor:
    """Stands for a monitor that is shared; see :class:`pybal.monitors.base.Monitor`.

    Counters, samples and history are those of the shared one since it began, perhaps long before this service came.
    """

    __slots__ = ("_report", "_seat", "_started", "_watch", "service", "urgent")

    def __init__(self, watch: _Watch, service: str, report: Callable[[Report], None]) -> None:
        self.service = service
        self._report = report
        self._watch = watch
        self._seat: Timer | None = None
        self._started = False
        self.urgent = False
        watch.sharers.append(self)

    def start(self) -> None:
        self._started = True
        self._watch.start()
        if self._watch.standing is not None:
            self._seat = self._watch.engine.soon(self._catch_up)

    def stop(self) -> None:
        self._started = False
        self._stop_waiting()
        self._watch.leave(self)

    def set_urgent(self, urgent: bool) -> None:
        self.urgent = urgent
        self._watch.update_urgent()

    def hear(self, report: Report) -> None:
        """Pass on what the shared one says, as long as this one runs."""
        if self._started:
            self._stop_waiting()
            self._report(report)

    def _catch_up(self) -> None:
        self._seat = None
        if self._watch.standing is not None:
            self._report(self._watch.standing)

    def _stop_waiting(self) -> None:
        if self._seat is not None:
            self._watch.engine.leave(self._seat)
            self._seat = None

    @property
    def name(self) -> str:
        return self._watch.monitor.name

    @property
    def shared_by(self) -> Sequence[str]:
        services = sorted(sharer.service for sharer in self._watch.sharers)
        return services if len(services) > 1 else ()

    @property
    def up(self) -> bool | None:
        return self._watch.monitor.up

    @property
    def up_results(self) -> int:
        return self._watch.monitor.up_results

    @property
    def down_results(self) -> int:
        return self._watch.monitor.down_results

    @property
    def up_transitions(self) -> int:
        return self._watch.monitor.up_transitions

    @property
    def down_transitions(self) -> int:
        return self._watch.monitor.down_transitions

    @property
    def passed_at(self) -> float:
        return self._watch.monitor.passed_at

    def samples(self) -> Iterable[Sample]:
        return self._watch.monitor.samples()

    def history(self) -> Iterable[PastResult]:
        return self._watch.monitor.history()


class _Common:
    """One plan that services have between them, and those of its monitors that are in use."""

    def __init__(self, plan: MonitorFactory, engine: Engine) -> None:
        self.plan = plan
        self._engine = engine
        self._watches: dict[tuple[str, Address], _Watch] = {}

    def watch(self, host: str, address: Address) -> _Watch:
        key = (host, address)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(self._engine, lambda: self._watches.pop(key))
            watch.monitor = self.plan.monitor(host, address, watch.tell)
        return watch


class _Watch:
    """A shared monitor, and those that stand for it in the services, the first one first."""

    __slots__ = ("_forget", "_started", "engine", "monitor", "sharers", "standing")

    _log = Logger()

    monitor: Monitor

    def __init__(self, engine: Engine, forget: Callable[[], object]) -> None:
        self.engine = engine
        self.sharers: list[SharedMonitor] = []
        self.standing: Report | None = None
        self._forget = forget
        self._started = False

    def start(self) -> None:
        """Begin, if that has not happened yet."""
        if not self._started:
            self._started = True
            self.monitor.start()

    def leave(self, sharer: SharedMonitor) -> None:
        """Go on for the others, if there are any. Who has left already is not missed."""
        if sharer in self.sharers:
            self.sharers.remove(sharer)
            if not self.sharers:
                self._forget()
                self.monitor.stop()
            elif sharer.urgent:
                self.update_urgent()

    def update_urgent(self) -> None:
        """Check urgently while one of the services needs it."""
        self.monitor.set_urgent(any(sharer.urgent for sharer in self.sharers))

    def tell(self, report: Report) -> None:
        """Tell all services."""
        self.standing = report
        for sharer in tuple(self.sharers):
            try:
                sharer.hear(report)
            except Exception:  # noqa: BLE001  # one service's bug is not another's
                self._log.failure("Unexpected error in what was told of a shared check", system="checks")
