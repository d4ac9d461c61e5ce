"""The pulse of the daemon, for the watchdog of systemd: proof that it still takes decisions.

The event loop may run while nothing decides: the check engine makes no calls any more, or no pool applies its changes. Every
:data:`INTERVAL` seconds a timer of the engine therefore adds an empty change to the queue of each pool. One that is made is a pulse;
without services the call of the timer is. A single pool that has stopped has its own alert
(:mod:`pybal.runtime.activities`), and no reason to restart the daemon.

The watchdog is fed by a heartbeat that waits behind no other callback (:mod:`pybal.runtime.lane`), because a busy daemon must not be
killed. It ends :data:`SILENT_SECONDS` after the last pulse. Only the time counts in which the loop makes its calls: while it is late,
but goes on, the missing pulse is late as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.checks.engine import Engine
from pybal.checks.wheel import Timer
from pybal.core.model import Alert
from pybal.runtime.activities import Activities
from pybal.runtime.activity import LATE_SECONDS

INTERVAL = 5.0
"""Seconds between two pulses."""
ALERT_SECONDS = 45.0
"""Seconds without a pulse after which it is an alert; a pool that has stopped is one before."""
SILENT_SECONDS = 60.0
"""Seconds without a pulse after which the watchdog is not fed any more."""
_STEP = 30.0
"""Seconds that count at most between two questions: a pause of the process is no silence."""


class Pulse:
    """The pulse of ``engine`` and of the pools.

    ``prove`` adds a call to the queue of each pool and returns the number of pools. ``clock`` is that of the loop whose calls
    ``activities`` observes.
    """

    _log = Logger()

    def __init__(
        self,
        engine: Engine,
        prove: Callable[[Callable[[], None]], int],
        clock: IReactorTime,
        activities: Activities,
    ) -> None:
        self._engine = engine
        self._prove = prove
        self._clock = clock
        self._activities = activities
        self._timer: Timer | None = None
        self._silent = 0.0
        self._asked = clock.seconds()
        self._reached = activities.reached
        self._fed = True

    def start(self) -> None:
        """Begin; the engine must have been started."""
        self._felt()
        self._timer = self._engine.every(INTERVAL, self._beat)

    def stop(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._engine.leave(self._timer)
            self._timer = None

    def alive(self) -> bool:
        """Return whether the daemon takes decisions, or is busy."""
        alive = self._silence() < SILENT_SECONDS
        if self._fed and not alive:
            text = "no decision for {seconds:g} s although the event loop runs; not feeding the watchdog of systemd"
            self._log.critical(text, seconds=SILENT_SECONDS, system="loop")
        self._fed = alive
        return alive

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert if the last pulse is long ago."""
        if self._timer is not None and (silence := self._silence()) > ALERT_SECONDS:
            text = f"decisions: no check engine or no pool at work for {silence:.0f} s; restart pybal if this lasts"
            yield Alert("", "stalled", text, subject="decisions")

    def _silence(self) -> float:
        """Return the seconds without a pulse in which the loop made its calls."""
        now, reached = self._clock.seconds(), self._activities.reached
        busy = reached < now - LATE_SECONDS and reached > self._reached
        if not busy:
            self._silent += min(now - self._asked, _STEP)
        self._asked, self._reached = now, reached
        return self._silent

    def _beat(self) -> None:
        if not self._prove(self._felt):
            self._felt()

    def _felt(self) -> None:
        self._silent, self._asked = 0.0, self._clock.seconds()
