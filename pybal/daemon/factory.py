"""Builds the pool sources and monitor factories of services from their settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random

from pybal.checks.engine import Engine
from pybal.config.settings import ServiceSettings
from pybal.core.model import Service
from pybal.monitors import kinds as monitors
from pybal.monitors.base import MonitorFactory
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.shared import Sharing
from pybal.runtime.file_values import FileValues
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources import kinds as sources
from pybal.sources.cache import ListCache
from pybal.sources.file_poll import FilePoll
from pybal.sources.pool_source import PoolSource
from pybal.sources.state_files import StateFiles


class ServiceFactory:
    """Builds sources and monitor factories; see :class:`pybal.daemon.services.Factory`."""

    def __init__(
        self,
        engine: Engine,
        reactor: Reactor,
        random: Random,
        *,
        poll: FilePoll,
        files: FileValues,
        state: Path | None,
        state_files: StateFiles,
        wall: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._reactor = reactor
        self._random = random
        self._poll = poll
        self._files = files
        self._turns = Turns(reactor)
        self._state = state
        self._state_files = state_files
        self._wall = wall
        self._sharing = Sharing(self._own_factory, engine)

    def source(self, settings: ServiceSettings) -> PoolSource:
        name, source = settings.service.name, settings.source
        cache = None if self._state is None else ListCache(self._state, name)
        return sources.build(
            source,
            cache,
            service=name,
            reactor=self._reactor,
            random=self._random,
            poll=self._poll,
            files=self._files,
            turns=self._turns,
            state=self._state_files,
            wall=self._wall,
        )

    def monitor_factory(self, monitor: MonitorSettings, service: Service, *, shared: bool) -> MonitorFactory:
        return self._sharing.factory(monitor, service) if shared else self._own_factory(monitor, service)

    def _own_factory(self, settings: MonitorSettings, service: Service) -> MonitorFactory:
        return monitors.prepare(settings, service, engine=self._engine, random=self._random, files=self._files)
