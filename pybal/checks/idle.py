"""A connection that is held, and watched: nothing is ever sent, what comes is thrown away."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Self

from pybal.checks.engine import Engine
from pybal.checks.result import PASSED, CheckFailed, Phase, Result
from pybal.checks.socket_check import READABLE, Check, SocketOption, Target, cause_of

UNANSWERED = "no answer to keepalive"
"""The cause of an end that only the kernel's probes tell of."""

_READ = 65536
_READS_AT_ONCE = 8


@lru_cache(256)
def keepalive(idle: int, interval: int, retries: int) -> Sequence[SocketOption]:
    """Return the options for keepalive probes after ``idle`` seconds of silence, lost after so many ``retries``."""
    return (
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, idle),
        (IPPROTO_TCP, TCP_KEEPINTVL, interval),
        (IPPROTO_TCP, TCP_KEEPCNT, retries),
    )


class HeldConnection(Check):
    """One connection at a time. Its owner decides when there shall be another.

    For each start there is a result of phase *connect*; if it passed, a failure of phase *idle* follows at the end
    of the connection, with the cause ``closed`` when the server closed it in order.
    """

    __slots__ = ("_resting",)

    resets = False

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        options: Sequence[SocketOption],
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._options = options
        self._resting = False

    def start_in(self, seconds: float) -> None:
        """Start after a pause. To be called in a turn of the engine or from ``done``."""
        self._resting = True
        self._engine.arm(self, seconds)

    def hasten(self, seconds: float) -> None:
        """Start within so many seconds if it is at rest for longer. May be called at any time."""
        if self._resting:
            self._engine.hasten(self, seconds)

    def expire(self) -> None:
        if self._resting:
            self._resting = False
            self.start()
        else:
            super().expire()

    @property
    def _phase(self) -> Phase:
        return Phase.CONNECT if self._in_flight or self._fileno < 0 else Phase.IDLE

    @property
    def _silent_since(self) -> float:
        """Not long ago for a connection that was held: how long there was no answer only the kernel knows."""
        return self._started_at if self._phase is Phase.CONNECT else self._engine.now

    def _opened(self, events: int) -> None:
        self._land()
        engine = self._engine
        self._lost = math.inf  # an end is a fact, however late it is seen
        engine.settle(self, Result(PASSED, engine.seconds() - self._started_at))
        self.event = self._idle
        self._idle(events)

    def _idle(self, events: int) -> None:
        if not events & READABLE:
            return
        try:
            for _ in range(_READS_AT_ONCE):
                if not self._socket.recv(_READ):
                    self._failed(CheckFailed(Phase.IDLE, "connection closed by the server", "closed"))
                    return
            self._engine.pause(self)
        except BlockingIOError:
            return
        except OSError as error:
            self._errored(error)

    def _errored(self, error: OSError) -> None:
        """Take what the kernel says of a connection that was there for a fact about the server."""
        if self._phase is Phase.CONNECT:
            super()._errored(error)
            return
        cause = UNANSWERED if error.errno == errno.ETIMEDOUT else cause_of(error)
        self._failed(CheckFailed(Phase.IDLE, f"connection lost: {cause}", cause))
