"""Timing wheels: periodic timers, a paced sweep of first checks, and deadlines. Pure.

Time is counted in ticks; the engine reports which tick has come.

* A periodic timer keeps its slot of its wheel. Phases follow the golden ratio, which spreads any number of timers evenly over the
  period, in any order of arrival.
* A timer whose period changes runs one whole new period later, so a burst of changes stays spread.
* The sweep spreads urgent calls over less than a second and slows down while many checks are in flight.
* A deadline is one list append and is never removed: a check that ended has another deadline, or none.
* The fewer timers exist, the coarser the ticks: waking up costs more than a check.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

TICK = 0.01
"""Seconds."""
SWEEP_TICKS = 80
"""Duration of a sweep in ticks: less than a second."""
SWEEP_IN_FLIGHT = 512
"""Checks in flight at which a sweep slows down."""
SWEEP_SLOW = 16
"""Calls per tick of a slow sweep: hanging servers must not delay the others for ever."""

_GOLDEN = 0.6180339887498949
_COARSEST = 10
_CHECKS_PER_WAKE = 16


class Timed(Protocol):
    """An object with a deadline."""

    deadline: int
    """A tick, 0 for none."""

    def expire(self) -> None:
        """Handle the expiry of the deadline."""


class Timer:
    """A scheduled call: in a wheel, in the sweep, or in both."""

    __slots__ = ("call", "due", "slot", "swept", "wheel")

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.wheel: Wheel | None = None
        self.slot = 0
        self.swept = False
        """True while it waits in the sweep."""
        self.due = False
        """True while it is due and waits for its call."""


class Wheel:
    """All timers with the same period, in ticks."""

    __slots__ = ("_added", "_occupied", "_slots", "count", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self.count = 0
        self._added = 0
        self._slots: dict[int, list[Timer]] = {}
        self._occupied: list[int] = []

    def add(self, timer: Timer) -> None:
        """Give the timer a slot away from those of earlier timers."""
        self.place(timer, int(self._added * _GOLDEN % 1.0 * self.period))

    def place(self, timer: Timer, tick: int) -> None:
        """Give the timer the slot of this tick."""
        timer.wheel, timer.slot = self, tick % self.period
        self._slots.setdefault(timer.slot, []).append(timer)
        self._added += 1
        self.count += 1
        self._occupied = []

    def remove(self, timer: Timer) -> None:
        timers = self._slots[timer.slot]
        timers.remove(timer)
        if not timers:
            del self._slots[timer.slot]
        timer.wheel = None
        self.count -= 1
        self._occupied = []

    def due(self, after: int, until: int) -> list[Timer]:
        """Return the timers of the ticks in ``(after, until]``, each at most once."""
        timers: list[Timer] = []
        for tick in range(max(after, until - self.period) + 1, until + 1):
            timers += self._slots.get(tick % self.period, ())
        return timers

    def following(self, tick: int) -> int:
        """Return the first tick after this one that has a timer."""
        if not self._occupied:
            self._occupied = sorted(self._slots)
        turn, position = divmod(tick, self.period)
        index = bisect_right(self._occupied, position)
        if index < len(self._occupied):
            return turn * self.period + self._occupied[index]
        return (turn + 1) * self.period + self._occupied[0]


def _period(seconds: float) -> int:
    return max(1, round(seconds / TICK))


class Schedule:
    """The schedule of all timers and deadlines. Ticks passed to it never decrease."""

    def __init__(self) -> None:
        self._wheels: dict[int, Wheel] = {}
        self._moving: dict[Timer, tuple[int, int]] = {}
        self._sweep: deque[Timer] = deque()
        self._sweep_end = 0
        self._deadlines: dict[int, list[Timed]] = {}
        self._deadline_ticks: list[int] = []
        self._grain = _COARSEST

    def every(self, seconds: float, timer: Timer, tick: int) -> None:
        """Run the timer soon, and then every ``seconds``."""
        self._wheel(_period(seconds)).add(timer)
        self._set_grain()
        self.soon(timer, tick)

    def pace(self, timer: Timer, seconds: float, tick: int) -> None:
        """Run a periodic timer every ``seconds`` from now on."""
        period = _period(seconds)
        if timer.wheel is None or timer.wheel.period != period:
            self._remove(timer)
            # Not placed yet: timers up to this tick may still be due, and this one has already run.
            self._moving[timer] = (period, tick)

    def soon(self, timer: Timer, tick: int) -> None:
        """Run the timer once within a second, spread among all such timers."""
        if timer.swept:
            return
        if not self._sweep:
            self._sweep_end = tick + SWEEP_TICKS
        timer.swept = True
        self._sweep.append(timer)

    def next_tick(self, timer: Timer, tick: int) -> int | None:
        """Return the first tick after this one at which the timer is due, ``None`` if it has left."""
        if timer.swept or timer.due:
            return tick + 1
        if timer in self._moving:
            period, since = self._moving[timer]
            return since + period
        if timer.wheel is None:
            return None
        return tick + 1 + (timer.slot - tick - 1) % timer.wheel.period

    def leave(self, timer: Timer) -> None:
        """Remove the timer."""
        timer.swept = timer.due = False
        self._moving.pop(timer, None)
        self._remove(timer)

    def due(self, after: int, until: int) -> list[Timer]:
        """Return the periodic timers of the ticks in ``(after, until]``."""
        timers = [timer for wheel in self._wheels.values() for timer in wheel.due(after, until)]
        for timer in timers:
            timer.swept = False
        if self._moving:
            self._place()
        return timers

    def swept(self, tick: int, in_flight: int) -> list[Timer]:
        """Return the timers of the sweep that are due at this tick."""
        timers: list[Timer] = []
        if self._sweep:
            share = -(-len(self._sweep) // max(1, self._sweep_end - tick))
            room = min(share, max(SWEEP_IN_FLIGHT - in_flight, SWEEP_SLOW))
            while self._sweep and len(timers) < room:
                timer = self._sweep.popleft()
                if timer.swept:
                    timer.swept = False
                    timers.append(timer)
        return timers

    def arm(self, timed: Timed, tick: int) -> None:
        """Set the deadline of ``timed``."""
        timed.deadline = tick
        waiting = self._deadlines.get(tick)
        if waiting is None:
            self._deadlines[tick] = [timed]
            heappush(self._deadline_ticks, tick)
        else:
            waiting.append(timed)

    def expired(self, until: int) -> Timed | None:
        """Return an object whose deadline expired, and clear its deadline; ``None`` if no others are left."""
        ticks = self._deadline_ticks
        while ticks and ticks[0] <= until:
            waiting = self._deadlines[ticks[0]]
            while waiting:
                timed = waiting.pop()
                if timed.deadline == ticks[0]:
                    timed.deadline = 0
                    return timed
            del self._deadlines[heappop(ticks)]
        return None

    def following(self, tick: int) -> int | None:
        """Return the next tick at which a call may be due, ``None`` without one."""
        if self._sweep or self._moving:
            return tick + 1
        ticks = [wheel.following(tick) for wheel in self._wheels.values()]
        if self._deadline_ticks:
            ticks.append(self._deadline_ticks[0])
        if not ticks:
            return None
        return -(-max(min(ticks), tick + 1) // self._grain) * self._grain

    def _wheel(self, period: int) -> Wheel:
        return self._wheels.setdefault(period, Wheel(period))

    def _place(self) -> None:
        for timer, (period, tick) in self._moving.items():
            self._wheel(period).place(timer, tick)
        self._moving.clear()
        self._set_grain()

    def _remove(self, timer: Timer) -> None:
        if timer.wheel is not None:
            wheel = timer.wheel
            wheel.remove(timer)
            if not wheel.count:
                del self._wheels[wheel.period]
            self._set_grain()

    def _set_grain(self) -> None:
        rate = sum(wheel.count / wheel.period for wheel in self._wheels.values()) / TICK
        self._grain = max(1, min(_COARSEST, round(_CHECKS_PER_WAKE / rate / TICK))) if rate else _COARSEST
