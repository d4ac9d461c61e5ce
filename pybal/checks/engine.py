"""The check engine: runs all checks on one descriptor and one delayed call of the reactor.

A private epoll object is the engine's only reader in the reactor, so a check adds no cost there: its socket is registered once,
edge-triggered, and unregistered by closing it. Any reactor works. :mod:`pybal.checks.slices` bounds the time for which it holds the
loop.

The engine detects its own faults. Local resource errors are counted by errno name, and the lateness of the loop is summed up in
``lost``: a check that failed while the loop was late is inconclusive, and so is a timeout while no server responds (see
:mod:`pybal.core.isolation`).
"""

from __future__ import annotations

import errno
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol
from weakref import WeakSet

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from pybal.checks.lateness import Lateness
from pybal.checks.network import Network
from pybal.checks.poller import Watcher
from pybal.checks.result import Result
from pybal.checks.semaphore import Semaphore
from pybal.checks.shares import Shares
from pybal.checks.slices import SLICE, Slices
from pybal.checks.wheel import TICK, Timed, Timer
from pybal.core.isolation import MIN_OUTAGE, Isolation
from pybal.core.model import Alert, SuspectSelf
from pybal.runtime.faults import Health
from pybal.runtime.spawner import Spawner

LATE = 0.1
"""Lateness of the loop in seconds above which it counts as lost time."""
FROZEN = 1.0
"""Lateness in seconds above which missed turns are spread over a second."""
HEARTBEAT_TICKS = 50
"""Ticks between wake-ups while checks are in flight; they measure the lateness of the loop."""
BUSY_TICKS = 10
"""Ticks from which the timers become due together while the engine has more work than fits in a slice."""

PROCESSES = 40
"""Concurrent commands, apart from the first one of each service; one service alone may run 32."""
FOLLOW_UPS = 4
"""Concurrent follow-up checks of failed servers, at most."""

_TICKS_PER_SECOND = round(1 / TICK)
_LOG_SECONDS = 60.0
_KERNEL = Network()


class Reactor(Protocol):
    """The part of a reactor that the engine uses."""

    def addReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name

    def removeReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name

    def callLater(  # noqa: N802  # Twisted's name
        self,
        delay: float,
        callable: Callable[[], None],  # noqa: A002  # likewise
    ) -> IDelayedCall: ...


class Alerting(Protocol):
    """A user of the engine that raises alerts for a service."""

    service: str

    def alerts(self, now: float) -> Iterable[Alert]: ...


@implementer(IReadDescriptor)
class Engine(Slices):
    """All checks of the daemon.

    ``seconds`` is a monotonic clock, the reactor's own if it has one. Sockets are those of ``network``.

    Counters since the start: ``checks`` completed (including inconclusive ones), ``inconclusive``, ``local_errors`` by errno name,
    ``lost`` seconds of lateness of the loop; ``lateness`` is its histogram. ``unanswered`` counts results without any response from
    a server; ``responded_at`` is the time of the last response. ``local_problems`` maps each local problem to the time of its last
    occurrence. Commands share the units of ``processes`` and are started by ``spawners``, the second of which leaves them
    CAP_NET_ADMIN; follow-up checks share the semaphore ``follow_ups``. ``alerting`` holds users with alerts.
    """

    def __init__(
        self, reactor: Reactor, seconds: Callable[[], float] = time.monotonic, network: Network = _KERNEL
    ) -> None:
        super().__init__(seconds, network)
        self._reactor = reactor
        self.checks = 0
        self.inconclusive = 0
        self.unanswered = 0
        self.responded_at = -math.inf
        self.isolation = Isolation(tuple, SuspectSelf.OFF, lambda _text: None)
        self.in_flight = 0
        self.lost = 0.0
        self.lateness = Lateness()
        self.local_errors: Counter[str] = Counter()
        self.local_problems: dict[str, float] = {}
        self.processes = Shares(PROCESSES)
        self.spawners = tuple(Spawner(keep_capabilities=keep) for keep in (False, True))
        self.follow_ups = Semaphore(FOLLOW_UPS)
        self.alerting: WeakSet[Alerting] = WeakSet()
        self._responses = 0
        self._isolation_timer: Timer | None = None
        self._logged: dict[str, float] = {}
        self._fileno = -1
        self._origin = self.now
        self._measured_at = self.now
        self._spent = 0.0
        self._health = Health("checks")
        self._call: IDelayedCall | None = None
        self._call_tick = 0
        self._waking = False

    def start(self) -> None:
        """Start to run checks; timers may be added before and after."""
        self._fileno = self._poller.open()
        self._reactor.addReader(self)
        self._schedule_wake()

    def stop(self) -> None:
        """Stop all timers and events. Stop the monitors first; remaining sockets are forgotten, not closed."""
        if not self._poller.is_open:
            return
        self._reactor.removeReader(self)
        self._poller.close()
        for spawner in self.spawners:
            spawner.close()
        for queue in (self._paused, self._due, self._settled, self._undelivered):
            queue.clear()
        self._next = 0
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def every(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call within a second and then at this interval, spread; late calls are not repeated."""
        timer = Timer(call)
        self._schedule.every(seconds, timer, self._tick_of(self.seconds()))
        self._schedule_wake()
        return timer

    def soon(self, call: Callable[[], None]) -> Timer:
        """Call once within a second, spread among all timers."""
        timer = Timer(call)
        self.again(timer)
        return timer

    def again(self, timer: Timer) -> None:
        """Call the timer one additional time within a second."""
        self._schedule.soon(timer, self._tick_of(self.seconds()))
        self._schedule_wake()

    def pace(self, timer: Timer, seconds: float) -> None:
        """Change the interval of a timer; its first call is one new interval from now."""
        self._schedule.pace(timer, seconds, self._tick_of(self.seconds()))
        self._schedule_wake()

    def next_call(self, timer: Timer) -> float:
        """Return the monotonic time of the next call of a timer, in seconds; ``inf`` if it has left."""
        tick = self._schedule.next_tick(timer, self._tick_of(self.seconds()))
        return math.inf if tick is None else self.time_of(tick)

    def time_of(self, tick: int) -> float:
        """Return the monotonic time of a tick, in seconds."""
        return self._origin + tick * TICK

    def leave(self, timer: Timer) -> None:
        """Remove a timer."""
        self._schedule.leave(timer)

    # -- for checks

    def arm(self, timed: Timed, seconds: float) -> None:
        """Set a deadline, never early. Call it only in a turn or an event, while ``now`` is current."""
        self._schedule.arm(timed, int((self.now - self._origin + seconds) * _TICKS_PER_SECOND) + 1)
        if not self._waking:
            self._schedule_wake()

    def hasten(self, timed: Timed, seconds: float) -> None:
        """Bring a deadline forward if it is later. May be called at any time."""
        tick = self._tick_of(self.seconds() + seconds) + 1
        if timed.deadline > tick:
            self._schedule.arm(timed, tick)
            if not self._waking:
                self._schedule_wake()

    def pause(self, watcher: Watcher) -> None:
        """Continue at the next tick, and ignore events until then: one descriptor may not use the whole turn."""
        self._paused[watcher] = self._tick
        self._schedule_wake()

    def local_error(self, number: int) -> str:
        """Count a local resource error and log it, at most once a minute. Return its name."""
        name = errno.errorcode.get(number, str(number))
        self.local_errors[name] += 1
        self.local_problems[name] = self.now
        if self.now >= self._logged.get(name, self.now):
            self._logged[name] = self.now + _LOG_SECONDS
            text = "Local resource error ({error}); ignoring check results until it clears"
            self._log.error(text, error=name, system="checks")
        return name

    def too_late(self, lost: float, timeout: float) -> bool:
        """Return whether a failure is ignored because the loop was late; note it as a local problem."""
        if lost <= max(FROZEN, timeout / 2):
            return False
        self.local_problems["a late event loop"] = self.now
        return True

    def excused(self, began: float) -> bool:
        """Return whether a timeout of a check that began then is inconclusive because no server responds."""
        isolation = self.isolation
        excused = isolation.ignores(began, self.responded_at, self.now, self._responded_at)
        if isolation.outage is not None and self._isolation_timer is None:
            self._isolation_timer = self.every(1.0, self._check_isolation)
        return excused

    def _check_isolation(self) -> None:
        self.isolation.update(self._responded_at(), self.now)
        if self.isolation.outage is None and self._isolation_timer is not None:
            self.leave(self._isolation_timer)
            self._isolation_timer = None

    def _responded_at(self) -> float:
        """Return the time of the last response of any server, including late connections."""
        quiet = self.now - self.responded_at
        if quiet >= MIN_OUTAGE:
            connected = max((getattr(one, "connected_at", 0.0) for one in self._poller.watchers.values()), default=0.0)
            if connected > self.responded_at + quiet / 2:
                self.responded_at = connected
        return self.responded_at

    # -- time

    @override
    def _tick_of(self, now: float) -> int:
        return int((now - self._origin) * _TICKS_PER_SECOND + 1e-6)

    def _schedule_wake(self, after: int | None = None) -> None:
        """Schedule the next wake-up for the first due tick after this one, by default the present."""
        if not self._poller.is_open or self._waking:
            return
        tick = self._tick_of(self.seconds())
        wanted = self._schedule.following(tick if after is None else after)
        if wanted is not None:
            wanted = max(wanted, tick + 1)
        if self._unfinished:
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
        self.now = began = self.seconds()
        # The next wake-up must be scheduled in any case, or no check is ever started again.
        try:
            self._advance(self._measure_lateness())
            self._work(began + SLICE)
        except Exception:  # noqa: BLE001  # a bug of one turn
            self._health.failed(Failure())
        else:
            self._health.succeeded()
        self._spent = self.now - began
        self._waking = False
        self._schedule_wake(self._advanced)  # a timer may have become due during the turn

    def _advance(self, late: float) -> None:
        """Advance to the present tick: its timers and those of the sweep become due.

        While work is left of earlier turns, they become due less often: most would find their check still running.
        """
        self._tick = self._tick_of(self.now)
        if self._unfinished and self._tick < self._advanced + BUSY_TICKS:
            return
        before, self._advanced = self._advanced, self._tick
        due = self._schedule.due(before, self._tick)
        if late > FROZEN:
            for timer in due:
                self._schedule.soon(timer, self._tick)
            due.clear()
        for timer in (*due, *self._schedule.swept(self._tick, self.in_flight)):
            if not timer.due:
                timer.due = True
                self._due.append(timer)

    def _measure_lateness(self) -> float:
        """Add the lateness of the loop to the counters, once per call."""
        lag = self.now - max(self._origin + self._call_tick * TICK, self._measured_at)
        self._measured_at = self.now
        self.lateness.note(lag)
        if lag > LATE:
            self.lost += lag
            self.responded_at += lag  # no response could be read while the loop was late
        if lag > FROZEN:
            self.local_problems["a frozen loop"] = self.now
        return lag

    # -- events

    def fileno(self) -> int:
        return self._fileno

    def logPrefix(self) -> str:  # noqa: N802  # Twisted's name
        return "checks"

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        """Do nothing: the reactor is shutting down."""

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        self.now = self.seconds()
        if self._call is not None and self.now > self._origin + self._call_tick * TICK + LATE:
            self._measure_lateness()
        # A turn of the same iteration of the reactor may have used a part of the slice, or all of it.
        spent, self._spent = self._spent, 0.0
        if spent < SLICE:
            # The reactor would stop to read after an exception.
            try:
                self._work(self.now + SLICE - spent)
            except Exception:  # noqa: BLE001  # a bug of one turn
                self._health.failed(Failure())
        if self._unfinished:
            self._schedule_wake()

    @override
    def _note_results(self, results: list[tuple[Watcher, Result]]) -> None:
        self.checks += len(results)
        responses = self.checks - self.inconclusive - self.unanswered
        if responses > self._responses:
            self._responses, before, self.responded_at = responses, self.responded_at, self.now
            if self.now - before >= MIN_OUTAGE:
                self.isolation.note_response(before, self.now)
