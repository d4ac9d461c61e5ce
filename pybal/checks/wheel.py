"""When checks are due, in ticks: rings of periodic seats, a paced sweep of first checks, and deadlines.

Pure: a tick is a number that the engine says has come.

* A periodic seat keeps its slot of its ring for life. Phases follow the golden ratio, which spreads any number of
  seats evenly over the period, whenever they came.
* A seat whose period changes has its next turn a whole new period from then, so a wave of changes stays spread as it
  came.
* The sweep spreads what should be done soon over less than a second, and holds back while much is in flight.
* A deadline is one list append and is never taken out: a check that ended has another deadline, or none.
* The fewer checks there are, the coarser the ticks that matter: waking up costs more than a check.
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
"""How long a sweep takes: under a second, so that the last seat has its turn within one."""
SWEEP_IN_FLIGHT = 512
"""A sweep starts no more while so many checks are in flight …"""
SWEEP_TRICKLE = 16
"""… but so many a tick: servers that hang must not keep the others unchecked."""

_GOLDEN = 0.6180339887498949
_COARSEST = 10
_CHECKS_PER_WAKE = 16


class Timed(Protocol):
    """What can have a deadline."""

    deadline: int
    """A tick, 0 for none."""

    def expire(self) -> None:
        """Its deadline has come."""


class Timer:
    """A call's place in the schedule: in a ring, or only in the sweep, or in both."""

    __slots__ = ("call", "ring", "slot", "swept")

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.ring: Wheel | None = None
        self.slot = 0
        self.swept = False
        """Whether the sweep has yet to come to it."""


class Wheel:
    """All seats with the same period, in ticks."""

    __slots__ = ("_added", "_occupied", "_slots", "count", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self.count = 0
        self._added = 0
        self._slots: dict[int, list[Timer]] = {}
        self._occupied: list[int] = []

    def add(self, seat: Timer) -> None:
        """Give the seat a slot away from those of the seats before it."""
        self.place(seat, int(self._added * _GOLDEN % 1.0 * self.period))

    def place(self, seat: Timer, tick: int) -> None:
        """Give the seat the slot of this tick."""
        seat.ring, seat.slot = self, tick % self.period
        self._slots.setdefault(seat.slot, []).append(seat)
        self._added += 1
        self.count += 1
        self._occupied = []

    def remove(self, seat: Timer) -> None:
        seats = self._slots[seat.slot]
        seats.remove(seat)
        if not seats:
            del self._slots[seat.slot]
        seat.ring = None
        self.count -= 1
        self._occupied = []

    def due(self, after: int, until: int) -> list[Timer]:
        """Return the seats of the ticks in ``(after, until]``, each once however long that is."""
        seats: list[Timer] = []
        for tick in range(max(after, until - self.period) + 1, until + 1):
            seats += self._slots.get(tick % self.period, ())
        return seats

    def following(self, tick: int) -> int:
        """Return the first tick after this one that has a seat."""
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
    """What is due when. All ticks given to it only ever grow."""

    def __init__(self) -> None:
        self._rings: dict[int, Wheel] = {}
        self._moving: dict[Timer, tuple[int, int]] = {}
        self._sweep: deque[Timer] = deque()
        self._sweep_end = 0
        self._deadlines: dict[int, list[Timed]] = {}
        self._deadline_ticks: list[int] = []
        self._grain = _COARSEST

    def every(self, seconds: float, seat: Timer, tick: int) -> None:
        """Give the seat a turn soon, and one every so many seconds."""
        self._ring(_period(seconds)).add(seat)
        self._set_grain()
        self.soon(seat, tick)

    def pace(self, seat: Timer, seconds: float, tick: int) -> None:
        """Give a seat of a ring a turn every so many seconds, from now on."""
        period = _period(seconds)
        if seat.ring is None or seat.ring.period != period:
            self._remove(seat)
            # Not placed yet: turns up to this tick may still have to come, and it had its own.
            self._moving[seat] = (period, tick)

    def soon(self, seat: Timer, tick: int) -> None:
        """Give the seat one turn within a second, spread among all that want one."""
        if seat.swept:
            return
        if not self._sweep:
            self._sweep_end = tick + SWEEP_TICKS
        seat.swept = True
        self._sweep.append(seat)

    def leave(self, seat: Timer) -> None:
        """Give the seat no more turns."""
        seat.swept = False
        self._moving.pop(seat, None)
        self._remove(seat)

    def due(self, after: int, until: int) -> list[Timer]:
        """Return the ring seats of the ticks in ``(after, until]``."""
        seats = [seat for ring in self._rings.values() for seat in ring.due(after, until)]
        for seat in seats:
            seat.swept = False
        if self._moving:
            self._place()
        return seats

    def swept(self, tick: int, in_flight: int) -> list[Timer]:
        """Return the seats that the sweep comes to at this tick."""
        seats: list[Timer] = []
        if self._sweep:
            share = -(-len(self._sweep) // max(1, self._sweep_end - tick))
            room = min(share, max(SWEEP_IN_FLIGHT - in_flight, SWEEP_TRICKLE))
            while self._sweep and len(seats) < room:
                seat = self._sweep.popleft()
                if seat.swept:
                    seat.swept = False
                    seats.append(seat)
        return seats

    def arm(self, timed: Timed, tick: int) -> None:
        """Set its deadline."""
        timed.deadline = tick
        waiting = self._deadlines.get(tick)
        if waiting is None:
            self._deadlines[tick] = [timed]
            heappush(self._deadline_ticks, tick)
        else:
            waiting.append(timed)

    def expired(self, until: int) -> list[Timed]:
        """Return those whose deadline has come, with none from now on."""
        expired: list[Timed] = []
        while self._deadline_ticks and self._deadline_ticks[0] <= until:
            tick = heappop(self._deadline_ticks)
            for timed in self._deadlines.pop(tick):
                if timed.deadline == tick:
                    timed.deadline = 0
                    expired.append(timed)
        return expired

    def following(self, tick: int) -> int | None:
        """Return the first tick after this one at which something may be due, ``None`` if nothing will ever be."""
        if self._sweep or self._moving:
            return tick + 1
        ticks = [ring.following(tick) for ring in self._rings.values()]
        if self._deadline_ticks:
            ticks.append(self._deadline_ticks[0])
        if not ticks:
            return None
        return -(-max(min(ticks), tick + 1) // self._grain) * self._grain

    def _ring(self, period: int) -> Wheel:
        return self._rings.setdefault(period, Wheel(period))

    def _place(self) -> None:
        for seat, (period, tick) in self._moving.items():
            self._ring(period).place(seat, tick)
        self._moving.clear()
        self._set_grain()

    def _remove(self, seat: Timer) -> None:
        if seat.ring is not None:
            ring = seat.ring
            ring.remove(seat)
            if not ring.count:
                del self._rings[ring.period]
            self._set_grain()

    def _set_grain(self) -> None:
        rate = sum(ring.count / ring.period for ring in self._rings.values()) / TICK
        self._grain = max(1, min(_COARSEST, round(_CHECKS_PER_WAKE / rate / TICK))) if rate else _COARSEST
