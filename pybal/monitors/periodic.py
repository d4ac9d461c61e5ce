"""The monitor of kinds that run one check per interval and need nothing but its result.

A check that is inconclusive because of a local error is retried once immediately, then at the next interval. Kinds with
follow-ups diagnose the first failure after a success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Protocol

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.core.model import Report
from pybal.monitors.base import Sample
from pybal.monitors.diagnosis import Diagnosis, Done, FollowUps
from pybal.monitors.interval import IntervalMonitor, IntervalSettings


class PeriodicCheck(Protocol):
    """A check with the interface of :class:`pybal.checks.socket_check.Check`."""

    running: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


def _no_follow_ups(done: Done) -> FollowUps:
    del done
    return iter(())


class Periodic(IntervalMonitor):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`.

    ``check`` is called once with the callback for results, and returns the check. ``follow_ups`` is called with the
    callback for the results of follow-ups.
    """

    __slots__ = ("_check", "_diagnosis", "_duration", "_follow_ups", "_seconds", "name")

    def __init__(
        self,
        name: str,
        settings: IntervalSettings,
        check: Callable[[Callable[[object, Result], None]], PeriodicCheck],
        report: Callable[[Report], None],
        *,
        engine: Engine,
        random: Random,
        follow_ups: Callable[[Done], FollowUps] = _no_follow_ups,
    ) -> None:
        super().__init__(engine, random, settings, report)
        self.name = name
        self._check = check(self._done)
        self._diagnosis = Diagnosis(engine, self._history.add)
        self._follow_ups = follow_ups
        self._duration = f"pybal_monitor_{name.lower()}_request_duration_seconds"
        self._seconds = [0.0, 0.0]

    def samples(self) -> Iterator[Sample]:
        yield Sample(self._duration, (("result", "successful"),), self._seconds[0])
        yield Sample(self._duration, (("result", "failed"),), self._seconds[1])

    def stop(self) -> None:
        super().stop()
        self._check.cancel()
        self._diagnosis.stop()

    def _run(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: object, result: Result) -> None:
        del check
        verdict, now = result.verdict, self._engine.now
        self._history.add(now, result)
        if verdict is INCONCLUSIVE:
            self._retry()
            return
        self._retried = False
        self._seconds[verdict is FAILED] = result.duration
        if verdict is PASSED:
            self._diagnosis.succeeded = True
            self._passed(now)
        else:
            self._diagnosis.failed(self._follow_ups(self._diagnosis.done))
            self._failed(result.text, f"{result.phase} {result.cause}", now)
