"""The check engine: runs all checks of the daemon on one descriptor and one delayed call of the reactor.

A private epoll object is the engine's only reader in the reactor, so a check costs the reactor nothing: its socket is
registered there once, edge-triggered, and goes by being closed. Any reactor will do. Results are handed out after the
batch of events in which they came about, never within: a socket opened within it could get the descriptor of an event
further down the same batch.

The engine also knows when not to be believed. What local resources refuse is counted by the name of the errno, and
all time by which the loop came too late is added up in ``lost``: a check that failed while much was lost proves
nothing. Nor does one that heard nothing while nobody at all was heard: see :mod:`pybal.core.isolation`.
"""

from __future__ import annotations

import errno
import math
import select
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.checks.lateness import Lateness
from pybal.checks.result import Result
from pybal.checks.semaphore import Semaphore
from pybal.checks.wheel import TICK, Schedule, Timed, Timer
from pybal.core.isolation import MIN_OUTAGE, Isolation
from pybal.core.model import SuspectSelf

LATE = 0.1
"""Seconds by which the loop may be late before that counts as lost time."""
SLICE = 0.1
"""Seconds after which a burst is left for the next turns: others are to have theirs, BGP's heartbeats among them."""
FROZEN = 1.0
"""Seconds after which missed turns are no longer made up for at once, but spread over a second."""
HEARTBEAT_TICKS = 50
"""While checks are in flight the loop is looked at so often, or its lateness would go unnoticed."""

EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP

PROCESSES = 32
"""How many commands may run at once."""
FOLLOW_UPS = 4
"""How many servers may be looked into at once, to learn more of why they failed."""

_BATCH = 256
_ROUNDS = 4
"""How often more events are asked for before the reactor has its turn: it costs more than many of them."""
_TICKS_PER_SECOND = round(1 / TICK)
_COMPLAIN_SECONDS = 60.0


class Reactor(Protocol):
    """What the engine needs of a reactor."""

    def addReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name

    def removeReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name

    def callLater(  # noqa: N802  # Twisted's name
        self,
        delay: float,
        callable: Callable[[], None],  # noqa: A002  # likewise
    ) -> IDelayedCall: ...


class Watcher(Timed, Protocol):
    """What the engine tells of events: a check."""

    event: Callable[[int], None]
    """Takes the event mask of its descriptor."""

    def settle(self, result: Result) -> None:
        """Tell its owner."""

    def broke(self, error: Exception) -> None:
        """Deal with what :attr:`event` should have dealt with."""


@implementer(IReadDescriptor)
class Engine:
    """All checks of the daemon. ``seconds`` is a monotonic clock, the reactor's own if it has such.

    Counters since the start: ``checks`` made (inconclusive ones included), ``inconclusive``, ``local_errors`` by the
    name of the errno, ``lost`` seconds by which the loop came too late; ``lateness`` counts how late it comes.
    ``unheard`` are results in which nothing came from a server; ``heard_at`` is when something last did.
    ``sick`` tells when each trouble of our own was last met: results obtained in it are inconclusive. ``processes`` are the places for commands and ``follow_ups`` those for diagnoses, shared by all services.
    """

    _log = Logger()

    def __init__(self, reactor: Reactor, seconds: Callable[[], float] = time.monotonic) -> None:
        self._reactor = reactor
        self.seconds = seconds
        self.now = seconds()
        self.checks = 0
        self.inconclusive = 0
        self.unheard = 0
        self.heard_at = -math.inf
        self.isolation = Isolation(tuple, SuspectSelf.OFF, lambda _text: None)
        self.in_flight = 0
        self.lost = 0.0
        self.lateness = Lateness()
        self.local_errors: Counter[str] = Counter()
        self.sick: dict[str, float] = {}
        self.processes = Semaphore(PROCESSES)
        self.follow_ups = Semaphore(FOLLOW_UPS)
        self._answers = 0
        self._listener: Timer | None = None
        self._complained: dict[str, float] = {}
        self._epoll: select.epoll | None = None
        self._fileno = -1
        self._watchers: dict[int, Watcher] = {}
        self._settled: list[tuple[Watcher, Result]] = []
        self._untold: deque[tuple[Watcher, Result]] = deque()
        self._paused: list[Watcher] = []
        self._schedule = Schedule()
        self._origin = self.now
        self._tick = 0
        self._noted = self.now
        self._late = 0.0
        self._call: IDelayedCall | None = None
        self._call_tick = 0
        self._waking = False

    def start(self) -> None:
        """Begin to run checks; seats may be taken before and after."""
        self._epoll = select.epoll()
        self._fileno = self._epoll.fileno()
        self._reactor.addReader(self)
        self._arrange()

    def stop(self) -> None:
        """Run nothing any more. Monitors are to be stopped before; what they left is forgotten, not closed."""
        if self._epoll is None:
            return
        self._reactor.removeReader(self)
        self._epoll.close()
        self._epoll = None
        self._watchers.clear()
        self._settled.clear()
        self._untold.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call within a second, and then at that interval, spread among all others. Late calls are never doubled."""
        seat = Timer(call)
        self._schedule.every(seconds, seat, self._tick_of(self.seconds()))
        self._arrange()
        return seat

    def soon(self, call: Callable[[], None]) -> Timer:
        """Call once within a second, spread among all others."""
        seat = Timer(call)
        self.again(seat)
        return seat

    def again(self, seat: Timer) -> None:
        """Call the seat's call once more within a second."""
        self._schedule.soon(seat, self._tick_of(self.seconds()))
        self._arrange()

    def pace(self, seat: Timer, seconds: float) -> None:
        """Call it at another interval, for the first time when one has passed. Nothing happens if it is the same."""
        self._schedule.pace(seat, seconds, self._tick_of(self.seconds()))
        self._arrange()

    def leave(self, seat: Timer) -> None:
        """Call it no more."""
        self._schedule.leave(seat)

    # -- for checks

    def watch(self, watcher: Watcher, fileno: int, events: int = EVENTS) -> None:
        """Tell the watcher of events, edge-triggered, until its descriptor is forgotten."""
        if self._epoll is None:
            raise RuntimeError("a check before the engine was started, or after it was stopped")
        self._epoll.register(fileno, events | select.EPOLLET)
        self._watchers[fileno] = watcher

    def forget(self, fileno: int) -> None:
        """Know no more of a descriptor that is about to be closed."""
        self._watchers.pop(fileno, None)

    def arm(self, timed: Timed, seconds: float) -> None:
        """Set a deadline, never early. Only from within a turn or an event, when ``now`` is now."""
        self._schedule.arm(timed, int((self.now - self._origin + seconds) * _TICKS_PER_SECOND) + 1)
        if not self._waking:
            self._arrange()

    def hasten(self, timed: Timed, seconds: float) -> None:
        """Bring a deadline forward if it is further away. May be called at any time."""
        tick = self._tick_of(self.seconds() + seconds) + 1
        if timed.deadline > tick:
            self._schedule.arm(timed, tick)
            if not self._waking:
                self._arrange()

    def pause(self, watcher: Watcher) -> None:
        """Make it an event of its own at the next tick: there is more to read than is fair in one go."""
        self._paused.append(watcher)
        self._arrange()

    def settle(self, watcher: Watcher, result: Result) -> None:
        """Have the result told after the batch."""
        self._settled.append((watcher, result))

    def local_error(self, number: int) -> str:
        """Count an error that says something of us, and log it, but not often. Return its text."""
        name = errno.errorcode.get(number, str(number))
        self.local_errors[name] += 1
        self.sick[name] = self.now
        if self.now >= self._complained.get(name, self.now):
            self._complained[name] = self.now + _COMPLAIN_SECONDS
            self._log.error("Checks meet local trouble, their results are void: {error}", error=name, system="checks")
        return name

    def excused(self, began: float) -> bool:
        """Return whether a check that began then, and heard nothing, proves nothing: nobody at all is heard."""
        isolation = self.isolation
        excused = isolation.ignores(began, self.heard_at, self.now, self._heard_at)
        if isolation.outage is not None and self._listener is None:
            self._listener = self.every(1.0, self._listen)
        return excused

    def _listen(self) -> None:
        self.isolation.update(self._heard_at(), self.now)
        if self.isolation.outage is None and self._listener is not None:
            self.leave(self._listener)
            self._listener = None

    def _heard_at(self) -> float:
        """Return when anybody was heard last; a connection that came about late in a silence is something heard."""
        quiet = self.now - self.heard_at
        if quiet >= MIN_OUTAGE:
            connected = max((getattr(one, "connected_at", 0.0) for one in self._watchers.values()), default=0.0)
            if connected > self.heard_at + quiet / 2:
                self.heard_at = connected
        return self.heard_at

    # -- time

    def _tick_of(self, now: float) -> int:
        return int((now - self._origin) * _TICKS_PER_SECOND + 1e-6)

    def _arrange(self) -> None:
        """See to it that the reactor calls when something is due."""
        if self._epoll is None or self._waking:
            return
        tick = self._tick_of(self.seconds())
        wanted = self._schedule.following(tick)
        if self._late or self._untold:
            wanted = tick
        elif self._paused:
            wanted = tick + 1
        elif self.in_flight and (wanted is None or wanted > tick + HEARTBEAT_TICKS):
            wanted = tick + HEARTBEAT_TICKS
        if wanted is None or (self._call is not None and self._call_tick <= wanted):
            return
        if self._call is not None:
            self._call.cancel()
        self._call_tick = wanted
        self._call = self._reactor.callLater(max(0.0, self._origin + wanted * TICK - self.seconds()), self._wake)

    def _wake(self) -> None:
        self._call = None
        self._waking = True
        self.now = self.seconds()
        late = self._note_lag()
        if late > LATE:
            self._late = max(self._late, late)
        # What has arrived meanwhile must count before deadlines do.
        if not self._late or self._poll_all():
            self._turn(self._late)
            self._late = 0.0
        self._waking = False
        self._arrange()

    def _turn(self, late: float) -> None:
        """Do what is due."""
        before, self._tick = self._tick, self._tick_of(self.now)
        due = self._schedule.due(before, self._tick)
        end = self.now + SLICE if late <= FROZEN else self.now
        for seat in due:
            if self.seconds() < end:
                self._call_each([seat.call])
            else:
                self._schedule.soon(seat, self._tick)
        self._call_each([seat.call for seat in self._schedule.swept(self._tick, self.in_flight)])
        self._poll()  # what has answered already needs no waking up of its own
        self._call_each([timed.expire for timed in self._schedule.expired(self._tick)])
        paused, self._paused = self._paused, []
        self._deliver((watcher, select.EPOLLIN) for watcher in paused)
        self._attend()

    def _call_each(self, calls: Iterable[Callable[[], None]]) -> None:
        for call in calls:
            try:
                call()
            except Exception:  # noqa: BLE001  # one monitor's bug is not another's
                self._log.failure("Unexpected error in a check", system="checks")

    def _note_lag(self) -> float:
        """Add up how late the loop is against its next call, once."""
        lag = self.now - max(self._origin + self._call_tick * TICK, self._noted)
        self._noted = self.now
        self.lateness.note(lag)
        if lag > LATE:
            self.lost += lag
            self.heard_at += lag  # nobody was to be heard meanwhile
        if lag > FROZEN:
            self.sick["a frozen loop"] = self.now
        return lag

    # -- events

    def fileno(self) -> int:
        return self._fileno

    def logPrefix(self) -> str:  # noqa: N802  # Twisted's name
        return "checks"

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        """Nothing to do: the reactor is going away."""

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        self.now = self.seconds()
        if self._call is not None and self.now > self._origin + self._call_tick * TICK + LATE:
            self._note_lag()
        self._attend()

    def _attend(self) -> None:
        """Deal with what has happened, and with what happens meanwhile."""
        end = self.seconds() + SLICE
        for _ in range(_ROUNDS):
            found = self._poll()
            self._hand_out(end)
            if not found or self._untold:
                return

    def _poll(self) -> int:
        if self._epoll is None:
            return 0
        events = self._epoll.poll(0, _BATCH)
        self.now = self.seconds()
        watcher_of = self._watchers.get
        self._deliver((watcher_of(fileno), mask) for fileno, mask in events)
        return len(events)

    def _poll_all(self) -> bool:
        """Take what has arrived, for a while; return whether that is all of it."""
        end = self.now + SLICE
        while (found := self._poll()) == _BATCH and self.seconds() < end:
            pass
        self._hand_out(end)
        return found < _BATCH

    def _deliver(self, events: Iterable[tuple[Watcher | None, int]]) -> None:
        for watcher, mask in events:
            if watcher is not None:
                try:
                    watcher.event(mask)
                except Exception as error:  # noqa: BLE001  # nothing ends a monitor
                    self._log.failure("Unexpected error in a check", system="checks")
                    watcher.broke(error)

    def _hand_out(self, end: float) -> None:
        """Tell owners of results, until that time."""
        self._count()
        while self._untold and self.seconds() < end:
            watcher, result = self._untold.popleft()
            try:
                watcher.settle(result)
            except Exception:  # noqa: BLE001  # one owner's bug is not another's
                self._log.failure("Unexpected error in what was told of a check", system="checks")
            self._count()
        if self._untold:
            self._arrange()

    def _count(self) -> None:
        """Take note of new results."""
        if not self._settled:
            return
        settled, self._settled = self._settled, []
        self._untold += settled
        self.checks += len(settled)
        answers = self.checks - self.inconclusive - self.unheard
        if answers > self._answers:
            self._answers, before, self.heard_at = answers, self.heard_at, self.now
            if self.now - before >= MIN_OUTAGE:
                self.isolation.note_response(before, self.now)
