"""The event loop: a reactor with a measure of callbacks, a lane for heartbeats, fair iterations.

An iteration of Twisted's reactor makes all calls that are due and then serves all descriptors that are ready, however long
that takes. This loop goes from one group to the other after :data:`BUDGET` seconds; the rest of a group keeps its place.
Between two callbacks it makes the calls of the :class:`~pybal.runtime.lane.Lane` that are due.

The measure costs one reading of the clock per callback, and one of the CPU time in 5 ms.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.log import callWithLogger
from typing_extensions import override

from pybal.runtime.activities import Activities
from pybal.runtime.held import BOUNDS, Held
from pybal.runtime.lane import Lane

BUDGET = 0.02
"""Seconds after which due calls let descriptors in, and descriptors due calls."""

ACCEPTS = 16
"""Most connections that a listening socket accepts in one callback; the others wait for the next."""

_NOTED = BOUNDS[0]
_LONGEST = 86400.0
"""Seconds to wait at most; epoll counts milliseconds in 31 bits."""
_REFRESH = 0.005
"""Seconds after which the CPU time is read again: a long callback is not charged for earlier ones."""


class _Connector(tcp.Connector):
    """Connects once, and forgets its factory and connection at the end.

    Those of Twisted keep each other, and such a cycle may stay for hours (:mod:`pybal.runtime.heap`).
    """

    @override
    def connectionFailed(self, reason: Failure) -> None:
        super().connectionFailed(reason)
        del self.factory

    @override
    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        del self.factory, self.transport


class _FewAccepts:
    """A listening socket that accepts :data:`ACCEPTS` connections in one callback.

    Those of Twisted accept 100, and 20 more after each callback that accepted all it could.
    """

    numberAccepts: int  # noqa: N815  # Twisted's name

    def doRead(self) -> None:  # noqa: N802  # likewise
        self.numberAccepts = min(self.numberAccepts, ACCEPTS)
        super().doRead()  # type: ignore[misc]  # of Twisted's port


class TCPPort(_FewAccepts, tcp.Port):
    """A listening TCP socket; records of held callbacks show this name."""


class UNIXPort(_FewAccepts, unix.Port):
    """A listening UNIX socket, likewise."""


class Loop(EPollReactor):
    """The reactor of the daemon.

    ``held`` records the callbacks, ``activities`` has the periodic ones, ``lane`` is the clock of heartbeats. ``began`` is the time at which the present callback
    began, infinite while the loop is idle.
    """

    _logger = Logger()

    # Not the wall clock: if it were set back, every periodic call would stop.
    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.held = Held()
        self.activities = Activities()
        self.lane = Lane(time.monotonic, self.activities)
        self.began = math.inf
        self._woke = self._cpu = 0.0
        self._attention = self._unread = 0.0
        self._ready: deque[tuple[Any, int, int]] = deque()
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's

    @override
    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,
    ) -> tcp.Connector:
        connector = _Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    @override
    def listenUNIX(
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> unix.Port:
        port = UNIXPort(os.fsencode(address), factory, backlog, mode, self, wantPID)
        port.startListening()  # type: ignore[no-untyped-call]  # Twisted's
        return port

    @override
    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> tcp.Port:
        descriptor, family = fileDescriptor, addressFamily
        port: tcp.Port = TCPPort._fromListeningDescriptor(self, descriptor, family, factory)  # type: ignore[no-untyped-call]  # noqa: SLF001  # as Twisted
        port.startListening()
        return port

    @override
    def runUntilCurrent(self) -> None:
        if self.began == math.inf:  # the first iteration
            self._wake()
        if self.lane.due <= self.began:  # the loop was idle until now
            self.began = self._attend(None, self.began)
        end = self.began + BUDGET
        if self.threadCallQueue:
            self._make_thread_calls(end)
        self._make_due_calls(end)
        if self._justStopped:
            self._justStopped = False
            self.fireSystemEvent("shutdown")

    @override
    def timeout(self) -> float | None:
        if self._ready:
            return 0.0
        if self._newTimedCalls:
            self._insertNewDelayedCalls()
        due = self.lane.due
        if self._pendingTimedCalls and self._pendingTimedCalls[0].time < due:
            due = self._pendingTimedCalls[0].time
        if due == math.inf:
            return None
        wait = due - time.monotonic()
        return 0.0 if wait < 0.0 else min(wait, _LONGEST)

    @override
    def doPoll(self, timeout: float | None) -> None:
        ready, selectables = self._ready, self._selectables
        if not ready:
            self._sleep()
            events = self._poller.poll(-1 if timeout is None else timeout, len(selectables))
            self._wake()
            if not events:
                return
            ready.extend([(selectables[fd], fd, event) for fd, event in events if fd in selectables])
        end, before = self.began + BUDGET, len(ready)
        while ready:
            selectable, fd, event = ready.popleft()
            # A callback may have closed the descriptor, and another object may have its number.
            if selectables.get(fd) is selectable:
                callWithLogger(selectable, self._doReadOrWrite, selectable, fd, event)
                if self._turned(selectable) > end:
                    break
        self.held.turns += before - len(ready)

    doIteration = doPoll  # noqa: N815  # Twisted's name

    def _make_thread_calls(self, end: float) -> None:
        calls, made = self.threadCallQueue, 0
        present = len(calls)
        while made < present:
            call, args, kwargs = calls[made]
            made += 1
            self._make(call, args, kwargs)
            if self._turned(call) > end:
                break
        del calls[:made]
        self.held.turns += made
        if calls:
            self.wakeUp()

    def _make_due_calls(self, end: float) -> None:
        if self._newTimedCalls:
            self._insertNewDelayedCalls()
        now, activities = self.began, self.activities
        while self._pendingTimedCalls and self._pendingTimedCalls[0].time <= now:
            call = heappop(self._pendingTimedCalls)
            if call.cancelled:
                self._cancellations -= 1
            elif call.delayed_time > 0.0:
                call.activate_delay()
                heappush(self._pendingTimedCalls, call)
            else:
                call.called = 1
                activities.reached = call.time
                self._make(call.func, call.args, call.kw)
                self.held.turns += 1
                if self._turned(call.func) > end:
                    break
        else:
            activities.reached = now
        if self._cancellations > 50 and self._cancellations > len(self._pendingTimedCalls) >> 1:  # noqa: PLR2004  # as Twisted
            self._cancellations = 0
            self._pendingTimedCalls = [call for call in self._pendingTimedCalls if not call.cancelled]
            heapify(self._pendingTimedCalls)

    def _make(self, call: Callable[..., object], args: Any, kwargs: Any) -> None:  # noqa: ANN401  # of any call
        try:
            call(*args, **kwargs)
        except BaseException:  # noqa: BLE001  # a bug of one call must not end the loop; Twisted's reactors do the same
            self._logger.failure("Unexpected error in a call of the event loop")

    # -- the measure

    def _wake(self) -> None:
        # CPU time stands still while the loop is idle: what was read before is still right.
        self.began = self._woke = now = time.monotonic()
        self._attention = attention = now + self._unread
        if self.lane.due < attention:
            self._attention = self.lane.due

    def _sleep(self) -> None:
        now = time.monotonic()
        self.held.seconds += now - self._woke
        self._unread = self._attention - now
        self.began = math.inf

    def _turned(self, call: object) -> float:
        """Measure the callback that has just ended, serve the lane, and return the time."""
        now = time.monotonic()
        if now - self.began > _NOTED or now > self._attention:
            now = self._attend(call, now)
        self.began = now
        return now

    def _attend(self, call: object, now: float) -> float:
        cpu = time.thread_time()
        if now - self.began > _NOTED:
            self.held.note(call, now, now - self.began, cpu - self._cpu)
        self._cpu = cpu
        while (urgent := self.lane.take(now)) is not None:
            began = now
            self._make(urgent.func, urgent.args, urgent.kw)
            self.held.turns += 1
            now, self._cpu = time.monotonic(), time.thread_time()
            if now - began > _NOTED:
                self.held.note(urgent.func, now, now - began, self._cpu - cpu)
            cpu = self._cpu
        self._attention = min(self.lane.due, now + _REFRESH)
        return now


def install() -> Loop:
    """Install the event loop as the reactor of this process, unless it is installed already."""
    reactor: object = sys.modules.get("twisted.internet.reactor")
    if isinstance(reactor, Loop):
        return reactor
    loop = Loop()
    installReactor(loop)
    return loop
