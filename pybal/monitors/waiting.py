"""Monitors of a kind that cannot run yet: a file that it needs is missing or invalid.

Their servers stay unknown, which depools none that the kernel holds: no check runs unverified, and none fails for a cause that is ours.
The file is read again every :data:`RETRY_SECONDS`; then the real monitors start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from twisted.logger import Logger
from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.core.model import Address, Report
from pybal.monitors.base import Monitor, MonitorFactory, PastResult, Sample

RETRY_SECONDS = 10.0


class WaitingFactory:
    """A factory that ``build`` could not build; it is tried again until it succeeds.

    ``reason`` returns why it fails, for people.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        build: Callable[[], MonitorFactory],
        reason: Callable[[OSError], str],
        engine: Engine,
        system: str,
    ) -> None:
        self.name = name
        self.ready: MonitorFactory | None = None
        self._build = build
        self._reason = reason
        self._engine = engine
        self._system = system
        self._problem = ""
        self._timer: Timer | None = None
        self._waiting: dict[WaitingMonitor, None] = {}
        self._retry()

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        if self.ready is not None:
            return self.ready.monitor(host, address, report)
        return WaitingMonitor(self, host, address, report)

    def enter(self, monitor: WaitingMonitor) -> None:
        """Start a monitor as soon as it is possible."""
        self._waiting[monitor] = None
        if self._timer is None:
            self._timer = self._engine.every(RETRY_SECONDS, self._retry)

    def leave(self, monitor: WaitingMonitor) -> None:
        """Forget a monitor."""
        self._waiting.pop(monitor, None)
        if not self._waiting and self._timer is not None:
            self._engine.leave(self._timer)
            self._timer = None

    def _retry(self) -> None:
        try:
            ready = self.ready = self._build()
        except OSError as error:
            self._failed(error)
            return
        if self._problem:
            self._log.info("{name} works now", name=self.name, system=self._system)
        for monitor in list(self._waiting):
            self.leave(monitor)
            monitor.begin(ready)

    def _failed(self, error: OSError) -> None:
        problem = self._reason(error)
        if problem != self._problem:
            self._problem = problem
            text = "{name} cannot run: {problem}; not checking, retrying every {seconds:g} s"
            self._log.error(text, name=self.name, problem=problem, seconds=RETRY_SECONDS, system=self._system)


class WaitingMonitor:
    """A monitor that does nothing until its factory is ready, and then is the real one."""

    up_results = down_results = up_transitions = down_transitions = 0
    passed_at = -math.inf
    up: bool | None = None
    shared_by: Sequence[str] = ()

    def __init__(self, factory: WaitingFactory, host: str, address: Address, report: Callable[[Report], None]) -> None:
        self.name = factory.name
        self._factory = factory
        self._server = (host, address, report)
        self._urgent = False
        self._real: Monitor | None = None

    @override
    def __getattribute__(self, name: str) -> object:
        """Return the attributes of the real monitor once it exists."""
        real = None if name.startswith("_") or name in _OWN else object.__getattribute__(self, "_real")
        return object.__getattribute__(self, name) if real is None else getattr(real, name)

    def samples(self) -> Iterable[Sample]:
        return ()

    def history(self) -> Iterable[PastResult]:
        return ()

    def start(self) -> None:
        self._factory.enter(self)

    def stop(self) -> None:
        self._factory.leave(self)
        if self._real is not None:
            self._real.stop()

    def set_urgent(self, urgent: bool) -> None:
        self._urgent = urgent
        if self._real is not None:
            self._real.set_urgent(urgent)

    def begin(self, factory: MonitorFactory) -> None:
        """Start the real monitor."""
        self._real = factory.monitor(*self._server)
        self._real.set_urgent(self._urgent)
        self._real.start()


_OWN = frozenset(("start", "stop", "set_urgent", "begin"))
