"""Slices of the work of the check engine: the loop is never held for long.

All calls of the engine within one iteration of the reactor share one slice of :data:`SLICE` seconds. The work has five steps with
a queue each:

    events ──▶ paused checks ──▶ deadlines ──▶ timers ──▶ results ──▶ events …

If the slice ends within a step, the rest of its queue waits, and the next turn begins with the step after it: each step proceeds
within five turns, however much work another one has, and other readers and timers of the reactor run in between.

* A check with more data than fits in an event pauses: it ignores events until the next tick.
* Deadlines expire only up to the time until which all events were handled: a response that arrived in time counts.
* Results are delivered in their own step, never within an event.
* While work is left of earlier turns, timers become due at most every 0.1 s, so that few find their check still running.
"""

from __future__ import annotations

import select
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

from twisted.logger import Logger

from pybal.checks.network import Network
from pybal.checks.poller import Poller, Watcher
from pybal.checks.result import Result
from pybal.checks.wheel import Schedule, Timer

SLICE = 0.02
"""Seconds of work in one iteration of the reactor."""
EVENT = 0.004
"""Seconds of work in one event, after which a check with more data pauses."""

_ROUNDS = 4
"""Polls for more events before control returns to the reactor, whose turn costs more than many events."""
_TIMERS = 32
"""Timers called between two polls, so that a socket is closed while it is in the caches of the CPU."""


class LongestEvent(NamedTuple):
    """The longest call within a turn, in seconds, and its name for people."""

    seconds: float
    name: str


class Slices:
    """The queues of the engine. ``now`` is the time of the present event, ``_tick`` the tick of the turn.

    The timers up to the tick ``_advanced`` have become due.
    """

    _log = Logger()

    def __init__(self, seconds: Callable[[], float], network: Network) -> None:
        self.seconds = seconds
        self.now = seconds()
        self._tick = self._advanced = 0
        self._poller = Poller(network.epoll)
        self.socket = network.socket
        self.watch = self._poller.watch
        self._schedule = Schedule()
        self._paused: OrderedDict[Watcher, int] = OrderedDict()
        self._due: deque[Timer] = deque()
        self._settled: list[tuple[Watcher, Result]] = []
        self._undelivered: deque[tuple[Watcher, Result]] = deque()
        self._steps = (self._handle_events, self._resume, self._expire, self._call_timers, self._deliver)
        self._next = 0
        self._longest = 0.0
        self._longest_of: Watcher | Timer | None = None

    # -- for checks

    def forget(self, fileno: int) -> None:
        """Forget a descriptor before it is closed."""
        watcher = self._poller.watchers.pop(fileno, None)
        if self._paused and watcher is not None:
            self._paused.pop(watcher, None)

    def settle(self, watcher: Watcher, result: Result) -> None:
        """Deliver the result after the events of the turn."""
        self._settled.append((watcher, result))

    @property
    def watched(self) -> int:
        """The number of descriptors that are watched."""
        return len(self._poller.watchers)

    @property
    def paused(self) -> int:
        """The number of checks that continue at the next tick."""
        return len(self._paused)

    @property
    def longest_event(self) -> LongestEvent:
        """The longest event, timer or delivery of the last turn."""
        of = self._longest_of
        if isinstance(of, Timer):
            return LongestEvent(self._longest, f"timer {getattr(of.call, '__qualname__', '')}")
        return LongestEvent(self._longest, f"check {of.name}" if of else "")

    @property
    def occupation(self) -> str:
        """The longest event of the last turn, for the name of a callback that held the event loop."""
        return self.longest_event.name

    # -- for the engine

    @property
    def _unfinished(self) -> bool:
        """True if work is left for an immediate further turn."""
        return bool(self._undelivered or self._due or self._poller.events or self._next)

    def _tick_of(self, now: float) -> int:
        """Return the tick of a time."""
        raise NotImplementedError

    def _note_results(self, results: list[tuple[Watcher, Result]]) -> None:
        """Count new results."""
        raise NotImplementedError

    def _work(self, end: float) -> None:
        """Work until nothing is left or the slice ends."""
        self._longest, self._longest_of = 0.0, None
        for _ in range(_ROUNDS):
            called = bool(self._due)  # connections that they open may be established by the next poll
            found = self._poller.poll(self.now)
            self.now = self.seconds()
            for step in self._steps[self._next :]:
                self._next = (self._next + 1) % len(self._steps)
                if not step(end):
                    return
            if not found and not called:
                return

    def _record(self, began: float, of: Watcher | Timer) -> float:
        """Set and return the time after a call, and remember the longest one of the turn."""
        self.now = now = self.seconds()
        if now - began > self._longest:
            self._longest, self._longest_of = now - began, of
        return now

    # -- the steps; each returns False if the slice ends before its queue does

    def _handle_events(self, end: float) -> bool:
        events, watchers, reused = self._poller.events, self._poller.watchers, self._poller.registered
        paused, began, seconds, longest = self._paused, self.now, self.seconds, self._longest
        while events:
            if began >= end:
                return False
            fileno, mask = events.pop()
            watcher = watchers.get(fileno)
            if watcher is None or watcher in paused or fileno in reused:
                continue
            try:
                watcher.event(mask)
            except Exception as error:  # noqa: BLE001  # an exception must never end a monitor
                self._broke(watcher, error)
            self.now = now = seconds()
            if now - began > longest:
                longest = self._longest = now - began
                self._longest_of = watcher
            began = now
        return True

    def _resume(self, end: float) -> bool:
        """Let paused checks continue, those of earlier ticks."""
        paused = self._paused
        while paused and next(iter(paused.values())) < self._tick:
            began = self.now
            if began >= end:
                return False
            watcher, _ = paused.popitem(last=False)
            try:
                watcher.event(select.EPOLLIN)
            except Exception as error:  # noqa: BLE001  # likewise
                self._broke(watcher, error)
            self._record(began, watcher)
        return True

    def _expire(self, end: float) -> bool:
        schedule, until = self._schedule, min(self._tick, self._tick_of(self._poller.complete_at))
        while (timed := schedule.expired(until)) is not None:
            self._attempt(timed.expire)
            self.now = self.seconds()
            if self.now >= end:
                return False
        return True

    def _call_timers(self, end: float) -> bool:
        due, began, seconds, longest = self._due, self.now, self.seconds, self._longest
        for _ in range(min(len(due), _TIMERS)):
            if began >= end:
                return False
            timer = due.popleft()
            if timer.due:
                timer.due = False
                try:
                    timer.call()
                except Exception:  # noqa: BLE001  # a bug of one monitor must not affect others
                    self._log.failure("Unexpected error in a check", system="checks")
                # As _record, without its call: at high rates most timers find their check still running.
                self.now = now = seconds()
                if now - began > longest:
                    longest = self._longest = now - began
                    self._longest_of = timer
                began = now
        return True

    def _deliver(self, end: float) -> bool:
        self._count()
        undelivered, began, seconds, longest = self._undelivered, self.now, self.seconds, self._longest
        while undelivered:
            if began >= end:
                return False
            watcher, result = undelivered.popleft()
            try:
                watcher.settle(result)
            except Exception:  # noqa: BLE001  # a bug of one owner must not affect others
                self._log.failure("Unexpected error in the handler of a result", system="checks")
            self.now = now = seconds()  # as in _record
            if now - began > longest:
                longest = self._longest = now - began
                self._longest_of = watcher
            began = now
            if self._settled:
                self._count()
        return True

    def _count(self) -> None:
        if self._settled:
            settled, self._settled = self._settled, []
            self._undelivered += settled
            self._note_results(settled)

    def _broke(self, watcher: Watcher, error: Exception) -> None:
        self._log.failure("Unexpected error in a check", system="checks")
        watcher.broke(error)

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001  # a bug of one monitor must not affect others
            self._log.failure("Unexpected error in a check", system="checks")
