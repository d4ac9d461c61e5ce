"""The base of checks over a stream socket: open, connect, end, deliver one result.

Kinds inherit it to save a call per event, which counts with 10,000 servers. A kind defines what follows the connection
(:meth:`Check._opened`) and the text of a timeout (:meth:`Check._overdue`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
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

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, CheckFailed, Phase, Result
from pybal.core.isolation import MIN_OUTAGE
from pybal.core.model import Address
from pybal.core.text import format_duration

BAD = select.EPOLLERR | select.EPOLLHUP
READABLE = select.EPOLLIN | select.EPOLLRDHUP | BAD
WRITABLE = select.EPOLLOUT

RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETDOWN))
"""Local resource errors."""

_LOCAL = RESOURCES | {errno.EPERM}
"""Errors of this host; EPERM is that of a firewall or of a full conntrack table."""

_NO_ROUTE = {
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.EACCES: "prohibited by a route",
    errno.EINVAL: "discarded by a route",
}
"""Errors of connect() without a route, or with one of type unreachable, prohibit or blackhole.

IPVS uses the same routes, so the server receives no traffic either.
"""
_FROM_THE_SERVER = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT))
_CAUSES = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timed out",
    **_NO_ROUTE,
}
_TYPE = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
_NO_RESPONSE = frozenset(("timeout", "timed out", "no answer to keepalive", *_NO_ROUTE.values()))
_set_option = ctypes.PyDLL(None).setsockopt
_LINGER_BYTES = 8
_RESET = (ctypes.c_int * 2)(1, 0)
"""struct linger of socket(7), set through libc.

Python's setsockopt formats two errors before it tries bytes, a tenth of the instructions of a check.
"""

SocketOption = tuple[int, int, int]

_PORT_WHEN_CONNECTED: SocketOption = (IPPROTO_IP, 24, 1)
"""IP_BIND_ADDRESS_NO_PORT of linux/in.h, also for IPv6: one local port can serve several servers."""

QUICK: Sequence[SocketOption] = ((IPPROTO_TCP, TCP_QUICKACK, 0),)
"""The request, or the reset, carries the last acknowledgement of the handshake: saves a packet."""


class Target(NamedTuple):
    """The address to connect to, and the optional source address."""

    family: int
    sockaddr: tuple[str, int]
    source: tuple[str, int] | None = None

    @classmethod
    def of(cls, address: Address, port: int, source: Address | None = None) -> Target:
        family = AF_INET if address.version == 4 else AF_INET6  # noqa: PLR2004  # IPv4
        return cls(family, (str(address), port), None if source is None else (str(source), 0))


def cause_of(error: OSError) -> str:
    """Return the term for an error of the kernel: ``refused``, ``reset``, ``host unreachable``."""
    number = error.errno or 0
    return _CAUSES.get(number) or os.strerror(number).lower()


class Check:
    """A check of one target that runs repeatedly, never twice at the same time.

    ``done(check, result)`` is called once per start, after the events of the turn and never within :meth:`start`. :meth:`cancel` is
    final; ``done`` is not called afterwards.
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
        "_unroutable_since",
        "deadline",
        "event",
        "running",
        "timeout",
    )

    resets = True
    """True to end connections by a reset, which leaves no TIME_WAIT on either side."""

    _socket: SocketType
    """The current or last socket; ``_fileno`` is set while it is open."""

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
        self._started_at = self._connected_at = self._lost = self._unroutable_since = 0.0

    def start(self) -> None:
        """Start; not while running. Call it in a turn of the engine or from ``done``."""
        engine = self._engine
        family, sockaddr, source = self._target
        self._started_at = engine.now
        self._lost = engine.lost
        self._connected_at = 0.0
        sock = None
        try:
            sock = engine.socket(family, _TYPE)
            for option in self._options:
                sock.setsockopt(*option)
            if source is not None:
                sock.setsockopt(*_PORT_WHEN_CONNECTED)
                sock.bind(source)
            number = sock.connect_ex(sockaddr)
            if number and number != errno.EINPROGRESS:
                sock.close()
                self._not_connected(number)
                return
            fileno = sock.fileno()
            engine.watch(self, fileno)
        except OSError as error:
            if sock is not None:
                sock.close()
            self._inconclusive(error)
            return
        self._socket, self._fileno = sock, fileno
        self._unroutable_since = 0.0
        self.event = self._connecting
        self.running = self._in_flight = True
        engine.in_flight += 1
        engine.arm(self, self.timeout)

    def cancel(self) -> None:
        """Cancel without a result."""
        self._done = None
        self._close()
        self.deadline = 0

    # -- for the engine

    @property
    def name(self) -> str:
        """The kind and the target, for people."""
        address, port = self._target.sockaddr
        return f"{type(self).__name__.removesuffix('Check')} {address} port {port}"

    @property
    def connected_at(self) -> float:
        """The monotonic time of the last connection, in seconds."""
        return self._connected_at

    def expire(self) -> None:
        self._failed(self._overdue())

    def settle(self, result: Result) -> None:
        self.running = False
        if self._done is not None:
            self._done(self, result)

    def broke(self, error: Exception) -> None:
        """Treat an unexpected exception as a failed check."""
        if self._fileno >= 0:
            self._failed(CheckFailed(self._phase, f"{type(error).__name__}: {error}", type(error).__name__))

    # -- for the kinds

    def _opened(self, events: int) -> None:
        """Continue after the connection; ``events`` may include more events."""
        raise NotImplementedError

    def _overdue(self) -> CheckFailed:
        """Return the failure of a timeout with its progress."""
        return CheckFailed(Phase.CONNECT, f"no response for {format_duration(self.timeout)}", "timeout")

    def _release(self) -> None:
        """Release the state of a closed connection."""

    def _passed(self) -> None:
        duration = self._engine.seconds() - self._started_at
        self._end(Result(PASSED, duration, self._phase, "", "", self._steps(), self._received))

    def _failed(self, failure: CheckFailed) -> None:
        """End with a failure, which is inconclusive if the loop was too late."""
        engine = self._engine
        outcome, reason = FAILED, failure.reason
        lost = engine.lost - self._lost
        if engine.too_late(lost, self.timeout):
            outcome, reason = INCONCLUSIVE, f"{reason} (the event loop was {format_duration(lost)} late)"
            engine.inconclusive += 1
        elif failure.cause in _NO_RESPONSE:
            if engine.excused(self._silent_since):
                outcome, reason = INCONCLUSIVE, f"{reason} (no server responds)"
                engine.inconclusive += 1
            else:
                engine.unanswered += 1
        duration = engine.seconds() - self._started_at
        self._end(Result(outcome, duration, failure.phase, reason, failure.cause, self._steps(), self._received))

    def _errored(self, error: OSError) -> None:
        """End with an error of the kernel about the connection."""
        if error.errno in _LOCAL:
            self._inconclusive(error)
        else:
            cause = cause_of(error)
            self._failed(CheckFailed(self._phase, self._error_text(cause), cause))

    def _steps(self) -> Sequence[float]:
        """Return the times of the steps, as in :class:`Result`."""
        return ()

    @property
    def _phase(self) -> Phase:
        return Phase.CONNECT

    @property
    def _silent_since(self) -> float:
        """The monotonic time from which a response was expected."""
        return self._unroutable_since or self._started_at

    def _error_text(self, cause: str) -> str:
        return cause

    def _pending_error(self) -> OSError:
        """Return the pending error of the socket."""
        return OSError(self._socket.getsockopt(SOL_SOCKET, SO_ERROR) or errno.ECONNRESET, "")

    def _land(self) -> None:
        """End the flight: clear the deadline and the count."""
        self.deadline = 0
        if self._in_flight:
            self._in_flight = False
            self._engine.in_flight -= 1

    def _end(self, result: Result) -> None:
        self._close()
        self._engine.settle(self, result)

    def _close(self) -> None:
        fileno, engine = self._fileno, self._engine
        if fileno < 0:
            return
        self._fileno = -1
        engine.forget(fileno)
        self.deadline = 0
        if self._in_flight:  # as _land, without its call
            self._in_flight = False
            engine.in_flight -= 1
        self.event = _ignore
        if self.resets:
            _set_option(fileno, SOL_SOCKET, SO_LINGER, _RESET, _LINGER_BYTES)
        self._socket.close()
        self._release()

    # -- own

    def _connecting(self, events: int) -> None:
        if events & BAD:
            self._errored(self._pending_error())
        elif events & WRITABLE:
            self._connected_at = self._engine.now
            self._opened(events)

    def _inconclusive(self, error: OSError) -> None:
        """End with an inconclusive result."""
        name = self._engine.local_error(error.errno or 0)
        self._engine.inconclusive += 1
        self._end(Result(INCONCLUSIVE, 0.0, self._phase, f"{os.strerror(error.errno or 0)} ({name})", name))

    def _not_connected(self, number: int) -> None:
        """End with an immediate error of connect(): about the target, or else a local one."""
        if number in _NO_ROUTE:
            cause = _NO_ROUTE[number]
            reason = self._error_text(f"{cause} (see ip route get {self._target.sockaddr[0]})")
            self._unroutable_since = self._unroutable_since or self._engine.now
            if self._engine.now - self._unroutable_since < MIN_OUTAGE:
                # The balancer may have lost all routes in this moment: this shows only after the shortest outage.
                self._engine.inconclusive += 1
                self._end(Result(INCONCLUSIVE, 0.0, self._phase, f"{reason}, not confirmed yet", cause))
            else:
                self._failed(CheckFailed(self._phase, reason, cause))
        elif number in _FROM_THE_SERVER:  # a response of the loopback
            self._errored(OSError(number, os.strerror(number)))
        else:
            self._inconclusive(OSError(number, os.strerror(number)))


class TCPCheck(Check):
    """A check that passes when the connection is established."""

    __slots__ = ()

    @override
    def _opened(self, events: int) -> None:
        del events
        self._close()
        self._engine.settle(self, Result(PASSED, self._connected_at - self._started_at))


def _ignore(events: int) -> None:
    """Ignore a late event."""
