"""A throttle: a call that is made immediately after a quiet time, else once per interval."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Throttle:
    """Makes ``call`` on request, but at most once in ``interval`` seconds.

    A request after a quiet interval is served immediately, any other at the end of the interval.
    """

    def __init__(self, clock: IReactorTime, interval: float, call: Callable[[], None]) -> None:
        self._clock = clock
        self._interval = interval
        self._call = call
        self._pause: IDelayedCall | None = None
        self._requested = False

    def request(self) -> None:
        """Make the call now or at the end of the interval; further requests until then are merged."""
        self._requested = True
        if self._pause is None:
            self._run()

    def cancel(self) -> None:
        """Drop the pending request and end the interval."""
        self._requested = False
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _run(self) -> None:
        self._pause = None
        if self._requested:
            self._requested = False
            self._pause = self._clock.callLater(self._interval, self._run)
            self._call()
