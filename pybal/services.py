"""The services that run: for each a controller, its source and the plans of its monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from pybal.config.settings import MonitorSettings, ServiceSettings
from pybal.controller import Controller
from pybal.ipvs.reconcile import Reconciler
from pybal.model import Address, Pool, Service
from pybal.monitors.base import Monitor, Plan
from pybal.resolve import Resolver
from pybal.sources.guarded import GuardedSource


class Parts(Protocol):
    """Makes what services are made of."""

    def source(self, settings: ServiceSettings) -> GuardedSource:
        """Return the source of a service, not started."""

    def plan(self, monitor: MonitorSettings, service: Service, *, shared: bool) -> Plan:
        """Return the plan of one kind of monitor of a service."""


@dataclass(slots=True)
class Running:
    """One service."""

    settings: ServiceSettings
    source: GuardedSource
    plans: Sequence[Plan]
    controller: Controller


class Services:
    """All services, by name in the order of the configuration. ``changed`` is called after each change of a pool."""

    def __init__(
        self,
        services: Iterable[ServiceSettings],
        parts: Parts,
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
        self._named = {settings.service.name: self._made(settings) for settings in services}

    def adopt(self) -> Mapping[str, Mapping[Address, int]]:
        """Return what the kernel holds, by name: addresses and weights. Raises BackendError."""
        return self._reconciler.adopt(running.settings.service for running in self)

    def start(self, held: Mapping[str, Mapping[Address, int]]) -> None:
        """Begin with what the kernel holds."""
        for name, running in self._named.items():
            running.controller.start(held[name])

    def stop(self) -> None:
        """Stop sources, checks and names; the kernel keeps what it has."""
        for running in self._named.values():
            running.controller.stop()

    def __getitem__(self, name: str) -> Running:
        return self._named[name]

    def __iter__(self) -> Iterator[Running]:
        return iter(self._named.values())

    def __len__(self) -> int:
        return len(self._named)

    def pools(self) -> Mapping[str, Pool]:
        """Return the pools at this moment, by name."""
        return MappingProxyType({name: running.controller.pool for name, running in self._named.items()})

    def sources(self) -> Iterator[tuple[str, GuardedSource]]:
        """Yield the sources with the names of their services."""
        for name, running in self._named.items():
            yield name, running.source

    def monitors(self) -> Iterator[tuple[str, str, Monitor]]:
        """Yield each running monitor with the names of its service and host."""
        for name, running in self._named.items():
            for host, monitor in running.controller.monitors():
                yield name, host, monitor

    def _made(self, settings: ServiceSettings) -> Running:
        source = self._parts.source(settings)
        plans = [self._plan(settings, monitor) for monitor in settings.monitors]
        controller = Controller(
            settings.service,
            source,
            self._resolver,
            plans,
            want=partial(self._reconciler.want, settings.service),
            clock=self._clock,
            changed=self._changed,
        )
        return Running(settings, source, plans, controller)

    def _plan(self, settings: ServiceSettings, monitor: MonitorSettings) -> Plan:
        return self._parts.plan(monitor, settings.service, shared=settings.share_checks)
