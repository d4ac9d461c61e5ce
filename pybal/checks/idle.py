"""A held connection: sends nothing and discards received data."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL
from typing import Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import PASSED, CheckFailed, Phase, Result
from pybal.checks.socket_check import READABLE, Check, SocketOption, Target, cause_of

KEEPALIVE_LOST = "no answer to keepalive"
"""The cause of a loss that only keepalive probes detect."""

_READ = 65536
_READS_AT_ONCE = 8


@lru_cache(256)
def keepalive(idle: int, interval: int, retries: int) -> Sequence[SocketOption]:
    """Return socket options for keepalive probes; ``idle`` and ``interval`` are in seconds."""
    return (
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, idle),
        (IPPROTO_TCP, TCP_KEEPINTVL, interval),
        (IPPROTO_TCP, TCP_KEEPCNT, retries),
    )


class HeldConnection(Check):
    """One connection at a time; the owner decides when to connect again.

    Each start produces a result of phase *connect*; if it passed, a failure of phase *idle* follows at the end of the connection,
    with the cause ``closed`` if the server closed it normally.
    """

    __slots__ = ("_pausing",)

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
        self._pausing = False

    @property
    def held(self) -> bool:
        """True while the connection is established."""
        return self._fileno >= 0 and not self._in_flight

    @property
    def resumes_at(self) -> float:
        """The monotonic time, in seconds, at which a pause ends; ``inf`` without one."""
        return self._engine.time_of(self.deadline) if self._pausing and self.deadline else math.inf

    def start_in(self, seconds: float) -> None:
        """Start after a pause in seconds. Call it in a turn of the engine or from ``done``."""
        self._pausing = True
        self._engine.arm(self, seconds)

    def hasten(self, seconds: float) -> None:
        """Start within ``seconds`` if the pause is longer. May be called at any time."""
        if self._pausing:
            self._engine.hasten(self, seconds)

    @override
    def expire(self) -> None:
        if self._pausing:
            self._pausing = False
            self.start()
        else:
            super().expire()

    @override
    @property
    def _phase(self) -> Phase:
        return Phase.CONNECT if self._in_flight or self._fileno < 0 else Phase.IDLE

    @override
    @property
    def _silent_since(self) -> float:
        """The start of the attempt, or now for a held connection: only the kernel has its time of silence."""
        return super()._silent_since if self._phase is Phase.CONNECT else self._engine.now

    @override
    def _opened(self, events: int) -> None:
        self._land()
        engine = self._engine
        self._lost = math.inf  # a closed connection is conclusive, however late it is read
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

    @override
    def _errored(self, error: OSError) -> None:
        """Treat errors of an established connection as conclusive."""
        if self._phase is Phase.CONNECT:
            super()._errored(error)
            return
        cause = KEEPALIVE_LOST if error.errno == errno.ETIMEDOUT else cause_of(error)
        self._failed(CheckFailed(Phase.IDLE, f"connection lost: {cause}", cause))
