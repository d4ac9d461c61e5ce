"""The HTTP listeners: twisted.web's server, hardened against slow, many and malicious clients.

* The head of a request has one deadline. twisted.web alone restarts the timeout with every byte.
* Only GET and HEAD are accepted. A request with a body is refused before the body is read.
* Long responses are sent in pieces. The next piece is made when the client has read the previous one.
* If too many connections are open, the longest idle connection is closed.
* On a loopback address the Host header must name this machine, as a defence against DNS rebinding (a foreign web page
  whose name resolves to 127.0.0.1 in the operator's browser).
"""
# The channels and requests of twisted.web have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import IPv6Address, ip_address

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, Request, datetimeToString
from typing_extensions import override
from zope.interface import implementer

from pybal.core.model import Address
from pybal.runtime.reactor import Reactor
from pybal.status.routes import RouteResponse, Routes

#: Seconds within which the head of a request must arrive.
HEAD_TIMEOUT = 10
#: Seconds after which an idle connection is closed.
IDLE_TIMEOUT = 75
#: Seconds within which the client must read a response in pieces.
SEND_TIMEOUT = 60

_BACKLOG = 256

_HEADERS = {
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"X-Content-Type-Options": b"nosniff",
}

_log = Logger()


@implementer(IPushProducer)
class _PieceProducer:
    """Sends a response in pieces: the event loop runs between two, and a slow client causes no backlog."""

    def __init__(self, request: _Request, pieces: Iterator[bytes], clock: IReactorTime) -> None:
        self._request = request
        self._pieces = pieces
        self._clock = clock
        self._next: IDelayedCall | None = None
        self._deadline = clock.callLater(SEND_TIMEOUT, self._abort)
        request.notifyFinish().addBoth(lambda _: self.stopProducing())
        request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        if self._next is None and self._deadline.active():
            self._next = self._clock.callLater(0, self._send)

    def pauseProducing(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        if self._deadline.active():
            self._deadline.cancel()

    def _send(self) -> None:
        self._next = None
        try:
            piece = next(self._pieces, None)
        except Exception:  # noqa: BLE001  # an error in a view must not stop the listener
            _log.failure("Response to {path} failed; closing the connection", path=self._request.path)
            self._abort()
            return
        if piece is None:
            self._request.unregisterProducer()
            self._request.finish()
            return
        # Before the write, because it may call pauseProducing.
        self.resumeProducing()
        self._request.write(piece)

    def _abort(self) -> None:
        self.stopProducing()
        self._request.channel.abort()


class _Request(Request):
    """One request. An exception in its view is logged with a traceback and answered with 500."""

    channel: _Channel

    @override
    def process(self) -> None:
        self.channel.answering = True
        if self.method not in (b"GET", b"HEAD"):
            self.setHeader(b"Allow", b"GET, HEAD")
            self._reply(_error(405))
        elif not self.channel.has_valid_host(self.requestHeaders.getRawHeaders(b"Host", [])):
            self._reply(_error(421))
        else:
            try:
                as_json = b"application/json" in self.requestHeaders.getRawHeaders(b"Accept", [])
                answer = self.channel.factory.status.answer(self.path, as_json=as_json)
            except Exception:  # noqa: BLE001  # an error in a view must not stop the listener
                _log.failure("Request of {path} failed; responding with 500", path=self.path)
                answer = _error(500)
            self._reply(answer)

    def _reply(self, answer: RouteResponse) -> None:
        self.setResponseCode(answer.code, _reason(answer.code))
        for name, value in _HEADERS.items():
            self.setHeader(name, value)
        self.setHeader(b"Date", datetimeToString())
        self.setHeader(b"Content-Type", answer.content_type)
        if isinstance(answer.body, bytes):
            self.setHeader(b"Content-Length", b"%d" % len(answer.body))
            self.write(answer.body)
        elif self.method != b"HEAD":
            _PieceProducer(self, answer.body, self.channel.factory.clock)
            return
        self.finish()


class _Channel(HTTPChannel):
    """One connection. ``answering`` is true from the head of a request until the end of its response."""

    requestFactory = _Request
    maxHeaders = 100
    factory: StatusFactory
    transport: ITCPTransport
    answering = False
    _idle = False
    _closing = False

    @override
    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Use the injected clock; twisted.web's timeouts would use the global reactor."""
        return self.factory.clock.callLater(period, func)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self._idle:
            self._idle = False
            self.setTimeout(HEAD_TIMEOUT)
        super().dataReceived(data)

    @override
    def resetTimeout(self) -> None:
        """Ignore the call: twisted.web would restart the timeout with every chunk of data and every line."""

    @override
    def requestDone(self, request: Request) -> None:
        self.answering = False
        self._idle = True
        super().requestDone(request)  # starts the next request if it was received already
        if self._idle:
            # Also if the connection is about to be closed, because the client may not read the response.
            self.setTimeout(IDLE_TIMEOUT)

    @override
    def allHeadersReceived(self) -> None:
        if self.length == 0:
            super().allHeadersReceived()
        else:
            self._refuse(413 if self._command in (b"GET", b"HEAD") else 405)

    @override
    def lineLengthExceeded(self, _line: bytes) -> None:
        self._refuse(431)

    def _refuse(self, code: int) -> None:
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % (code, _reason(code))
        )
        self.loseConnection()

    @override
    def loseConnection(self) -> None:
        """Close after the client has read the written data; accept no further request until then."""
        self._closing = True
        super().loseConnection()

    @override
    def timeoutConnection(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close the connection immediately."""
        self.transport.abortConnection()

    def has_valid_host(self, hosts: Sequence[bytes]) -> bool:
        """Return whether the Host headers of a request name this machine. HTTP/1.0 has none."""
        local = ip_address(self.transport.getHost().host.partition("%")[0])
        return not local.is_loopback or not hosts or (len(hosts) == 1 and self.factory.is_local_name(_host(hosts[0])))

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.forget(self)
        super().connectionLost(reason)


class StatusFactory(ServerFactory):
    """Serves one :class:`Routes` on any number of listeners.

    ``host_names`` are names of this machine that the Host header may contain on a loopback address, besides
    ``localhost`` and IP literals. Beyond ``max_connections`` a new connection closes the longest idle one;
    ``connections`` holds the open ones, oldest first.
    """

    noisy = False

    def __init__(
        self, status: Routes, clock: IReactorTime, *, host_names: Collection[str] = (), max_connections: int = 500
    ) -> None:
        self.status = status
        self.clock = clock
        self._host_names = {"localhost", "ip6-localhost", *(name.lower() for name in host_names)}
        self._max_connections = max_connections
        self.connections: dict[_Channel, None] = {}

    @override
    def buildProtocol(  # type: ignore[override]  # Factory is generic, but not yet in Twisted 22.4
        self, _addr: IAddress | None
    ) -> _Channel | None:
        if len(self.connections) >= self._max_connections:
            oldest = next((channel for channel in self.connections if not channel.answering), None)
            if oldest is None:
                return None
            self.forget(oldest)
            oldest.abort()
        channel = _Channel()
        channel.factory = self
        channel.timeOut = HEAD_TIMEOUT
        self.connections[channel] = None
        return channel

    def log(self, request: Request) -> None:
        """Keep no access log. twisted.web calls this at the end of each request."""

    def forget(self, channel: _Channel) -> None:
        """Remove a closed connection from the count."""
        self.connections.pop(channel, None)

    def is_local_name(self, host: str) -> bool:
        """Return whether a host in a request can only be this machine. An IP literal needs no DNS."""
        try:
            ip_address(host)
        except ValueError:
            return host in self._host_names
        return True


def listen(reactor: Reactor, factory: StatusFactory, ip: Address, port: int) -> IListeningPort:
    """Listen on one address; port 0 selects a free one. Raises CannotListenError, which names the address."""
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setblocking(False)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Otherwise [::] would cover 0.0.0.0 too, and a second listener on 0.0.0.0 would fail.
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind(socket.getaddrinfo(str(ip), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])
            server.listen(_BACKLOG)
            return reactor.adoptStreamPort(server.fileno(), family, factory)
    except OSError as error:
        raise CannotListenError(str(ip), port, error) from error


def _host(header: bytes) -> str:
    text = header.decode("latin-1").lower()
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].rstrip(".")


def _reason(code: int) -> bytes:
    return {421: b"Misdirected Request", 431: b"Request Header Fields Too Large"}.get(code) or RESPONSES[code]


def _error(code: int) -> RouteResponse:
    return RouteResponse(_reason(code) + b"\n", code=code)
