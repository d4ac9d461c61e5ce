"""Timed calls that do not wait behind other callbacks: heartbeats.

The event loop makes them between any two callbacks. They stop if one callback never ends, and go on while a thousand
callbacks wait their turn: a busy daemon sends heartbeats, a hung one does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import methodcaller

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pybal.runtime.activities import Activities

_time = methodcaller("getTime")


@implementer(IReactorTime)
class Lane:
    """A clock for a few short calls. ``due`` is the time of the next call, infinite without one."""

    def __init__(self, seconds: Callable[[], float], activities: Activities | None = None) -> None:
        self.seconds = seconds
        self.activities = activities
        self.due = math.inf
        self._calls: list[DelayedCall] = []

    def callLater(  # noqa: N802  # Twisted's name
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002  # likewise
        *args: object,
        **kwargs: object,
    ) -> IDelayedCall:
        call = DelayedCall(self.seconds() + delay, callable, args, kwargs, self._cancelled, self._moved, self.seconds)
        self._calls.append(call)
        self._find_next()
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:  # noqa: N802  # Twisted's name
        return tuple(self._calls)

    def take(self, now: float) -> DelayedCall | None:
        """Remove and return the next call that is due, ``None`` without one."""
        if now < self.due:
            return None
        call = min(self._calls, key=_time)
        self._calls.remove(call)
        self._find_next()
        call.called = 1
        return call

    def _cancelled(self, call: DelayedCall) -> None:
        self._calls.remove(call)
        self._find_next()

    def _moved(self, call: DelayedCall) -> None:
        call.activate_delay()
        self._find_next()

    def _find_next(self) -> None:
        self.due = min(map(_time, self._calls), default=math.inf)
