"""The time for which callbacks held the event loop: a histogram, the longest ones, and an alarm.

While a callback runs, no other part of the daemon does. Its wall time is what the others waited; its CPU time shows whether
PyBal computed, or the process waited for the system: a slow system call, an overloaded or paused host.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import attrgetter

from twisted.logger import Logger

from pybal.runtime.activity import Activity

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the histogram, in seconds."""

LOGGED = 0.05
"""Seconds from which a hold is logged: the limit that the design sets for every callback."""

ALERT = 0.5
"""Seconds from which a hold raises an alert."""

QUIET = 60.0
"""Seconds without such a hold after which the alert clears."""

KEPT = 10

_wall = attrgetter("wall")


@dataclass(frozen=True, slots=True)
class Hold:
    """One long callback: its end in monotonic time, its duration in seconds of wall and CPU time."""

    at: float
    call: str
    wall: float
    cpu: float

    @property
    def cause(self) -> str:
        """The cause, as far as wall and CPU time show it."""
        if self.cpu > self.wall / 2:
            return f"{self.cpu:.2f} s of CPU: PyBal computed"
        return f"{self.cpu:.2f} s of CPU: the host was overloaded or paused, or a system call was slow"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Holds that raise an alert, less than :data:`QUIET` seconds apart.

    ``since`` is the time of the first, ``last`` that of the last one.
    """

    count: int
    since: float
    last: float
    longest: Hold


class Held:
    """Records the callbacks of an event loop.

    ``turns`` counts the callbacks, ``seconds`` is the time in which the loop was not idle. ``observe`` is called with each
    callback that is noted.
    """

    _log = Logger()

    def __init__(self) -> None:
        self.turns = 0
        self.seconds = 0.0
        self.observe: Callable[[Hold], None] = lambda _hold: None
        self._slow = [0] * (len(BOUNDS) + 1)
        self._longest: list[Hold] = []
        self._alarm: Alarm | None = None

    def note(self, call: object, at: float, wall: float, cpu: float) -> None:
        """Record a callback of at least the first of :data:`BOUNDS`, or a longer one."""
        self._slow[bisect_left(BOUNDS, wall)] += 1
        hold = Hold(at, name_of(call), wall, min(cpu, wall))
        if len(self._longest) < KEPT or wall > self._longest[-1].wall:
            self._longest = sorted([*self._longest, hold], key=_wall, reverse=True)[:KEPT]
        if wall >= ALERT:
            self._alarm = _raised(self.alarm(at), hold)
        if wall >= LOGGED:
            text = "event loop held for {wall:.0f} ms by {call} ({cpu:.0f} ms of CPU)"
            self._log.debug(text, wall=wall * 1e3, call=hold.call, cpu=hold.cpu * 1e3, system="loop")
        self.observe(hold)

    def buckets(self) -> list[tuple[float, int]]:
        """Return the number of callbacks up to each of :data:`BOUNDS`, cumulative."""
        short = self.turns - sum(self._slow)
        return list(zip(BOUNDS, accumulate([short + self._slow[0], *self._slow[1:-1]]), strict=True))

    def longest(self) -> Sequence[Hold]:
        """Return the longest callbacks since the start, the longest first."""
        return self._longest

    def alarm(self, now: float) -> Alarm | None:
        """Return the present alarm, ``None`` without one."""
        return self._alarm if self._alarm and now - self._alarm.last < QUIET else None


def _raised(alarm: Alarm | None, hold: Hold) -> Alarm:
    if alarm is None:
        return Alarm(1, hold.at, hold.at, hold)
    return Alarm(alarm.count + 1, alarm.since, hold.at, max(alarm.longest, hold, key=_wall))


def name_of(call: object) -> str:
    """Return the name of a callback, or of a reader and its protocol, with the name of its owner if any."""
    while isinstance(call, partial):
        call = call.func
    owner = getattr(call, "__self__", None)
    if isinstance(owner, Activity):
        return name_of(owner.call)
    if not hasattr(call, "__qualname__"):  # a reader or a writer, or an object that is called
        protocol = getattr(call, "protocol", None)
        parts = [type(each).__qualname__ for each in (call, protocol) if each is not None]
        return " ".join([*parts, *_detail(call)])
    return " ".join([call.__qualname__.replace("<locals>.", ""), *_detail(owner)])


def _detail(owner: object) -> list[str]:
    """Return the name of an object, and what it was occupied with, if it can tell."""
    texts = (getattr(owner, "name", None), getattr(owner, "occupation", None))
    return [text for text in texts if isinstance(text, str) and text]
