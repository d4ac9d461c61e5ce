"""Monitors that check at an interval, which depends on the state, with optional jitter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.config.convert import integer, part, seconds
from pybal.config.option import option
from pybal.core.model import Report
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.rise_fall import RiseFall

times = integer(1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(MonitorSettings):
    """The options of every kind that checks at an interval."""

    timeout: float = option(5.0, seconds, help="time limit of one check, in seconds")
    interval: float = option(10.0, seconds, help="time between checks, in seconds")
    rise: int = option(1, times, help="consecutive passed checks that bring a server up; a new server needs only one")
    fall: int = option(1, times, help="consecutive failed checks that take a server down")
    fast_interval: float | None = option(
        None,
        seconds,
        same_as="interval",
        help="interval after a result that contradicts the state of the server, until rise or fall is reached, in seconds",
    )
    down_interval: float | None = option(
        None, seconds, same_as="interval", help="interval while the server is down, in seconds"
    )
    jitter: float = option(
        0.0,
        part(0.5),
        help="maximum random delay of a check, as a share of the interval from 0 to 0.5; with 0 the checks of all servers"
        " are spread evenly",
    )


class IntervalMonitor(RiseFall):
    """The base of monitors that check at an interval; a kind implements :meth:`run`.

    With jitter, each run is delayed by a random share of the interval; the schedule itself is unchanged, so the checks
    of many servers stay spread. The first run, and the retry of an inconclusive check, have no delay.
    """

    __slots__ = ("_engine", "_prompt", "_random", "_retried", "_settings", "_timer", "deadline")

    def __init__(self, engine: Engine, random: Random, settings: Interval, report: Callable[[Report], None]) -> None:
        super().__init__(report, settings.rise, settings.fall)
        self.deadline = 0
        self._engine = engine
        self._random = random
        self._settings = settings
        self._timer: Timer | None = None
        self._prompt = True
        self._retried = False

    def start(self) -> None:
        run = self._run_with_jitter if self._settings.jitter else self.run
        self._timer = self._engine.every(self._settings.interval, run)

    def stop(self) -> None:
        self.deadline = 0
        if self._timer is not None:
            self._engine.leave(self._timer)
            self._timer = None

    def expire(self) -> None:
        """Run after the delay of the jitter."""
        self.run()

    def run(self) -> None:
        """Start the checks, unless they are running."""
        raise NotImplementedError

    def retry(self) -> None:
        """Retry after an inconclusive check, but only once until the next conclusive result."""
        if not self._retried:
            self._retried = True
            self.run_soon()

    def run_soon(self) -> None:
        """Run again within a second, unless it has stopped."""
        if self._timer is not None:
            self._prompt = True
            self._engine.again(self._timer)

    @override
    def _state_changed(self) -> None:
        if self._timer is not None:
            self._engine.pace(self._timer, self._interval)

    def _run_with_jitter(self) -> None:
        if self._prompt:
            self._prompt = False
            self.run()
        elif not self.deadline:  # a run that is delayed already must not be delayed again, or it never starts
            self._engine.arm(self, self._random.random() * self._settings.jitter * self._interval)

    @override
    @property
    def patience(self) -> float:
        """Three intervals; longer if a check may take longer than one."""
        interval = self._interval
        return max(super().patience, 3 * interval, 2 * interval + self._settings.timeout)

    @property
    def next_check(self) -> float:
        if self.deadline:
            return self._engine.time_of(self.deadline)
        return math.inf if self._timer is None else self._engine.next_call(self._timer)

    @property
    def _interval(self) -> float:
        """The interval in the present state."""
        settings, interval = self._settings, self._settings.interval
        if self.undecided:
            return settings.fast_interval or interval
        if self.up is False:
            longest = interval if self._urgent else math.inf
            return min(settings.down_interval or interval, longest)
        return interval
