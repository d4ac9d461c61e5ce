"""The services that run: for each a controller, its source and the plans of its monitors; they come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from pybal.config.settings import ServiceSettings
from pybal.core.model import Address, Pool, Service
from pybal.daemon.controller import Controller
from pybal.ipvs.model import key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.monitors.factory import MonitorSettings
from pybal.reload.plan import Step, anew
from pybal.resolve import Resolver
from pybal.sources.pool_source import PoolSource


class Factory(Protocol):
    """Makes what services are made of."""

    def source(self, settings: ServiceSettings, former: PoolSource | None) -> PoolSource:
        """Return the source of a service, not started; ``former`` is the one that it follows, if any."""

    def plan(self, monitor: MonitorSettings, service: Service, *, shared: bool) -> MonitorFactory:
        """Return the plan of one kind of monitor of a service."""


@dataclass(slots=True)
class RunningService:
    """One service. ``source`` is the newest one, which may not have delivered yet."""

    settings: ServiceSettings
    source: PoolSource
    plans: Sequence[MonitorFactory]
    controller: Controller


Prepared = Callable[[], None]
"""What a step needs has been made; to call this is to take it."""


class Services:
    """All services, by name in the order of the configuration. ``changed`` is called after each change of a pool."""

    def __init__(
        self,
        services: Iterable[ServiceSettings],
        parts: Factory,
        *,
        resolver: Resolver,
        reconciler: Reconciler,
        clock: IReactorTime,
        changed: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._resolver = resolver
        self._reconciler = reconciler
        self._clock = clock
        self._changed = changed
        self._running = {key_of(settings.service): self._made(settings) for settings in services}
        self._named: dict[str, RunningService] = {}
        self._name()

    def adopt(self) -> Mapping[str, Mapping[Address, int]]:
        """Return what the kernel holds, by name: addresses and weights. Raises BackendError."""
        return self._reconciler.adopt(running.settings.service for running in self)

    def start(self, held: Mapping[str, Mapping[Address, int]]) -> None:
        """Begin with what the kernel holds."""
        for name, running in self._named.items():
            running.controller.start(held[name])

    def stop(self) -> None:
        """Stop sources, checks and names; the kernel keeps what it has."""
        for running in self._running.values():
            running.controller.stop()

    def __getitem__(self, name: str) -> RunningService:
        return self._named[name]

    def __iter__(self) -> Iterator[RunningService]:
        return iter(self._named.values())

    def __len__(self) -> int:
        return len(self._named)

    def pools(self) -> Mapping[str, Pool]:
        """Return the pools at this moment, by name."""
        return MappingProxyType({name: running.controller.pool for name, running in self._named.items()})

    def sources(self) -> Iterator[tuple[str, PoolSource]]:
        """Yield the sources with the names of their services."""
        for name, running in self._named.items():
            yield name, running.source

    def monitors(self) -> Iterator[tuple[str, str, Monitor]]:
        """Yield each running monitor with the names of its service and host."""
        for name, running in self._named.items():
            for host, monitor in running.controller.monitors():
                yield name, host, monitor

    def prepare(self, step: Step) -> Prepared:
        """Make what a step needs, so that nothing can fail once it is taken. Raises BackendError.

        The steps that remove are to be taken first, and after all of them :meth:`arrange` is to be called.
        """
        match step.before, step.after:
            case None, ServiceSettings() as after:
                return self._addition(after)
            case ServiceSettings() as before, None:
                return self._running[key_of(before.service)].controller.stop
            case ServiceSettings() as before, ServiceSettings() as after:
                return self._change(self._running[key_of(before.service)], after)
        raise AssertionError("a step of no service")

    def arrange(self, services: Iterable[ServiceSettings]) -> None:
        """Have the services of these settings, in this order; all steps to get there have been taken."""
        self._running = {key_of(settings.service): self._running[key_of(settings.service)] for settings in services}
        self._name()

    def _name(self) -> None:
        self._named = {running.settings.service.name: running for running in self._running.values()}

    def _made(self, settings: ServiceSettings) -> RunningService:
        source = self._parts.source(settings, None)
        plans = [self._plan(settings, monitor) for monitor in settings.monitors]
        controller = Controller(
            settings.service,
            source,
            self._resolver,
            plans,
            want=self._reconciler.want,
            clock=self._clock,
            changed=self._changed,
        )
        return RunningService(settings, source, plans, controller)

    def _plan(self, settings: ServiceSettings, monitor: MonitorSettings) -> MonitorFactory:
        return self._parts.plan(monitor, settings.service, shared=settings.share_checks)

    def _addition(self, settings: ServiceSettings) -> Prepared:
        running = self._made(settings)
        held = self._reconciler.adopt([settings.service])[settings.service.name]

        def add() -> None:
            self._running[key_of(settings.service)] = running
            running.controller.start(held)

        return add

    def _change(self, running: RunningService, settings: ServiceSettings) -> Prepared:
        before = running.settings
        _, come = anew(before, settings)
        same = dict(zip(before.service.monitors, running.plans, strict=True))
        plans = [
            self._plan(settings, monitor) if name in come else same[name]
            for name, monitor in zip(settings.service.monitors, settings.monitors, strict=True)
        ]
        renamed = before.service.name != settings.service.name
        another = self._parts.source(settings, running.source) if before.source != settings.source or renamed else None

        def change() -> None:
            running.settings = settings
            running.plans, running.source = plans, another or running.source
            running.controller.change(settings.service, plans, another)

        return change
