"""A kind of monitor: name, options, monitor class, metrics. Each monitor module ends with a ``KIND``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from pybal.checks.engine import Engine
from pybal.config import option
from pybal.core.model import Service
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.monitors.factory import Factory, MonitorSettings
from pybal.monitors.periodic import Periodic, duration_metric
from pybal.runtime.file_values import FileValues

S = TypeVar("S", bound=MonitorSettings)


@dataclass(frozen=True, slots=True)
class Kind(option.Kind[S]):
    """A kind of monitor.

    ``duration`` is the HELP text of ``pybal_monitor_NAME_request_duration_seconds``; ``metrics`` has the HELP texts of other
    metrics, by name. ``monitor`` is called with the factory, the host, the address and the callback for reports.
    """

    duration: str = ""
    metrics: Mapping[str, str] = field(default_factory=dict)
    monitor: Callable[..., Monitor] = Periodic
    factory: type[Factory[Any]] = Factory

    @property
    def help(self) -> Mapping[str, str]:
        """The HELP texts of its metrics, by name."""
        return {duration_metric(self.name): self.duration, **self.metrics} if self.duration else self.metrics

    def prepare(
        self, settings: S, service: Service, *, engine: Engine, random: Random, files: FileValues
    ) -> MonitorFactory:
        """Return the factory of a service; ``files`` reads the files that its checks need."""
        return self.factory(self.name, self.monitor, settings, service, engine=engine, random=random, files=files)
