"""A check that talks over a connection, plain or with TLS, until what has come is enough.

A kind says something first (:meth:`StreamCheck._begin`), and takes what comes (:meth:`StreamCheck._take`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Self

from pybal.checks.engine import Engine
from pybal.checks.result import NEVER, CheckFailed, Phase, Result, too_slow
from pybal.checks.socket_check import READABLE, Check, Target
from pybal.checks.tls import TLSStream
from pybal.core.text import format_duration
from pybal.http.tls_errors import tls_reason

_READ = 65536
_READS_AT_ONCE = 8


class StreamCheck(Check):
    """A check of one target; with a ``context`` it talks TLS, and asks for ``server_name`` if there is one."""

    __slots__ = ("_answered_at", "_context", "_first_at", "_secured_at", "_server_name", "_spoke_at", "_tls", "_unsaid")

    _waiting = Phase.ANSWER
    """Where it is when there is nothing to do but to talk …"""
    _answered = Phase.ANSWER
    """… and where when it is known what the answer is, and the rest is to come (``_answered_at``)."""
    _wanted_first = "an answer"
    """What did not come when nothing came."""

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        context: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._context = context
        self._server_name = server_name
        self._tls: TLSStream | None = None
        self._unsaid = b""
        self._secured_at = self._first_at = self._answered_at = self._spoke_at = 0.0

    # -- for the kinds

    def _begin(self) -> None:
        """Begin to talk: the connection is there, nothing was said."""

    def _secured(self, stream: TLSStream) -> bool:
        """Look at TLS that is there; tell whether that is all there is to wait for."""
        del stream
        return False

    def _take(self, data: bytes) -> bool:
        """Take what has come, nothing at the end of the connection; tell whether that is all there is to wait for."""
        raise NotImplementedError

    @property
    def _progress(self) -> str:
        """What had arrived, empty for nothing."""
        return f"{self._received} bytes" if self._received else ""

    @property
    def _history(self) -> str:
        """How it came where it is."""
        return f"connected in {format_duration(self._connected_at - self._started_at)}"

    def _closed(self) -> CheckFailed:
        """Return what to raise when the connection ends too early."""
        return CheckFailed(self._phase, self._error_text("connection closed"), "connection closed")

    # -- what happens, in order

    def _opened(self, events: int) -> None:
        self._received = 0
        self._secured_at = self._first_at = self._answered_at = self._spoke_at = 0.0
        self._unsaid = b""
        if self._context is not None:
            self._tls = TLSStream(self._socket, self._context, self._server_name)
        self._begin()
        self.event = self._exchange
        self._exchange(events)

    def _exchange(self, events: int) -> None:
        """Go as far as can be gone without waiting."""
        try:
            tls = self._tls
            if tls is not None and not tls.secured and self._done_when_secured(tls):
                self._passed()
                return
            if self._unsaid:
                self._send()
            if tls is None and not events & READABLE:
                return
            stream = tls or self._socket
            for _ in range(_READS_AT_ONCE):
                data = stream.recv(_READ)
                if data:
                    self._received += len(data)
                    self._spoke_at = self._engine.seconds()  # a handshake may have gone before
                    self._first_at = self._first_at or self._spoke_at
                if self._take(data):
                    self._passed()
                    return
                if self._unsaid:
                    self._send()
            self._engine.pause(self)
        except BlockingIOError:
            return
        except (CheckFailed, OSError) as error:
            self._stopped_by(error)

    def _done_when_secured(self, tls: TLSStream) -> bool:
        tls.handshake()
        self._secured_at = self._engine.seconds()
        return self._secured(tls)

    def _send(self) -> None:
        try:
            sent = (self._tls or self._socket).send(self._unsaid)
        except BlockingIOError:
            sent = 0
        self._unsaid = self._unsaid[sent:]

    def _let_go(self) -> None:
        self._tls = None

    # -- what to say of it

    def _stopped_by(self, error: CheckFailed | OSError) -> None:
        if isinstance(error, CheckFailed):
            self._failed(error)
        elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            self._failed(self._closed())
        elif isinstance(error, ssl.SSLError):
            self._failed(CheckFailed(self._phase, tls_reason(error)))
        else:
            self._errored(error)

    def _steps(self) -> Sequence[float]:
        if not self._connected_at:
            return ()
        began = self._started_at
        return (
            self._connected_at - began,
            self._secured_at - began if self._secured_at else NEVER,
            self._first_at - began if self._first_at else NEVER,
            self._answered_at - began if self._answered_at else NEVER,
        )

    @property
    def _phase(self) -> Phase:
        if not self._connected_at:
            return Phase.CONNECT
        if self._tls is not None and not self._tls.secured:
            return Phase.TLS
        return self._answered if self._answered_at else self._waiting

    def _error_text(self, cause: str) -> str:
        phase = self._phase
        if phase is Phase.CONNECT:
            return cause
        if self._tls is not None and not self._tls.secured:
            return f"{cause} during the handshake"
        return f"{cause} after {self._progress}" if self._progress else f"{cause} before {self._wanted_first}"

    def _overdue(self) -> CheckFailed:
        phase, now = self._phase, self._engine.now
        if phase is Phase.CONNECT:
            return super()._overdue()
        silence = now - (self._spoke_at or self._connected_at)
        if phase is Phase.TLS:
            reason = f"handshake timeout after {format_duration(now - self._connected_at)}"
        else:
            reason = too_slow(self._progress, silence, now - self._connected_at, self.timeout)
        return CheckFailed(phase, f"{reason} ({self._history})", "timeout")
