"""A throttle: a call that is made immediately after a quiet time, else once per interval."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pybal.runtime.activity import Activity
from pybal.runtime.weak import weakly


class Throttle:
    """Makes ``call`` on request, but at most once in ``interval`` seconds.

    A request after a quiet interval is served immediately, any other at the end of the interval. After an unexpected exception
    the call is repeated (:class:`pybal.runtime.activity.Activity`).
    """

    def __init__(self, name: str, clock: IReactorTime, interval: float, call: Callable[[], None]) -> None:
        self._interval = interval
        self._call = call
        self._requested = self._calling = False
        self._activity = Activity(name, weakly(self._run), clock)

    def request(self) -> None:
        """Make the call now or at the end of the interval; further requests until then are merged."""
        self._requested = True
        if not self._calling and not self._activity.running:
            self._activity.start(now=True)

    def cancel(self) -> None:
        """Drop the pending request and end the interval."""
        self._requested = False
        self._activity.stop()

    def _run(self) -> float | None:
        if not self._requested:
            return None
        self._requested, self._calling = False, True
        try:
            self._call()
        except Exception:
            self._requested = True
            raise
        finally:
            self._calling = False
        return self._interval
