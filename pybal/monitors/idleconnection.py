"""IdleConnection: holds a connection to a server on which nothing is ever sent; losing it is the quickest alarm.

* A connection that is refused, hangs or is lost means down, at once; then attempts follow, with growing pauses. They
  begin anew with short ones only after a connection that lasted longer than the pause before it. While the pool is at
  its floor the pauses are short as well.
* A server that closes the connection in order is not down: another connection is made, at once if this one lasted,
  else after a pause that grows. Only if that fails is the server down. So it is where keepalive probes got no answer: they
  may have been lost on our side, those of many connections at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from random import Random

from pybal.checks.engine import Engine
from pybal.checks.idle import UNANSWERED, HeldConnection, keepalive
from pybal.checks.result import INCONCLUSIVE, PASSED, Phase, Result
from pybal.checks.socket_check import SocketOption, Target
from pybal.checks.wheel import Timer
from pybal.config.settings import IdleConnectionSettings
from pybal.core.model import Address, Report, Service
from pybal.monitors.base import Sample
from pybal.monitors.rise_fall import RiseFall
from pybal.runtime.backoff import Backoff

FIRST_RETRY = 1.0
"""Seconds until the first attempt after a failure."""
QUICKEST_RECONNECT = 1.0
"""Seconds that ``timeout-clean-reconnect`` counts for at least: without a pause a server could pin a core."""
LONGEST_URGENT_PAUSE = 10.0
"""Seconds between attempts at most while the pool is at its floor: each server that is back lets a dead one leave."""
LONGEST_CLEAN_PAUSE = 10
"""Times ``timeout-clean-reconnect``: meanwhile nothing watches the server."""

FAILED = "pybal_monitor_idleconnection_connections_failed_total"
LOST = "pybal_monitor_idleconnection_connections_lost_total"

_OTHER_FAILURE = "ConnectError"
_FAILURES = {
    "refused": "ConnectionRefusedError",
    "timeout": "TimeoutError",
    "timed out": "TCPTimedOutError",
    "network unreachable": "NoRouteError",
    "": _OTHER_FAILURE,
}
"""Twisted's name for each cause of a failed attempt."""
_CLEAN, _UNCLEAN = "ConnectionDone", "ConnectionLost"


class IdleConnectionFactory:
    """The options of one service."""

    name = "IdleConnection"

    def __init__(self, settings: IdleConnectionSettings, service: Service, *, engine: Engine, random: Random) -> None:
        self.settings = settings
        self.port = service.port
        self.engine = engine
        self.random = random
        self.lasting = max(settings.timeout_clean_reconnect, QUICKEST_RECONNECT)
        """Seconds after which a connection was no short one."""

    def options(self) -> Sequence[SocketOption]:
        """Return the options of one connection.

        Its probes come somewhat sooner than the settings have it: Linux rounds these timers, to 2 s for one of 30 s, so the
        probes of thousands of connections made together go out in one burst, which overflows a queue of packets, each
        time at the expense of the same ones.
        """
        settings = self.settings
        if not settings.keepalive:
            return ()
        idle = self.random.randint(ceil(settings.keepalive_idle / 2), settings.keepalive_idle)
        interval = self.random.randint(ceil(settings.keepalive_interval * 0.8), settings.keepalive_interval)
        return keepalive(idle, interval, settings.keepalive_retries)

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> IdleConnection:
        """Return a monitor of the server at this address; its host name is of no importance here."""
        del host
        return IdleConnection(self, address, report)


class IdleConnection(RiseFall):
    """Watches one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_connection", "_failures", "_losses", "_pauses", "_plan", "_retries", "_seat")

    name = IdleConnectionFactory.name

    def __init__(self, plan: IdleConnectionFactory, address: Address, report: Callable[[Report], None]) -> None:
        super().__init__(report, fall=plan.settings.fall)
        self._plan = plan
        target = Target.of(address, plan.port)
        self._connection = HeldConnection(plan.engine, target, plan.settings.timeout, self._done, plan.options())
        self._retries = Backoff(FIRST_RETRY, plan.settings.max_delay, plan.random)
        longest = max(plan.lasting, min(plan.lasting * LONGEST_CLEAN_PAUSE, plan.settings.max_delay))
        self._pauses = Backoff(plan.lasting, longest, plan.random)
        self._failures = dict.fromkeys(_FAILURES.values(), 0)
        self._losses = {_CLEAN: 0, _UNCLEAN: 0}
        self._seat: Timer | None = None

    def samples(self) -> Iterator[Sample]:
        for name, count in self._failures.items():
            yield Sample(FAILED, (("reason", name),), count)
        for name, count in self._losses.items():
            yield Sample(LOST, (("reason", name),), count)

    def start(self) -> None:
        self._seat = self._plan.engine.soon(self._connection.start)

    def stop(self) -> None:
        if self._seat is not None:
            self._plan.engine.leave(self._seat)
            self._seat = None
        self._connection.cancel()

    def set_urgent(self, urgent: bool) -> None:
        super().set_urgent(urgent)
        if urgent and self.up is False:
            self._connection.hasten(self._retries.jittered(LONGEST_URGENT_PAUSE))

    def _done(self, connection: HeldConnection, result: Result) -> None:
        self._recent.add(self._plan.engine.now, result)
        if result.verdict is PASSED:
            self._passed(self._plan.engine.now)
        elif result.verdict is INCONCLUSIVE:
            connection.start_in(FIRST_RETRY * (1 + self._plan.random.random()))  # no reason to give it ever more time
        elif result.phase is Phase.CONNECT:
            self._failures[_FAILURES.get(result.cause, _OTHER_FAILURE)] += 1
            self._down(connection, result)
        elif result.cause == "closed":
            self._losses[_CLEAN] += 1
            self._closed(connection, result.duration)
        elif result.cause == UNANSWERED:
            self._losses[_UNCLEAN] += 1
            connection.start()
        else:
            self._losses[_UNCLEAN] += 1
            if result.duration > max(self._plan.lasting, self._retries.following):
                self._retries.reset()
            self._down(connection, result)

    def _down(self, connection: HeldConnection, result: Result) -> None:
        pause = self._retries.pause()
        connection.start_in(min(pause, self._retries.jittered(LONGEST_URGENT_PAUSE)) if self._urgent else pause)
        self._failed(result.text, f"{result.phase} {result.cause}", self._plan.engine.now)

    def _closed(self, connection: HeldConnection, lasted: float) -> None:
        if lasted < self._plan.lasting:
            connection.start_in(self._pauses.pause())
        else:
            self._pauses.reset()
            self._retries.reset()
            connection.start()
