"""The monitor of kinds that run one check per interval and need nothing but its result.

A check that is inconclusive because of a local error is retried once immediately, then at the next interval. Kinds with
follow-ups diagnose the first failure after a success.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from typing_extensions import override

from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.socket_check import Target
from pybal.config.convert import port_or_services
from pybal.config.option import option
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Samples, Series
from pybal.monitors.diagnosis import Diagnosis, Done, FollowUps, tcp_only
from pybal.monitors.factory import Factory
from pybal.monitors.interval import Interval, IntervalMonitor


class PeriodicCheck(Protocol):
    """A check with the interface of :class:`pybal.checks.socket_check.Check`."""

    running: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


CheckDone = Callable[[object, Result], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicSettings(Interval):
    """The options of a kind that runs one check per interval."""

    def check(self, factory: Factory[Interval], host: str, target: Target, done: CheckDone) -> PeriodicCheck:
        """Return the check of one server, which calls ``done`` with each result; called once per server."""
        raise NotImplementedError

    def follow_ups(self, factory: Factory[Interval], target: Target, done: Done) -> FollowUps:
        """Return the checks that diagnose the first failure after a success; they call ``done``."""
        del factory, target, done
        return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class TCPSettings(PeriodicSettings):
    """The options of a kind that checks over TCP; a check that only connects diagnoses a failure."""

    port: int = option(0, port_or_services, help="port to connect to; 0 is the port of the service")

    @override
    def port_of(self, service: Service) -> int:
        return self.port or service.port

    @override
    def follow_ups(self, factory: Factory[Interval], target: Target, done: Done) -> FollowUps:
        return tcp_only(factory.engine, target, self.timeout, done)


RESULTS = ((("result", "successful"),), (("result", "failed"),))
"""The labels of the last durations."""


def duration_metric(kind: str) -> str:
    """Return the name of the metric of the last duration."""
    return f"pybal_monitor_{kind.lower()}_request_duration_seconds"


@cache
def duration_series(kind: str) -> Series:
    """Return the series of the last durations."""
    return Series(((duration_metric(kind), RESULTS),))


class Periodic(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_check", "_diagnosis", "_factory", "_seconds", "_series", "_target", "name")

    def __init__(
        self, factory: Factory[PeriodicSettings], host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        super().__init__(factory.engine, factory.random, factory.settings, report)
        self.name = factory.name
        self._factory = factory
        self._target = Target.of(address, factory.port)
        self._check = factory.settings.check(factory, host, self._target, self._done)
        self._diagnosis = Diagnosis(factory.engine, self._history.add)
        self._series = duration_series(factory.name)
        self._seconds: list[float | None] = [None, None]

    def samples(self) -> Samples:
        return self._series, tuple(self._seconds)

    @override
    def stop(self) -> None:
        super().stop()
        self._check.cancel()
        self._diagnosis.stop()

    @override
    def run(self) -> None:
        if not self._check.running and self._factory.is_ready(self.run_soon):
            self._check.start()

    def _done(self, check: object, result: Result) -> None:
        del check
        verdict, now = result.verdict, self._engine.now
        self._history.add(now, result)
        if verdict is INCONCLUSIVE:
            self.retry()
            return
        self._retried = False
        self._seconds[verdict is FAILED] = result.duration
        if verdict is PASSED:
            self._diagnosis.succeeded = True
            self.passed(now)
        else:
            factory = self._factory
            self._diagnosis.failed(factory.settings.follow_ups(factory, self._target, self._diagnosis.done))
            self.failed(result.text, f"{result.phase} {result.cause}", now)
