"""The running services, each with a controller, a source and monitor factories; applies reload steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.config.settings import ServiceSettings
from pybal.core.history import PoolHistory
from pybal.core.model import Address, Pool, Service
from pybal.daemon.controller import Controller
from pybal.ipvs.model import Key, key_of
from pybal.ipvs.reconciler import Reconciler
from pybal.journal.recorder import Recorder
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.monitors.factory import MonitorSettings
from pybal.reload.plan import Step, changed_monitors
from pybal.resolve import Resolver
from pybal.runtime.turns import Turns
from pybal.sources.pool_source import PoolSource


class Factory(Protocol):
    """Builds the parts of services."""

    def source(self, settings: ServiceSettings) -> PoolSource:
        """Return the source of a service, not started."""

    def monitor_factory(self, monitor: MonitorSettings, service: Service, *, shared: bool) -> MonitorFactory:
        """Return the factory of one kind of monitor of a service."""


POOL_BUDGET = 0.01
"""Seconds that changes of all pools may take in one turn of the loop."""


@dataclass(slots=True)
class RunningService:
    """One service. ``source`` is the newest one, possibly without a list yet."""

    settings: ServiceSettings
    source: PoolSource
    factories: Sequence[MonitorFactory]
    controller: Controller


Prepared = Callable[[], None]
"""A prepared step: all its parts exist, and a call applies it without failing."""


class Services:
    """All services, by name in the order of the configuration.

    ``changed`` is called after each change of a pool. ``refusal`` returns why a server cannot have an address, empty if it can. ``overridden`` returns the hosts
    of a service that operators disabled on this balancer. ``journal`` records all events.
    """

    _log = Logger()

    def __init__(
        self,
        services: Iterable[ServiceSettings],
        factory: Factory,
        *,
        resolver: Resolver,
        reconciler: Reconciler,
        clock: IReactorTime,
        turns: Turns,
        changed: Callable[[], None],
        refusal: Callable[[Address], str] = lambda _address: "",
        overridden: Callable[[str], frozenset[str]] = lambda _service: frozenset(),
        journal: Recorder | None = None,
    ) -> None:
        self._factory = factory
        self._resolver = resolver
        self._reconciler = reconciler
        self._clock = clock
        self._turns = turns
        self._changed = changed
        self._refusal = refusal
        self._overridden = overridden
        self._journal = journal
        self._running = {key_of(settings.service): self._build(settings) for settings in services}
        self._by_name: dict[str, RunningService] = {}
        self._index()

    async def adopt(self) -> Mapping[str, Mapping[Address, int]]:
        """Return the addresses and weights in the kernel by name of service. Raises BackendError."""
        return await self._reconciler.adopt([running.settings.service for running in self])

    def start(self, held: Mapping[str, Mapping[Address, int]]) -> None:
        """Start all services with the addresses that the kernel holds."""
        for name, running in self._by_name.items():
            try:
                running.controller.start(held[name])
            except Exception:  # noqa: BLE001  # a bug in one service must not keep the others from starting
                self._log.failure("service failed to start", system=name)

    def stop(self) -> None:
        """Stop all sources, checks and lookups; the kernel stays unchanged."""
        for running in self._running.values():
            running.controller.stop()

    def __getitem__(self, name: str) -> RunningService:
        return self._by_name[name]

    def __iter__(self) -> Iterator[RunningService]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def apply_overrides(self, service: str) -> None:
        """Apply the present overrides of a service, if it exists."""
        if running := self._by_name.get(service):
            running.controller.apply_overrides()

    def pending(self) -> bool:
        """Return whether a change is not applied to its pool yet."""
        return any(running.controller.pending for running in self)

    def prove(self, applied: Callable[[], None]) -> int:
        """Call ``applied`` for each service whose waiting changes are applied; return the number of services."""
        for running in self:
            running.controller.prove(applied)
        return len(self)

    def pools(self) -> Mapping[str, Pool]:
        """Return the present pools, by name."""
        return MappingProxyType({name: running.controller.pool for name, running in self._by_name.items()})

    def histories(self) -> Mapping[Key, PoolHistory]:
        """Return the histories of all pools, by the key of their service."""
        return {key: running.controller.history for key, running in self._running.items()}

    def sources(self) -> Iterator[tuple[str, PoolSource]]:
        """Yield the sources with the names of their services."""
        for name, running in self._by_name.items():
            yield name, running.source

    def monitors(self) -> Iterator[tuple[str, str, Monitor]]:
        """Yield each running monitor with the names of its service and host.

        The monitors may change during the iteration.
        """
        for name, running in self._by_name.items():
            for host, monitor in running.controller.monitors():
                yield name, host, monitor

    @property
    def number_of_monitors(self) -> int:
        """The number of running monitors."""
        return sum(running.controller.number_of_monitors for running in self)

    async def prepare(self, step: Step) -> Prepared:
        """Build the parts of a step, so that applying it cannot fail. Raises BackendError.

        Apply the steps that remove services first, and call :meth:`set_order` after all steps.
        """
        match step.before, step.after:
            case None, ServiceSettings() as after:
                return await self._addition(after)
            case ServiceSettings() as before, None:
                return self._running[key_of(before.service)].controller.stop
            case ServiceSettings() as before, ServiceSettings() as after:
                return self._change(self._running[key_of(before.service)], after)
        raise AssertionError("step without a service")

    def set_order(self, services: Iterable[ServiceSettings]) -> None:
        """Keep exactly the services of these settings, in this order, after all steps are applied."""
        self._running = {key_of(settings.service): self._running[key_of(settings.service)] for settings in services}
        self._index()

    def _index(self) -> None:
        self._by_name = {running.settings.service.name: running for running in self._running.values()}

    def _build(self, settings: ServiceSettings) -> RunningService:
        source = self._factory.source(settings)
        factories = [self._monitor_factory(settings, monitor) for monitor in settings.monitors]
        controller = Controller(
            settings.service,
            source,
            self._resolver,
            factories,
            want=self._reconciler.wanting,
            amend=self._reconciler.amending,
            clock=self._clock,
            turns=self._turns,
            changed=self._changed,
            refusal=self._refusal,
            overridden=self._overridden,
            tape=None if self._journal is None else self._journal.tape(),
        )
        return RunningService(settings, source, factories, controller)

    def _monitor_factory(self, settings: ServiceSettings, monitor: MonitorSettings) -> MonitorFactory:
        return self._factory.monitor_factory(monitor, settings.service, shared=settings.share_checks)

    async def _addition(self, settings: ServiceSettings) -> Prepared:
        running = self._build(settings)
        held = (await self._reconciler.adopt([settings.service]))[settings.service.name]

        def add() -> None:
            self._running[key_of(settings.service)] = running
            running.controller.start(held)

        return add

    def _change(self, running: RunningService, settings: ServiceSettings) -> Prepared:
        before = running.settings
        _, started = changed_monitors(before, settings)
        kept = dict(zip(before.service.monitors, running.factories, strict=True))
        factories = [
            self._monitor_factory(settings, monitor) if name in started else kept[name]
            for name, monitor in zip(settings.service.monitors, settings.monitors, strict=True)
        ]
        renamed = before.service.name != settings.service.name
        successor = self._factory.source(settings) if before.source != settings.source or renamed else None
        if successor is not None:
            successor.succeed(running.source)

        def change() -> None:
            running.settings = settings
            running.factories, running.source = factories, successor or running.source
            running.controller.change(settings.service, factories, successor)

        return change
