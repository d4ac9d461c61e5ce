"""Periodic activities: the one place through which every repeated call of the daemon runs.

An unexpected exception never ends an activity. It is logged with its traceback, once per text, is an alert until the activity works
again (:mod:`pybal.runtime.faults`), and the activity goes on: at its interval, or without one after a back-off::

    beat = Activity("heartbeat", self._beat, clock, interval=0.5)   # every 0.5 s, until stop()
    beat.start()

    flush = Activity("write IPVS", self._flush, clock)              # once per wake(), and again after an exception
    flush.wake()

A call that is not made when it is due, or whose Deferred does not fire, is an alert too (:mod:`pybal.runtime.activities`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pybal.runtime.activities import Activities
from pybal.runtime.backoff import Backoff
from pybal.runtime.faults import Health

RETRY_SECONDS = (1.0, 60.0)
"""The first and the longest pause after an exception of an activity without an interval."""
LATE_SECONDS = 30.0
"""Seconds after which a call that is due and was not made is an alert."""
HUNG_SECONDS = 60.0
"""Seconds after which a call without a result is an alert."""
_ROUNDING = 1e-6

Pause = float | Deferred[Any] | None
"""Seconds until the next call, or a Deferred of them; ``None`` leaves it to the interval."""


class Activity:
    """Makes ``call`` every ``interval`` seconds, or without an interval once after each :meth:`wake`.

    The call returns a :data:`Pause`. It is never made again before the Deferred that it returned fires. Calls for which the loop was
    late are left out. ``interval`` may be set at any time and counts from the next call on.
    """

    def __init__(
        self, name: str, call: Callable[[], Pause], clock: IReactorTime, *, interval: float | None = None
    ) -> None:
        self.name = name
        self.interval = interval
        self.call = call
        self._health = Health(name)
        self._clock = clock
        self._backoff = Backoff(*RETRY_SECONDS, factor=2.0)
        self._origin = clock.seconds()
        self._next: IDelayedCall | None = None
        self._waiting: Deferred[Any] | None = None
        self._woken = False
        self._active = False
        self._due = self._began = self._origin
        activities = getattr(clock, "activities", None)
        if isinstance(activities, Activities):
            activities.add(self)

    @property
    def running(self) -> bool:
        """True if a call is scheduled or in progress."""
        return self._active and (self._waiting is not None or self._next is not None)

    def start(self, *, now: bool = False) -> None:
        """Make the first call after one interval, or with ``now`` immediately, within this method."""
        self._origin = self._clock.seconds()
        self._active = True
        if now:
            self._run()
        else:
            self.wake(self.interval or 0.0)

    def wake(self, seconds: float = 0.0) -> None:
        """Make the next call in at most ``seconds``. While a Deferred is awaited: one more call after it."""
        self._active = True
        if self._waiting is not None:
            self._woken = True
            return
        if self._next is not None:
            if self._due <= self._clock.seconds() + seconds:
                return
            self._next.cancel()
        self._due = self._clock.seconds() + seconds
        self._next = self._clock.callLater(seconds, self._run)

    def stalled(self, reached: float) -> str:
        """Return why the next call is not made, empty if it is made in time.

        The loop has made all calls that were due before the monotonic time ``reached``, in seconds.
        """
        now = min(self._clock.seconds(), reached)
        if self._waiting is not None:
            hung = now - self._began
            return f"no result for {hung:.0f} s" if hung > HUNG_SECONDS else ""
        expected = self._active and (self._next is not None or self.interval is not None)
        late = now - self._due
        return f"not called, due {late:.0f} s ago" if expected and late > LATE_SECONDS else ""

    def reschedule(self, seconds: float) -> None:
        """Make the next call in ``seconds``, neither earlier nor later; the interval counts from there."""
        self._cancel_next()
        self._origin = self._clock.seconds() + seconds
        self.wake(seconds)

    def stop(self) -> None:
        """Make no further call, and cancel the one in progress."""
        self._active = self._woken = False
        self._cancel_next()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self._health.succeeded()

    def _cancel_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _run(self) -> None:
        self._next = None
        try:
            result = self.call()
        except Exception:  # noqa: BLE001  # an activity never ends by an exception
            self._failed(Failure())
            return
        if not isinstance(result, Deferred):
            self._succeeded(result)
            return
        self._waiting, self._began = result, self._clock.seconds()
        result.addCallbacks(self._fired, self._broken, callbackArgs=(result,), errbackArgs=(result,))

    def _fired(self, pause: float | None, awaited: Deferred[Any]) -> None:
        if self._waiting is awaited:
            self._waiting = None
            self._succeeded(pause)

    def _broken(self, failure: Failure, awaited: Deferred[Any]) -> None:
        if self._waiting is awaited:
            self._waiting = None
            self._failed(failure)

    def _succeeded(self, pause: float | None) -> None:
        self._backoff.reset()
        self._health.succeeded()
        if not self._active:
            return
        if pause is None:
            pause = self._until_next()
        if self._woken:
            pause, self._woken = 0.0, False
        if pause is not None:
            self.wake(pause)

    def _failed(self, failure: Failure) -> None:
        regular = self._until_next()
        pause = self._backoff.pause() if regular is None else regular
        self._health.failed(failure, f"retrying in {pause:.1f} s")
        self._woken = False
        if self._active:
            self._cancel_next()  # a call that wakes itself and then fails must not be repeated without a pause
            self.wake(pause)
        else:
            self._health.succeeded()

    def _until_next(self) -> float | None:
        """Return the seconds until the next multiple of the interval, ``None`` without an interval."""
        if self.interval is None:
            return None
        elapsed = self._clock.seconds() - self._origin
        # Rounding must not make two calls of one multiple.
        return (floor(elapsed / self.interval + _ROUNDING) + 1) * self.interval - elapsed
