"""The HTTP and HTTPS check: one request, one response, an end as soon as the response is complete."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from pybal.checks import http
from pybal.checks.check import READABLE, WRITABLE, Check, Target
from pybal.checks.engine import Engine
from pybal.checks.result import NEVER, CheckFailed, Phase, Result, span, too_slow
from pybal.checks.tls import TLSStream, reason_of
from pybal.config.errors import shown
from pybal.config.pattern import Pattern, Search

_READ = 65536
_READS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked for and what is wanted, shared by all checks of a service.

    ``number`` is its place among those of its service. ``data`` goes over the wire. ``statuses`` are those that pass,
    ``wanted`` what failures say of them. With a ``context`` it is HTTPS, and ``server_name`` the name asked for. The
    ``pattern`` must be found in the body, which has at most ``max_body`` bytes, and none at all if ``bodiless``.
    """

    url: str
    number: int
    data: bytes
    wanted: int | str
    statuses: frozenset[int]
    context: ssl.SSLContext | None = None
    server_name: str = ""
    bodiless: bool = False
    max_body: int = http.BODY_LIMIT
    pattern: Pattern | None = None

    @property
    def ordinary(self) -> bool:
        """Whether all that is wanted of a response is its status, and that it is complete."""
        return not self.bodiless and self.pattern is None and self.max_body == http.BODY_LIMIT


class _Stream(Protocol):
    """What a socket and TLS on it have in common."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...


class Fetch(Check):
    """A check that passes when a wanted status comes with a complete response."""

    __slots__ = (
        "_answered_at",
        "_first_at",
        "_ordinary",
        "_response",
        "_search",
        "_secured_at",
        "_spoke_at",
        "_stream",
        "_unsent",
        "request",
    )

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        request: Request,
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self.request = request
        self._ordinary = request.ordinary
        self._search: Search | None = None
        self._stream: _Stream | None = None
        self._response: http.Response | None = None
        self._unsent = b""
        self._secured_at = self._first_at = self._answered_at = self._spoke_at = 0.0

    # -- what happens, in order

    def _opened(self, events: int) -> None:
        request = self.request
        self._unsent = request.data
        if request.context is None:
            self._stream = self._socket
        else:
            self._stream = TLSStream(self._socket, request.context, request.server_name)
        self.event = self._exchange
        self._exchange(events)

    def _exchange(self, events: int) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            if self._unsent and events & WRITABLE:
                self._unsent = self._unsent[stream.send(self._unsent) :]
            if not events & READABLE and self.request.context is None:
                return  # plain TCP has nothing to do before there is something to read, TLS has
            for _ in range(_READS_AT_ONCE):
                if self._take(stream.recv(_READ)):
                    self._passed()
                    return
            self._engine.pause(self)
        except BlockingIOError:
            if not self._secured_at and isinstance(stream, TLSStream) and stream.secured:
                self._secured_at = self._engine.seconds()
        except (CheckFailed, OSError) as error:
            self._stopped_by(error)

    def _take(self, data: bytes) -> bool:
        """Take what has come; tell whether the response is complete."""
        response = self._response
        if response is None:
            status = http.glance(data) if self._ordinary else 0
            if status:
                self._first_at = self._answered_at = self._engine.seconds()  # a handshake may have gone before
                self._received = len(data)
                self._judge(status)
                return True
            response = self._response = self._begin()
        if not data:
            response.close()
        else:
            self._spoke_at = self._engine.seconds()
            self._first_at = self._first_at or self._spoke_at
            self._received += len(data)
            response.feed(data)
        if response.status and not self._answered_at:
            self._answered_at = self._spoke_at
            self._judge(response.status)
        if response.complete and self._search is not None and not self._search.end():
            wanted = shown(self._search.pattern.text)
            compressed = f", content-encoding {response.encoding}" if response.encoding else ""
            raise CheckFailed(Phase.BODY, f"no match for {wanted} in {response.received} bytes{compressed}", "no match")
        return response.complete

    def _begin(self) -> http.Response:
        request = self.request
        if request.pattern is None:
            return http.Response(request.max_body, bodiless=request.bodiless)
        self._search = request.pattern.search()
        return http.Response(request.max_body, bodiless=request.bodiless, body=self._search.feed)

    def _judge(self, status: int) -> None:
        if status not in self.request.statuses:
            raise CheckFailed(Phase.STATUS, f"HTTP {status}, wanted {self.request.wanted}", f"HTTP {status}")

    def _close(self) -> None:
        super()._close()
        self._stream = None
        self._response = self._search = None
        self._received = 0
        self._secured_at = self._first_at = self._answered_at = self._spoke_at = 0.0

    # -- what to say of a failure

    def _stopped_by(self, error: CheckFailed | OSError) -> None:
        if isinstance(error, CheckFailed):
            self._failed(error)
        elif isinstance(error, ssl.SSLEOFError):
            self._failed(CheckFailed(self._phase, self._error_text("connection closed"), "connection closed"))
        elif isinstance(error, ssl.SSLError):
            self._failed(CheckFailed(self._phase, reason_of(error)))
        else:
            self._errored(error)

    def _steps(self) -> Sequence[float]:
        stream = self._stream
        if stream is None:
            return ()
        began, answered = self._started_at, self._answered_at
        secured = NEVER
        if isinstance(stream, TLSStream) and stream.secured:
            secured = (self._secured_at or self._first_at or self._engine.seconds()) - began
        return (
            self._connected_at - began,
            secured,
            self._first_at - began if self._first_at else NEVER,
            answered - began if answered else NEVER,
        )

    @property
    def _phase(self) -> Phase:
        if self._stream is None:
            return Phase.CONNECT
        if isinstance(self._stream, TLSStream) and not self._stream.secured:
            return Phase.TLS
        return Phase.BODY if self._answered_at else Phase.HEADERS

    def _error_text(self, cause: str) -> str:
        phase = self._phase
        if phase is Phase.TLS:
            return f"{cause} during the handshake"
        if phase is Phase.CONNECT:
            return cause
        return f"{cause} after {self._progress}" if self._progress else f"{cause} before a response"

    @property
    def _progress(self) -> str:
        """What had arrived of the response, if anything."""
        response = self._response
        if response is None or not response.arrived:
            return ""
        return response.progress if response.status else f"{response.arrived} bytes"

    def _overdue(self) -> CheckFailed:
        phase, now = self._phase, self._engine.now
        if phase is Phase.CONNECT:
            return super()._overdue()
        silence = now - (self._spoke_at or self._connected_at)
        history = f"connected in {span(self._connected_at - self._started_at)}"
        if phase is Phase.TLS:
            reason = f"handshake timeout after {span(now - self._connected_at)}"
        else:
            reason = too_slow(self._progress, silence, now - self._connected_at, self.timeout)
        if phase is Phase.BODY and self._response is not None:
            history += f", HTTP {self._response.status} in {span(self._answered_at - self._started_at)}"
        return CheckFailed(phase, f"{reason} ({history})", "timeout")
