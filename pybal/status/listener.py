"""The HTTP listeners: twisted.web's server, hardened against clients that are slow, many, huge or sent by strangers.

* The head of a request has one deadline; twisted.web alone grants the whole time-out anew for every byte.
* GET and HEAD only; a request with a body is refused before the body is read.
* Long answers are sent in pieces, each when the client has taken the one before.
* When too many connections are open, the one that has waited longest for nothing makes room.
* On a loopback address the Host header must name this machine: a web page elsewhere, whose name was made to resolve
  to 127.0.0.1 in the operator's browser, would send its own (DNS rebinding).
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
    IReactorSocket,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, Request, datetimeToString
from zope.interface import implementer

from pybal.core.model import Address
from pybal.status.routes import RouteResponse, Routes

#: Seconds in which a request's head must be there, a connection may idle, and an answer in pieces must be taken.
HEAD, IDLE, TAKEN = 10, 75, 60

_BACKLOG = 256

_HEADERS = {
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"X-Content-Type-Options": b"nosniff",
}

_log = Logger()


@implementer(IPushProducer)
class _Pieces:
    """Sends an answer piece by piece: between two the loop is free, and a slow client makes no backlog."""

    def __init__(self, request: _Request, pieces: Iterator[bytes], clock: IReactorTime) -> None:
        self._request = request
        self._pieces = pieces
        self._clock = clock
        self._next: IDelayedCall | None = None
        self._deadline = clock.callLater(TAKEN, self._abort)
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
        except Exception:  # noqa: BLE001  # whatever a view fails with must not end the listener
            _log.failure("answer to {path} broke off", path=self._request.path)
            self._abort()
            return
        if piece is None:
            self._request.unregisterProducer()
            self._request.finish()
            return
        # First, because writing may pause us.
        self.resumeProducing()
        self._request.write(piece)

    def _abort(self) -> None:
        self.stopProducing()
        self._request.channel.abort()


class _Request(Request):
    """One request: any failure of its answer is a traceback in the log and a 500."""

    channel: _Channel

    def process(self) -> None:
        self.channel.answering = True
        if self.method not in (b"GET", b"HEAD"):
            self.setHeader(b"Allow", b"GET, HEAD")
            self._reply(_plain(405))
        elif not self.channel.is_addressed(self.requestHeaders.getRawHeaders(b"Host", [])):
            self._reply(_plain(421))
        else:
            try:
                as_json = b"application/json" in self.requestHeaders.getRawHeaders(b"Accept", [])
                answer = self.channel.factory.status.answer(self.path, as_json=as_json)
            except Exception:  # noqa: BLE001  # whatever a view fails with must not end the listener
                _log.failure("no answer to {path}", path=self.path)
                answer = _plain(500)
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
            _Pieces(self, answer.body, self.channel.factory.clock)
            return
        self.finish()


class _Channel(HTTPChannel):
    """One connection. ``answering`` tells whether a request is being answered, or one is awaited."""

    requestFactory = _Request
    maxHeaders = 100
    factory: StatusFactory
    transport: ITCPTransport
    answering = False
    _idle = False
    _closing = False

    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Use the clock given: twisted.web's time-outs would take the global reactor."""
        return self.factory.clock.callLater(period, func)

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self._idle:
            self._idle = False
            self.setTimeout(HEAD)
        super().dataReceived(data)

    def resetTimeout(self) -> None:
        """Grant no more time: twisted.web asks for it whenever there is data, or a line."""

    def requestDone(self, request: Request) -> None:
        self.answering = False
        self._idle = True
        super().requestDone(request)  # takes up the next request, if it is there already
        if self._idle:
            # Also when the connection is about to be closed: the client may not be taking the answer.
            self.setTimeout(IDLE)

    def allHeadersReceived(self) -> None:
        if self.length == 0:
            super().allHeadersReceived()
        else:
            self._refuse(413 if self._command in (b"GET", b"HEAD") else 405)

    def lineLengthExceeded(self, _line: bytes) -> None:
        self._refuse(431)

    def _refuse(self, code: int) -> None:
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % (code, _reason(code))
        )
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close once what was written is taken. twisted.web alone would go on reading requests until then."""
        self._closing = True
        super().loseConnection()

    def timeoutConnection(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self.transport.abortConnection()

    def is_addressed(self, hosts: Sequence[bytes]) -> bool:
        """Return whether the Host headers of a request mean this machine. HTTP/1.0 knows none."""
        local = ip_address(self.transport.getHost().host.partition("%")[0])
        return not local.is_loopback or not hosts or (len(hosts) == 1 and self.factory.is_here(_host(hosts[0])))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.forget(self)
        super().connectionLost(reason)


class StatusFactory(ServerFactory):
    """Serves one :class:`Routes` to the clients of any number of listeners.

    ``host_names`` are names of this machine, by which clients may address it on a loopback address as well as by
    ``localhost`` and IP literals. Beyond ``max_connections`` the longest idle connection makes room for a new one.
    """

    noisy = False

    def __init__(
        self, status: Routes, clock: IReactorTime, *, host_names: Collection[str] = (), max_connections: int = 500
    ) -> None:
        self.status = status
        self.clock = clock
        self._host_names = {"localhost", "ip6-localhost", *(name.lower() for name in host_names)}
        self._max_connections = max_connections
        self._open: dict[_Channel, None] = {}

    def buildProtocol(  # type: ignore[override]  # Factory is generic, but not yet in Twisted 22.4
        self, _addr: IAddress | None
    ) -> _Channel | None:
        if len(self._open) >= self._max_connections:
            oldest = next((channel for channel in self._open if not channel.answering), None)
            if oldest is None:
                return None
            self.forget(oldest)
            oldest.abort()
        channel = _Channel()
        channel.factory = self
        channel.timeOut = HEAD
        self._open[channel] = None
        return channel

    def log(self, request: Request) -> None:
        """Keep no access log: called by twisted.web at the end of each request."""

    def forget(self, channel: _Channel) -> None:
        """Count a connection no longer."""
        self._open.pop(channel, None)

    def is_here(self, host: str) -> bool:
        """Return whether a host, as a client calls it, can only be this machine: an IP literal needs no DNS."""
        try:
            ip_address(host)
        except ValueError:
            return host in self._host_names
        return True


def listen(reactor: IReactorSocket, factory: StatusFactory, ip: Address, port: int) -> IListeningPort:
    """Listen on one address; port 0 takes a free one. Raises CannotListenError, which names the address."""
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as server:
            server.setblocking(False)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Else [::] would take 0.0.0.0 too, and a second listener there could not be had.
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


def _plain(code: int) -> RouteResponse:
    return RouteResponse(_reason(code) + b"\n", code=code)
