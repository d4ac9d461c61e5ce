"""IdleConnection: hold a connection open without sending data; its loss is the fastest failure sign.

* If a connection is refused, times out or is lost, the server is down immediately. Attempts follow with exponential
  back-off, which is reset only after a connection that lasted longer than the pause before it. While the pool is at its
  floor, the pauses are short as well.
* If the server closes the connection cleanly, it is not down: the monitor reconnects, immediately if the connection
  lasted, else after a growing pause. Only if that fails is the server down. The same applies to unanswered keepalive
  probes, because a local fault can lose the probes of many connections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from typing_extensions import override

from pybal.checks.idle import KEEPALIVE_LOST, HeldConnection, keepalive
from pybal.checks.result import INCONCLUSIVE, PASSED, Phase, Result
from pybal.checks.socket_check import SocketOption, Target
from pybal.checks.wheel import Timer
from pybal.config.convert import boolean, integer, pause, seconds
from pybal.config.option import option
from pybal.core.model import Address, Report
from pybal.monitors.base import Samples, Series
from pybal.monitors.factory import Factory, MonitorSettings
from pybal.monitors.interval import times
from pybal.monitors.kind import Kind
from pybal.monitors.rise_fall import RiseFall
from pybal.runtime.backoff import Backoff

FIRST_RETRY = 1.0
"""Seconds until the first attempt after a failure."""
QUICKEST_RECONNECT = 1.0
"""Minimum of ``timeout-clean-reconnect``, in seconds: without a pause a server could keep a core busy."""
LONGEST_URGENT_PAUSE = 10.0
"""Maximum pause in seconds while the pool is at its floor: each recovered server frees a failed one."""
LONGEST_CLEAN_PAUSE = 10
"""Maximum pause, as a multiple of ``timeout-clean-reconnect``: the server is unchecked until it ends."""

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
_LOST = "ConnectionLost"
_REASONS = (*_FAILURES.values(), _LOST)
_SERIES = Series(
    (
        (FAILED, tuple((("reason", name),) for name in _FAILURES.values())),
        (LOST, ((("reason", _LOST),),)),
    )
)
_NO_ERROR: Samples = _SERIES, (None,) * len(_REASONS)


# The limits of Linux for TCP_KEEPCNT, and for TCP_KEEPIDLE and TCP_KEEPINTVL.
_probes = integer(1, 127)
_keepalive_seconds = integer(1, 32767, "whole seconds")


@dataclass(frozen=True, slots=True)
class IdleConnectionSettings(MonitorSettings):
    """Hold a TCP connection open without sending data; the server is down while it cannot be kept."""

    timeout_clean_reconnect: float = option(
        3.0,
        pause,
        help="pause before reconnecting, in seconds, if the server closed the connection cleanly before this time; it grows"
        " if that is repeated. After a longer connection PyBal reconnects immediately",
    )
    max_delay: float = option(
        300.0,
        seconds,
        help="longest pause between connection attempts while the server is down, in seconds; 10 seconds while the pool is"
        " at its floor",
    )
    keepalive: bool = option(
        True, boolean, help="send TCP keepalive probes, which detect servers that vanish without closing"
    )
    keepalive_retries: int = option(3, _probes, help="number of unanswered probes after which the connection is lost")
    keepalive_idle: int = option(
        10, _keepalive_seconds, help="seconds without traffic before the first probe; reduced at random by up to a half"
    )
    keepalive_interval: int = option(
        30, _keepalive_seconds, help="seconds between probes; reduced at random by up to a fifth"
    )
    timeout: float = option(30.0, seconds, help="time limit of a connection attempt, in seconds")
    fall: int = option(1, times, help="consecutive lost or failed connections that take a server down")

    @property
    def lasting(self) -> float:
        """Minimum duration, in seconds, of a connection after which a reconnect needs no pause."""
        return max(self.timeout_clean_reconnect, QUICKEST_RECONNECT)


def socket_options(settings: IdleConnectionSettings, random: Random) -> Sequence[SocketOption]:
    """Return the socket options of one connection.

    The probe intervals are random and somewhat shorter than configured. Linux rounds these timers (to 2 s for 30 s), so
    the probes of thousands of connections made together would be sent in one burst, which overflows a packet queue and
    loses the probes of the same connections each time.
    """
    if not settings.keepalive:
        return ()
    idle = random.randint(ceil(settings.keepalive_idle / 2), settings.keepalive_idle)
    interval = random.randint(ceil(settings.keepalive_interval * 0.8), settings.keepalive_interval)
    return keepalive(idle, interval, settings.keepalive_retries)


def clean_pauses(settings: IdleConnectionSettings, random: Random) -> Backoff:
    """Return the pauses before reconnecting to a server that closes connections soon."""
    longest = max(settings.lasting, min(settings.lasting * LONGEST_CLEAN_PAUSE, settings.max_delay))
    return Backoff(settings.lasting, longest, random)


class IdleConnection(RiseFall):
    """Checks one server; see :class:`pybal.monitors.base.Monitor`."""

    __slots__ = ("_connection", "_factory", "_lasting", "_pauses", "_retries", "_samples", "_timer")

    name = "IdleConnection"

    def __init__(
        self, factory: Factory[IdleConnectionSettings], host: str, address: Address, report: Callable[[Report], None]
    ) -> None:
        del host
        settings, random = factory.settings, factory.random
        super().__init__(report, fall=settings.fall)
        self._factory = factory
        self._lasting = settings.lasting
        target, options = Target.of(address, factory.port), socket_options(settings, random)
        self._connection = HeldConnection(factory.engine, target, settings.timeout, self._done, options)
        self._retries = Backoff(FIRST_RETRY, settings.max_delay, random)
        self._pauses = clean_pauses(settings, random)
        self._samples = _NO_ERROR
        self._timer: Timer | None = None

    @override
    @property
    def decided_at(self) -> float:
        """Now, while the connection is held."""
        # The time of the last turn may be long ago if the engine has nothing to do.
        return self._factory.engine.seconds() if self._connection.held else super().decided_at

    @override
    @property
    def patience(self) -> float:
        """Three attempts, with the present pause between them."""
        return max(super().patience, 3 * (self._retries.following + self._factory.settings.timeout))

    @property
    def next_check(self) -> float:
        return self._connection.resumes_at

    def samples(self) -> Samples:
        return self._samples

    def start(self) -> None:
        self._timer = self._factory.engine.soon(self._connection.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._factory.engine.leave(self._timer)
            self._timer = None
        self._connection.cancel()

    @override
    def set_urgent(self, urgent: bool) -> None:
        super().set_urgent(urgent)
        if urgent and self.up is False:
            self._connection.hasten(self._retries.jittered(LONGEST_URGENT_PAUSE))

    def _done(self, connection: HeldConnection, result: Result) -> None:
        self._history.add(self._factory.engine.now, result)
        if result.verdict is PASSED:
            self.passed(self._factory.engine.now)
        elif result.verdict is INCONCLUSIVE:
            connection.start_in(FIRST_RETRY * (1 + self._factory.random.random()))  # no back-off: the error is local
        elif result.phase is Phase.CONNECT:
            self._count(_FAILURES.get(result.cause, _OTHER_FAILURE))
            self._down(connection, result)
        elif result.cause == "closed":
            self._closed(connection, result.duration)
        elif result.cause == KEEPALIVE_LOST:
            self._count(_LOST)
            connection.start()
        else:
            self._count(_LOST)
            if result.duration > max(self._lasting, self._retries.following):
                self._retries.reset()
            self._down(connection, result)

    def _count(self, reason: str) -> None:
        counts = list(self._samples[1])
        place = _REASONS.index(reason)
        counts[place] = (counts[place] or 0) + 1
        self._samples = _SERIES, tuple(counts)

    def _down(self, connection: HeldConnection, result: Result) -> None:
        pause = self._retries.pause()
        connection.start_in(min(pause, self._retries.jittered(LONGEST_URGENT_PAUSE)) if self._urgent else pause)
        self.failed(result.text, f"{result.phase} {result.cause}", self._factory.engine.now)

    def _closed(self, connection: HeldConnection, lasted: float) -> None:
        if lasted < self._lasting:
            connection.start_in(self._pauses.pause())
        else:
            self._pauses.reset()
            self._retries.reset()
            connection.start()


KIND = Kind(
    "IdleConnection",
    IdleConnectionSettings,
    metrics={
        FAILED: "Failed connection attempts, by error",
        LOST: "Connections that ended without being closed, by error",
    },
    monitor=IdleConnection,
)
