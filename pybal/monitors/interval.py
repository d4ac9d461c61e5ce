"""When monitors check: in turns, at an interval that depends on what was found, with jitter if wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Protocol

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.config.settings import Intervals
from pybal.core.model import Report
from pybal.monitors.rise_fall import RiseFall


class IntervalSettings(Protocol):
    """The settings of a monitor that checks in turns."""

    @property
    def interval(self) -> float: ...

    @property
    def intervals(self) -> Intervals: ...


class IntervalMonitor(RiseFall):
    """The part that all monitors have that check in turns: a kind says what is done in one (:meth:`_turn`).

    With jitter a turn is late by a random share of the interval; the turns themselves stay where they are, so checks
    stay spread. A first turn, and one that makes up for a check that came to nothing, are prompt.
    """

    __slots__ = ("_engine", "_prompt", "_random", "_repeated", "_seat", "_settings", "deadline")

    def __init__(
        self, engine: Engine, random: Random, settings: IntervalSettings, report: Callable[[Report], None]
    ) -> None:
        super().__init__(report, settings.intervals.rise, settings.intervals.fall)
        self.deadline = 0
        self._engine = engine
        self._random = random
        self._settings = settings
        self._seat: Timer | None = None
        self._prompt = True
        self._repeated = False

    def start(self) -> None:
        turn = self._turn_at_random if self._settings.intervals.jitter else self._turn
        self._seat = self._engine.every(self._settings.interval, turn)

    def stop(self) -> None:
        self.deadline = 0
        if self._seat is not None:
            self._engine.leave(self._seat)
            self._seat = None

    def expire(self) -> None:
        """Take the turn that was late."""
        self._turn()

    def _turn(self) -> None:
        raise NotImplementedError

    def _make_up(self) -> None:
        """Have a turn more for a check that came to nothing, but only one until there is a result."""
        if self._seat is not None and not self._repeated:
            self._repeated = self._prompt = True
            self._engine.again(self._seat)

    def _moved(self) -> None:
        if self._seat is not None:
            self._engine.pace(self._seat, self._interval)

    def _turn_at_random(self) -> None:
        if self._prompt:
            self._prompt = False
            self._turn()
        elif not self.deadline:  # with a turn that is late already, another one would put it off for ever
            self._engine.arm(self, self._random.random() * self._settings.intervals.jitter * self._interval)

    @property
    def _interval(self) -> float:
        """The time from turn to turn, as things stand."""
        intervals, interval = self._settings.intervals, self._settings.interval
        if self.in_doubt:
            return intervals.fast_interval or interval
        if self.up is False:
            longest = interval if self._urgent else math.inf
            return min(intervals.down_interval or interval, longest)
        return interval
