"""A check that exchanges data over a connection, plain or with TLS.

A kind sends its request in :meth:`StreamCheck._begin` and handles received data in :meth:`StreamCheck._take`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from socket import SocketType
from typing import Self

from typing_extensions import override

from pybal.checks.engine import Engine
from pybal.checks.result import NEVER, CheckFailed, Phase, Result, timeout_text
from pybal.checks.slices import EVENT
from pybal.checks.socket_check import READABLE, Check, Target
from pybal.checks.tls import Busy, NoData, TLSStream
from pybal.core.text import format_duration
from pybal.http.tls_errors import tls_reason
from pybal.runtime.file_values import FileValue

_READ = 16 * 1024
"""Bytes of a read, which limits the time that a kind takes for it."""
_READS_AT_ONCE = 32


class StreamCheck(Check):
    """A check of one target; with a ``context`` over TLS with the SNI ``server_name`` if it is set."""

    __slots__ = (
        "_answered_at",
        "_behind",
        "_context",
        "_first_at",
        "_last_byte_at",
        "_secured_at",
        "_server_name",
        "_tls",
        "_unsent",
    )

    _waiting = Phase.ANSWER
    """The phase before the response is known."""
    _answered = Phase.ANSWER
    """The phase after the response is known, while the rest arrives (``_answered_at``)."""
    _wanted_first = "an answer"
    """The name of the response in failures without any data."""

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        context: FileValue[ssl.SSLContext] | None = None,
        server_name: str = "",
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._context = context
        self._server_name = server_name
        self._tls: TLSStream | None = None
        self._unsent = b""
        self._behind = False
        """True while a kind has received data that it has not handled yet."""
        self._secured_at = self._first_at = self._answered_at = self._last_byte_at = 0.0

    # -- for the kinds

    def _begin(self) -> None:
        """Prepare the request; the connection is established."""

    def _secured(self, stream: TLSStream) -> bool:
        """Check the TLS session; return whether the check is complete."""
        del stream
        return False

    def _take(self, data: bytes) -> bool:
        """Handle received data (empty at the end of the stream); return whether the check is complete."""
        raise NotImplementedError

    @property
    def _ends_by_reset(self) -> bool:
        """True if a reset is as good as the end of the stream."""
        return False

    def _catch_up(self) -> bool:
        """Handle more of the data that was taken, while ``_behind`` is set; return as :meth:`_take`."""
        raise NotImplementedError

    @property
    def _progress(self) -> str:
        """The received part for a failure text, empty for none."""
        return f"{self._received} bytes" if self._received else ""

    @property
    def _history(self) -> str:
        """The completed steps for a failure text."""
        return f"connected in {format_duration(self._connected_at - self._started_at)}"

    def _closed(self) -> CheckFailed:
        """Return the failure of a connection that ends too early."""
        return CheckFailed(self._phase, self._error_text("connection closed"), "connection closed")

    # -- steps, in order

    @override
    def _opened(self, events: int) -> None:
        self._received = 0
        self._secured_at = self._first_at = self._answered_at = self._last_byte_at = 0.0
        self._unsent = b""
        self._behind = False
        if self._context is not None:
            self._tls = TLSStream(self._socket, self._context.last, self._server_name)
        self._begin()
        self.event = self._exchange
        self._exchange(events)

    def _exchange(self, events: int) -> None:
        """Continue until it would block, or for the time of one event."""
        try:
            tls = self._tls
            if tls is not None and not tls.secured and self._handshake(tls):
                self._passed()
                return
            if self._unsent:
                self._send()
            if tls is None and not events & READABLE:
                return
            self._read(tls or self._socket)
        except Busy:
            self._engine.pause(self)
        except BlockingIOError:
            return
        except (CheckFailed, NoData, OSError) as error:
            self._stopped_by(error)

    def _read(self, stream: TLSStream | SocketType) -> None:
        engine = self._engine
        end = engine.now + EVENT
        for _ in range(_READS_AT_ONCE):
            if self._catch_up() if self._behind else self._receive(stream):
                self._passed()
                return
            if self._unsent:
                self._send()
            if engine.seconds() >= end:
                break
        raise Busy

    def _receive(self, stream: TLSStream | SocketType) -> bool:
        try:
            data = stream.recv(_READ)
        except ConnectionResetError:
            if not self._ends_by_reset:
                raise
            data = b""
        if data:
            self._received += len(data)
            self._last_byte_at = self._engine.seconds()  # a handshake may have come before
            self._first_at = self._first_at or self._last_byte_at
        return self._take(data)

    def _handshake(self, tls: TLSStream) -> bool:
        tls.handshake()
        self._secured_at = self._engine.seconds()
        return self._secured(tls)

    def _send(self) -> None:
        try:
            sent = (self._tls or self._socket).send(self._unsent)
        except BlockingIOError:
            sent = 0
        self._unsent = self._unsent[sent:]

    @override
    def _release(self) -> None:
        self._tls = None

    # -- texts and results

    def _stopped_by(self, error: CheckFailed | NoData | OSError) -> None:
        if isinstance(error, CheckFailed):
            self._failed(error)
        elif isinstance(error, NoData):
            self._failed(CheckFailed(self._phase, str(error), "no data"))
        elif isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            self._failed(self._closed())
        elif isinstance(error, ssl.SSLError):
            self._failed(CheckFailed(self._phase, tls_reason(error)))
        else:
            self._errored(error)

    @override
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

    @override
    @property
    def _phase(self) -> Phase:
        if not self._connected_at:
            return Phase.CONNECT
        if self._tls is not None and not self._tls.secured:
            return Phase.TLS
        return self._answered if self._answered_at else self._waiting

    @override
    def _error_text(self, cause: str) -> str:
        phase = self._phase
        if phase is Phase.CONNECT:
            return cause
        if self._tls is not None and not self._tls.secured:
            return f"{cause} during the handshake"
        return f"{cause} after {self._progress}" if self._progress else f"{cause} before {self._wanted_first}"

    @override
    def _overdue(self) -> CheckFailed:
        phase, now = self._phase, self._engine.now
        if phase is Phase.CONNECT:
            return super()._overdue()
        silence = now - (self._last_byte_at or self._connected_at)
        if phase is Phase.TLS:
            reason = f"handshake timeout after {format_duration(now - self._connected_at)}"
        else:
            reason = timeout_text(self._progress, silence, now - self._connected_at, self.timeout)
        return CheckFailed(phase, f"{reason} ({self._history})", "timeout")
