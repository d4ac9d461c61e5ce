"""The life that all checks over a stream socket share: open, connect, end, be told of, once.

The kinds inherit it, because a call more per event is what an engine for 10,000 servers saves. A kind says what
follows a connection (:meth:`Check._opened`) and how far it had come when time was up (:meth:`Check._overdue`).
"""

from __future__ import annotations

import errno
import os
import select
import struct
from collections.abc import Callable, Sequence
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_TCP,
    SO_ERROR,
    SO_LINGER,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_QUICKACK,
    SocketType,
)
from typing import NamedTuple, Self

from pybal.checks.engine import FROZEN, Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, CheckFailed, Phase, Result
from pybal.core.model import Address
from pybal.core.text import format_duration

BAD = select.EPOLLERR | select.EPOLLHUP
READABLE = select.EPOLLIN | select.EPOLLRDHUP | BAD
WRITABLE = select.EPOLLOUT

RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETDOWN))
"""Errors that say something of us whenever they come."""

_ABOUT_THE_SERVER = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT))
_CAUSES = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
}
_TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
_NOTHING_HEARD = frozenset(
    ("timeout", "timed out", "host unreachable", "network unreachable", "no answer to keepalive")
)
_RESET = struct.pack("ii", 1, 0)

SocketOption = tuple[int, int, int]

_PORT_WHEN_CONNECTED: SocketOption = (IPPROTO_IP, 24, 1)
"""IP_BIND_ADDRESS_NO_PORT of linux/in.h, for IPv6 as well: a port that is taken is free for another server."""

QUICK: Sequence[SocketOption] = ((IPPROTO_TCP, TCP_QUICKACK, 0),)
"""The request, or the reset, carries the last acknowledgement of the handshake: a packet less."""


class Target(NamedTuple):
    """Where to connect to, and from which of our addresses if not from any."""

    family: int
    sockaddr: tuple[str, int]
    source: tuple[str, int] | None = None

    @classmethod
    def of(cls, address: Address, port: int, source: Address | None = None) -> Target:
        family = AF_INET if address.version == 4 else AF_INET6  # noqa: PLR2004  # IPv4
        return cls(family, (str(address), port), None if source is None else (str(source), 0))


def cause_of(error: OSError) -> str:
    """Return the word for what the kernel says: ``refused``, ``reset``, ``host unreachable``."""
    number = error.errno or 0
    return _CAUSES.get(number) or os.strerror(number).lower()


class Check:
    """A check of one target, made again and again, never twice at a time.

    ``done(check, result)`` is called once for each start, after the events in which the check ended and never from
    within :meth:`start`. After :meth:`cancel`, which is for good, it is called no more.
    """

    __slots__ = (
        "_connected_at",
        "_done",
        "_engine",
        "_fileno",
        "_in_flight",
        "_lost",
        "_options",
        "_received",
        "_socket",
        "_started_at",
        "_target",
        "deadline",
        "event",
        "running",
        "timeout",
    )

    resets = True
    """Whether a connection is ended by a reset, which leaves no TIME_WAIT on either side."""

    _socket: SocketType
    """The current socket, or the last one, closed: what is open has a ``_fileno``."""

    def __init__(self, engine: Engine, target: Target, timeout: float, done: Callable[[Self, Result], None]) -> None:
        self.timeout = timeout
        self.deadline = 0
        self.running = False
        self._in_flight = False
        self.event: Callable[[int], None] = _ignore
        self._engine = engine
        self._target = target
        self._done: Callable[..., None] | None = done
        self._options: Sequence[SocketOption] = QUICK
        self._fileno = -1
        self._received = 0
        self._started_at = self._connected_at = self._lost = 0.0

    def start(self) -> None:
        """Begin; not while running. To be called in a turn of the engine or from ``done``."""
        engine = self._engine
        family, sockaddr, source = self._target
        self._started_at = engine.seconds()
        self._lost = engine.lost
        self._connected_at = 0.0
        sock = None
        try:
            sock = SocketType(family, _TYPE)
            for option in self._options:
                sock.setsockopt(*option)
            if source is not None:
                sock.setsockopt(*_PORT_WHEN_CONNECTED)
                sock.bind(source)
            number = sock.connect_ex(sockaddr)
            if number and number != errno.EINPROGRESS:
                raise OSError(number, os.strerror(number))  # noqa: TRY301  # one place for all local trouble
            fileno = sock.fileno()
            engine.watch(self, fileno)
        except OSError as error:
            if sock is not None:
                sock.close()
            self._not_begun(error)
            return
        self._socket, self._fileno = sock, fileno
        self.event = self._connecting
        self.running = self._in_flight = True
        engine.in_flight += 1
        engine.arm(self, self.timeout)

    def cancel(self) -> None:
        """End for good and tell nobody."""
        self._done = None
        self._close()
        self.deadline = 0

    # -- for the engine

    @property
    def connected_at(self) -> float:
        """When the last connection came about: monotonic, in seconds."""
        return self._connected_at

    def expire(self) -> None:
        self._failed(self._overdue())

    def settle(self, result: Result) -> None:
        self.running = False
        if self._done is not None:
            self._done(self, result)

    def broke(self, error: Exception) -> None:
        """Make an error that nobody thought of a failed check like any other."""
        if self._fileno >= 0:
            self._failed(CheckFailed(self._phase, f"{type(error).__name__}: {error}", type(error).__name__))

    # -- for the kinds

    def _opened(self, events: int) -> None:
        """Go on from a connection; ``events`` may already tell of more."""
        raise NotImplementedError

    def _overdue(self) -> CheckFailed:
        """Say how far the check had come when its time was up."""
        return CheckFailed(Phase.CONNECT, f"nothing for {format_duration(self.timeout)}", "timeout")

    def _let_go(self) -> None:
        """Drop what belonged to the connection, which is closed."""

    def _passed(self) -> None:
        duration = self._engine.seconds() - self._started_at
        self._end(Result(PASSED, duration, self._phase, "", "", self._steps(), self._received))

    def _failed(self, failure: CheckFailed) -> None:
        """End with a failure, which proves nothing if the loop came too late for it."""
        engine = self._engine
        verdict, reason = FAILED, failure.reason
        lost = engine.lost - self._lost
        if lost > max(FROZEN, self.timeout / 2):
            verdict, reason = INCONCLUSIVE, f"{reason} (the checker was {format_duration(lost)} late)"
            engine.inconclusive += 1
        elif failure.cause in _NOTHING_HEARD:
            if engine.excused(self._silent_since):
                verdict, reason = INCONCLUSIVE, f"{reason} (nobody at all was heard)"
                engine.inconclusive += 1
            else:
                engine.unheard += 1
        duration = engine.seconds() - self._started_at
        self._end(Result(verdict, duration, failure.phase, reason, failure.cause, self._steps(), self._received))

    def _errored(self, error: OSError) -> None:
        """End with what the kernel says of the connection."""
        if error.errno in RESOURCES:
            self._void(error)
        else:
            cause = cause_of(error)
            self._failed(CheckFailed(self._phase, self._error_text(cause), cause))

    def _steps(self) -> Sequence[float]:
        """Return when it had done what, as in :class:`Result`."""
        return ()

    @property
    def _phase(self) -> Phase:
        return Phase.CONNECT

    @property
    def _silent_since(self) -> float:
        """The monotonic time from which on the server was to be heard."""
        return self._started_at

    def _error_text(self, cause: str) -> str:
        return cause

    def _pending_error(self) -> OSError:
        """Return the error that an event told of."""
        return OSError(self._socket.getsockopt(SOL_SOCKET, SO_ERROR) or errno.ECONNRESET, "")

    def _land(self) -> None:
        """Be in flight no more: without a deadline, and not counted."""
        self.deadline = 0
        if self._in_flight:
            self._in_flight = False
            self._engine.in_flight -= 1

    def _end(self, result: Result) -> None:
        self._close()
        self._engine.settle(self, result)

    def _close(self) -> None:
        if self._fileno < 0:
            return
        self._engine.forget(self._fileno)
        self._fileno = -1
        self._land()
        self.event = _ignore
        sock = self._socket
        if self.resets:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        sock.close()
        self._let_go()

    # -- own

    def _connecting(self, events: int) -> None:
        if events & BAD:
            self._errored(self._pending_error())
        elif events & WRITABLE:
            self._connected_at = self._engine.now
            self._opened(events)

    def _void(self, error: OSError) -> None:
        """End with a result that says nothing of the server."""
        name = self._engine.local_error(error.errno or 0)
        self._engine.inconclusive += 1
        self._end(Result(INCONCLUSIVE, 0.0, self._phase, f"{os.strerror(error.errno or 0)} ({name})", name))

    def _not_begun(self, error: OSError) -> None:
        """Take what connect() refuses at once for ours, it was never sent; but loopback answers at once."""
        if error.errno in _ABOUT_THE_SERVER:
            self._errored(error)
        else:
            self._void(error)


class TCPCheck(Check):
    """A check that passes when the connection is there."""

    __slots__ = ()

    def _opened(self, events: int) -> None:
        del events
        self._passed()


def _ignore(events: int) -> None:
    """Take an event that came too late."""
