"""A client connection of HTTP/1.1: one response per request; the last may be an endless stream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from pybal.http.errors import Fault, ProtocolError, ResponseError, ResponsePart
from pybal.http.message import Response
from pybal.http.tls_errors import tls_reason

#: Seconds a reused connection has for the first byte of a response; then it counts as dead.
REUSE_TIMEOUT = 1.5

_OK = 200


@dataclass(frozen=True, slots=True)
class FullResponse:
    """A response and its body, which is empty if it is streamed or was not requested for this status."""

    status: int
    body: bytes
    response: Response


class BodyListener(NamedTuple):
    """Callbacks of a streamed body: ``received`` for each piece, ``lost`` once with the final error.

    An exception that ``received`` raises ends the stream and is passed to ``lost``.
    """

    received: Callable[[bytes], None]
    lost: Callable[[Exception], None]


class Stale(Exception):  # noqa: N818  # a state of a connection
    """A reused connection is closed or dead and returned nothing: repeat the request on a new one."""


@implementer(IHandshakeListener)
class HTTPConnection(Protocol):
    """A connection made at ``made_at`` (by ``clock``); aborts itself on every error."""

    transport: Any

    def __init__(self, clock: IReactorTime, limit: int, *, secure: bool) -> None:
        self.made_at = clock.seconds()
        self._clock = clock
        self._limit = limit
        self._ready = not secure
        self._pending: Deferred[FullResponse] | None = None
        self._listener: BodyListener | None = None
        self._body_statuses: Container[int] | None = None
        self._response: Response | None = None
        self._body = bytearray()  # not a list of pieces: a piece of 4 bytes takes 45
        self._request_count = 0
        self._reuse_timer: IDelayedCall | None = None
        self._closed = False

    @property
    def is_free(self) -> bool:
        """True if it accepts another request."""
        idle = not self._closed and self._pending is None and self._listener is None
        return idle and self._response is not None and self._response.persists

    @property
    def is_streaming(self) -> bool:
        """True while its response is streamed."""
        return self._listener is not None

    @property
    def stage(self) -> str:
        """The missing part of the response, for error messages."""
        response = self._response
        if not self._ready:
            return "no TLS handshake"
        if response is None or not response.arrived:
            return "no response"
        if not response.status:
            return "no complete headers"
        return "no complete body" if response.expected is None else f"no complete body of {response.expected} bytes"

    def send(
        self, request: bytes, body_statuses: Container[int] | None, listener: BodyListener | None
    ) -> Deferred[FullResponse]:
        """Send a request and return its response, as :class:`pybal.http.client.HTTPClient` does.

        Fails with :class:`ProtocolError` or :class:`Stale`.
        """
        self._request_count += 1
        pending = self._pending = Deferred(lambda _: self._forget())
        self._body_statuses, self._listener = body_statuses, listener
        self._response = Response(sys.maxsize if listener else self._limit, body=self._take)
        if self._request_count > 1:
            self._reuse_timer = self._clock.callLater(REUSE_TIMEOUT, self._fail, Stale())
        self.transport.write(request)
        return pending

    def abort(self) -> None:
        """Close the connection immediately, without a callback."""
        self._forget()
        self._taken()
        self._response = None  # it refers to this connection
        if not self._closed:
            self._closed = True
            self.transport.abortConnection()

    def handshakeCompleted(self) -> None:  # noqa: N802
        self._ready = True

    @override
    def dataReceived(self, data: bytes) -> None:
        response = self._response
        if response is None or (self._pending is None and self._listener is None):
            self.abort()  # unsolicited
            return
        self._stop_timer()
        try:
            complete = response.feed(data)
        except ProtocolError as error:
            self._fail(error)
        else:
            self._deliver(response, complete=complete)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed = True
        response = self._response
        if response is None or (self._pending is None and self._listener is None):
            self._response = None
            return
        if self._request_count > 1 and not response.arrived:
            self._fail(Stale())
        elif isinstance(reason.value, ConnectionDone):
            try:
                response.close()
            except ProtocolError as error:
                self._fail(ProtocolError(str(error), Fault.NO_RESPONSE))
            else:
                self._deliver(response, complete=True)
        else:
            self._fail(_loss(reason, self.stage))

    def _take(self, piece: bytes) -> None:
        self._body += piece
        response = self._response
        if response and response.status != _OK and response.received > self._limit:
            raise ResponseError(ResponsePart.BODY, f"more than {self._limit} bytes")

    def _deliver(self, response: Response, *, complete: bool) -> None:
        """Return the response as soon as enough of it has arrived, and stream the body."""
        streamed = self._listener is not None and response.status == _OK
        unwanted = self._body_statuses is not None and response.status not in self._body_statuses
        pending = self._pending
        if pending is not None and response.status and (complete or streamed or unwanted):
            if not streamed:
                self._forget()
            self._pending = None
            pending.callback(FullResponse(response.status, b"" if streamed else self._taken(), response))
        if streamed:
            self._stream()
            if complete:
                self._fail(ProtocolError("response ended", Fault.NO_RESPONSE))

    def _stream(self) -> None:
        data = self._taken()
        # The callback that got the response may have ended the stream.
        if data and self._listener is not None:
            try:
                self._listener.received(data)
            except Exception as error:  # noqa: BLE001  # the listener's; passed to its lost
                self._fail(error)

    def _taken(self) -> bytes:
        """Return the body so far and drop it: the connection may outlive its response for long."""
        data, self._body = bytes(self._body), bytearray()
        return data

    def _fail(self, error: Exception) -> None:
        pending, listener = self._pending, self._listener
        self.abort()
        if pending is not None:
            pending.errback(error)
        elif listener is not None and not isinstance(error, Stale):
            listener.lost(error)

    def _forget(self) -> None:
        self._stop_timer()
        self._pending = self._listener = None

    def _stop_timer(self) -> None:
        if self._reuse_timer is not None and self._reuse_timer.active():
            self._reuse_timer.cancel()
        self._reuse_timer = None


class HTTPConnectionFactory(Factory):
    """Makes connections that refuse a body of more than ``limit`` bytes."""

    noisy = False

    def __init__(self, clock: IReactorTime, limit: int, *, secure: bool) -> None:
        self._clock = clock
        self._limit = limit
        self._secure = secure

    @override
    def buildProtocol(self, addr: object) -> HTTPConnection:
        return HTTPConnection(self._clock, self._limit, secure=self._secure)


def _loss(reason: Failure, stage: str) -> ProtocolError:
    error = reason.value
    if isinstance(error, ProtocolError):
        return error
    if error and (tls := tls_reason(error)):
        return ProtocolError(f"TLS: {tls}", Fault.UNREACHABLE)
    event = "connection lost" if isinstance(error, ConnectionLost) else str(error)
    return ProtocolError(f"{event}: {stage}", Fault.NO_RESPONSE)
