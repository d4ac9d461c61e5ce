"""One connection to the server of a pool source, and what comes over it: an answer after each request, or one without end."""

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
from zope.interface import implementer

from pybal.http.errors import Fault, ProtocolError, ResponseError, ResponsePart
from pybal.http.message import Response
from pybal.http.tls_errors import tls_reason

#: Seconds until the first byte of an answer over a connection that was used before: after these it counts as dead.
PATIENCE = 1.5

_OK = 200


@dataclass(frozen=True, slots=True)
class FullResponse:
    """What the server said. The body is all of it, unless the status is one that was not heeded, or it is followed."""

    status: int
    body: bytes
    response: Response


class BodyListener(NamedTuple):
    """Who follows an answer: ``heard`` is given its pieces, ``lost`` why there will be no more, once.

    An exception that ``heard`` raises ends it, and is given to ``lost``.
    """

    heard: Callable[[bytes], None]
    lost: Callable[[Exception], None]


class Gone(Exception):  # noqa: N818  # said of a connection
    """A connection that was used before is of no use any more, and nothing was answered."""


@implementer(IHandshakeListener)
class HTTPConnection(Protocol):
    """A connection to the server, made at ``made_at`` by ``clock``. It ends itself with everything that fails."""

    transport: Any

    def __init__(self, clock: IReactorTime, limit: int, *, secure: bool) -> None:
        self.made_at = clock.seconds()
        self._clock = clock
        self._limit = limit
        self._ready = not secure
        self._answer: Deferred[FullResponse] | None = None
        self._listener: BodyListener | None = None
        self._heeded: Container[int] | None = None
        self._response: Response | None = None
        self._pieces: list[bytes] = []
        self._asked = 0
        self._impatient: IDelayedCall | None = None
        self._ended = False

    @property
    def is_free(self) -> bool:
        """Whether it is good for another request."""
        idle = not self._ended and self._answer is None and self._listener is None
        return idle and self._response is not None and self._response.persists

    @property
    def is_followed(self) -> bool:
        """Whether its answer goes on."""
        return self._listener is not None

    @property
    def stage(self) -> str:
        """How far the answer has come."""
        response = self._response
        if not self._ready:
            return "no TLS handshake"
        if response is None or not response.arrived:
            return "no answer"
        if not response.status:
            return "less than a whole header"
        return f"less than {'all' if response.expected is None else response.expected} bytes of an answer"

    def ask(
        self, request: bytes, heeded: Container[int] | None, listener: BodyListener | None
    ) -> Deferred[FullResponse]:
        """Return the answer; as :class:`pybal.http.client.HTTPClient` says. Fails with :class:`ProtocolError`, or :class:`Gone`."""
        self._asked += 1
        answer = self._answer = Deferred(lambda _: self._over())
        self._heeded, self._listener = heeded, listener
        self._pieces = []
        self._response = Response(sys.maxsize if listener else self._limit, body=self._take)
        if self._asked > 1:
            self._impatient = self._clock.callLater(PATIENCE, self._fail, Gone())
        self.transport.write(request)
        return answer

    def abort(self) -> None:
        """End it at once; nobody is told."""
        self._over()
        if not self._ended:
            self._ended = True
            self.transport.abortConnection()

    def handshakeCompleted(self) -> None:  # noqa: N802  # Twisted's name
        self._ready = True

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        response = self._response
        if response is None or (self._answer is None and self._listener is None):
            self.abort()  # nobody asked for it
            return
        self._calm()
        try:
            complete = response.feed(data)
        except ProtocolError as error:
            self._fail(error)
        else:
            self._look(response, complete=complete)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self._ended = True
        response = self._response
        if response is None or (self._answer is None and self._listener is None):
            return
        if self._asked > 1 and not response.arrived:
            self._fail(Gone())
        elif isinstance(reason.value, ConnectionDone):
            try:
                response.close()
            except ProtocolError as error:
                self._fail(ProtocolError(str(error), Fault.NO_RESPONSE))
            else:
                self._look(response, complete=True)
        else:
            self._fail(_why(reason, self.stage))

    def _take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        response = self._response
        if response and response.status != _OK and response.received > self._limit:
            raise ResponseError(ResponsePart.BODY, f"more than {self._limit} bytes")

    def _look(self, response: Response, *, complete: bool) -> None:
        """Give the answer as soon as there is enough of it; then its pieces, where it is followed."""
        followed = self._listener is not None and response.status == _OK
        unheeded = self._heeded is not None and response.status not in self._heeded
        answer = self._answer
        if answer is not None and response.status and (complete or followed or unheeded):
            if not followed:
                self._over()
            self._answer = None
            answer.callback(FullResponse(response.status, b"" if followed else b"".join(self._pieces), response))
        if followed:
            self._hand_on()
            if complete:
                self._fail(ProtocolError("the answer has ended", Fault.NO_RESPONSE))

    def _hand_on(self) -> None:
        data, self._pieces = b"".join(self._pieces), []
        # Whoever got the answer may have ended it.
        if data and self._listener is not None:
            try:
                self._listener.heard(data)
            except Exception as error:  # noqa: BLE001  # the listener's own
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        answer, listener = self._answer, self._listener
        self.abort()
        if answer is not None:
            answer.errback(error)
        elif listener is not None and not isinstance(error, Gone):
            listener.lost(error)

    def _over(self) -> None:
        self._calm()
        self._answer = self._listener = None

    def _calm(self) -> None:
        if self._impatient is not None and self._impatient.active():
            self._impatient.cancel()
        self._impatient = None


class HTTPConnectionFactory(Factory):
    """Makes connections, on which an answer of more than ``limit`` bytes is refused."""

    noisy = False

    def __init__(self, clock: IReactorTime, limit: int, *, secure: bool) -> None:
        self._clock = clock
        self._limit = limit
        self._secure = secure

    def buildProtocol(self, addr: object) -> HTTPConnection:  # noqa: ARG002, N802  # Twisted's name
        return HTTPConnection(self._clock, self._limit, secure=self._secure)


def _why(reason: Failure, stage: str) -> ProtocolError:
    error = reason.value
    if isinstance(error, ProtocolError):
        return error
    if error and (tls := tls_reason(error)):
        return ProtocolError(tls, Fault.UNREACHABLE)
    what = "connection lost" if isinstance(error, ConnectionLost) else str(error)
    return ProtocolError(f"{what}: {stage}", Fault.NO_RESPONSE)
