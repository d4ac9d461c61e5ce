"""The HTTP listeners: twisted.web's server, hardened against slow, many and malicious clients.

* The head of a request has one deadline. twisted.web alone restarts the timeout with every byte.
* Only GET and HEAD are accepted. A request with a body is refused before the body is read.
* All requests share a small time budget in each turn of the event loop. One request of a connection is answered in its turn; pipelined
  ones wait for theirs, at most about 32 KiB of them in memory, and the next one also waits until the client has read the previous response.
* A large response is rendered in slices and sent in pieces (:mod:`pybal.status.renderings`, :mod:`pybal.status.sending`).
* A request about a service that has just started waits a little (:mod:`pybal.status.first_answers`).
* An event stream (:mod:`pybal.status.events`) lasts until its client leaves or stops reading.
* If too many connections are open, the one without progress for the longest time is closed (:mod:`pybal.status.connections`).
* On a loopback address the Host header must name this machine, as a defence against DNS rebinding (a foreign web page
  whose name resolves to 127.0.0.1 in the operator's browser).
"""
# The channels and requests of twisted.web have no types.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from ipaddress import IPv6Address, ip_address

from twisted.internet.defer import CancelledError
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime, ITCPTransport
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES, HTTPChannel, Request, datetimeToString
from typing_extensions import override

from pybal.core.model import Address
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import BUDGET, Turns
from pybal.status import events
from pybal.status.connections import MOST, MOST_OF_CLIENT, Connections, client_of
from pybal.status.first_answers import FirstAnswers
from pybal.status.renderings import PIECE, Body, Compressor, Renderings, compressed
from pybal.status.routes import SWITCHES, Compression, RouteResponse, Routes
from pybal.status.sending import SEND_TIMEOUT, STALL_TIMEOUT, BodyProducer

#: Seconds within which the head of a request must arrive.
HEAD_TIMEOUT = 10
#: Seconds after which an idle connection is closed.
IDLE_TIMEOUT = 75

#: Seconds for which connections are served after the last port was closed.
LAST_SECONDS = 1.0
_LOOK_SECONDS = 0.02

_BACKLOG = 256

_BUFFER = 1 << 14
"""Bytes of one read from a connection, and bytes that wait for a slow client before writing pauses."""

_HEADERS = {
    b"Cache-Control": b"no-store",
    b"Content-Security-Policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Referrer-Policy": b"no-referrer",
    b"X-Content-Type-Options": b"nosniff",
}

_log = Logger()


class _Request(Request):
    """One request. An exception in its view is logged with a traceback and answered with 500."""

    channel: _Channel

    @override
    def process(self) -> None:
        self.channel.wait(self._answer)

    def _answer(self) -> None:
        if self.method not in (b"GET", b"HEAD"):
            self.setHeader(b"Allow", b"GET, HEAD")
            self._reply(_error(405))
        elif not self.channel.has_valid_host(self.requestHeaders.getRawHeaders(b"Host", [])):
            self._reply(_error(421))
        else:
            self._wait()

    def _wait(self) -> None:
        try:
            waiting = self.channel.factory.first_answers.wait(self.path, self.channel.transport)
        except Exception:  # noqa: BLE001  # as in a view
            self._fail(Failure())
            return
        if waiting is None:
            self._view()
            return
        self.notifyFinish().addErrback(lambda _: waiting.cancel())
        waiting.addCallbacks(lambda _: self._view(), self._fail)

    def _view(self) -> None:
        try:
            as_json = b"application/json" in self.requestHeaders.getRawHeaders(b"Accept", [])
            switches = frozenset(name for name in SWITCHES if self.args.get(name) == [b"1"])
            answer = self.channel.factory.status.answer(self.path, as_json=as_json, switches=switches)
        except Exception:  # noqa: BLE001  # an error in a view must not stop the listener
            self._fail(Failure())
            return
        if isinstance(answer.body, bytes):
            if answer.endless:
                self._stream(answer)
            else:
                self._reply(answer)
            return
        gzip = answer.compression is not Compression.NONE and _accepts_gzip(
            self.requestHeaders.getRawHeaders(b"Accept-Encoding", [])
        )
        pieces = answer.body
        if gzip and answer.compression is Compression.BY_PIECE:
            pieces = self.channel.factory.compressors[switches].compressed(pieces)
        elif gzip:
            pieces = compressed(pieces)
        body = self.channel.factory.renderings.body((self.path, as_json, gzip, switches), pieces)
        self.notifyFinish().addErrback(lambda _: body.cancel())
        body.addCallback(partial(self._send, answer, gzip=gzip)).addErrback(self._fail)

    def _fail(self, failure: Failure) -> None:  # a cancelled one has no client any more
        if not failure.check(CancelledError):
            _log.failure("Request of {path} failed; responding with 500", failure, path=self.path)
            self._reply(_error(500))

    def _reply(self, answer: RouteResponse) -> None:
        assert isinstance(answer.body, bytes)  # noqa: S101  # other bodies are rendered first
        self._send(answer, Body.of(answer.body))

    def _stream(self, answer: RouteResponse) -> None:
        if self.channel.factory.streams.full:
            self._reply(RouteResponse(events.FULL, code=503))
            return
        self._set_headers(answer)
        self.setHeader(b"X-Accel-Buffering", b"no")  # nginx as a proxy would keep events back
        if self.method == b"HEAD":
            self.finish()
        else:
            self.channel.stream(self)

    def _set_headers(self, answer: RouteResponse) -> None:
        self.setResponseCode(answer.code, _reason(answer.code))
        for name, value in _HEADERS.items():
            self.setHeader(name, value)
        self.setHeader(b"Date", datetimeToString())
        self.setHeader(b"Content-Type", answer.content_type)

    def _send(self, answer: RouteResponse, body: Body, *, gzip: bool = False) -> None:
        self._set_headers(answer)
        self.setHeader(b"Content-Length", b"%d" % body.size)
        if answer.compression is not Compression.NONE:
            self.setHeader(b"Vary", b"Accept-Encoding")
        if gzip:
            self.setHeader(b"Content-Encoding", b"gzip")
        if self.method == b"HEAD" or body.size <= PIECE:
            self.write(b"".join(body.pieces))
            self.finish()
        else:
            self.channel.send(self, body)


class _Channel(HTTPChannel):
    """One connection.

    ``waits`` is true from the head of a request until its response is ready; ``body`` is a large one while it is sent.
    ``progress`` is the last time at which the client connected, finished a request or read a piece.
    """

    requestFactory = _Request
    maxHeaders = 100
    factory: StatusFactory
    transport: ITCPTransport

    def __init__(self, client: str, now: float) -> None:
        super().__init__()
        self.client = client
        self.progress = now
        self.waits = False
        self.body: Body | None = None
        self._received = b""
        self._parked: Callable[[], object] | None = None
        self._congested = False
        self._idle = False
        self._closing = False
        self._ending = False
        self._streaming = False

    @override
    def callLater(self, period: float, func: Callable[[], object]) -> IDelayedCall:
        """Use the injected clock; twisted.web's timeouts would use the global reactor."""
        return self.factory.clock.callLater(period, func)

    @override
    def connectionMade(self) -> None:
        # Twisted reads at most this, and pauses a producer when more waits to be written.
        self.transport.bufferSize = _BUFFER  # type: ignore[attr-defined]
        super().connectionMade()

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        if self.waits or self.body is not None:
            super().dataReceived(data)  # which stores it
        else:
            if not self._received:
                self.factory.requests.add(self._parse)
            self._received += data
        self._pause_if_ahead()

    def _parse(self) -> None:
        data, self._received = self._received, b""
        if self._closing:
            return
        if self._idle:
            self._idle = False
            self.setTimeout(HEAD_TIMEOUT)
        if not self._congested:
            self._networkProducer.resumeProducing()
        super().dataReceived(data)
        self._pause_if_ahead()

    def _pause_if_ahead(self) -> None:
        """Stop reading while much data waits; the next request, or the end of this one, resumes it.

        twisted.web does so only for data that arrives during a request, and not while the client leaves a response unread.
        """
        if len(self._received) + sum(map(len, self._dataBuffer)) > _BUFFER:
            self._networkProducer.pauseProducing()

    def wait(self, answer: Callable[[], object]) -> None:
        """Make a response in the turn of this connection, after the client has read the previous one."""
        self.waits = not self._congested
        if self._congested:
            self._parked = answer
            self.setTimeout(SEND_TIMEOUT)
        else:
            self.factory.requests.add(partial(self._answer, answer))

    def _answer(self, answer: Callable[[], object]) -> None:
        if not self._closing:
            answer()

    def send(self, request: _Request, body: Body) -> None:
        """Send a large body in pieces."""
        self.factory.connections.make_room_for(body)
        self.waits, self.body = False, body
        clock, turns = self.factory.clock, self.factory.sends
        producer = BodyProducer(request, body, clock, turns, progressed=self._progressed, abort=self.abort)
        request.notifyFinish().addBoth(lambda _: producer.stopProducing())
        producer.start()

    def stream(self, request: _Request) -> None:
        """Send events until the client leaves."""
        self.waits, self._streaming = False, True
        streams = self.factory.streams
        stream = events.Stream(request, self._progressed, self.abort)
        request.notifyFinish().addBoth(lambda _: streams.close(stream))
        streams.open(stream)

    def _progressed(self) -> None:
        self.progress = self.factory.clock.seconds()

    @override
    def pauseProducing(self) -> None:
        self._congested = True
        super().pauseProducing()

    @override
    def resumeProducing(self) -> None:
        self._congested = False
        super().resumeProducing()
        if self._parked is not None:
            parked, self._parked = self._parked, None
            self.setTimeout(None)
            self._progressed()
            self.wait(parked)

    @override
    def resetTimeout(self) -> None:
        """Ignore the call: twisted.web would restart the timeout with every chunk of data and every line."""

    @override
    def requestDone(self, request: Request) -> None:
        self.waits, self.body = False, None
        self._progressed()
        self._idle = True
        super().requestDone(request)  # reads the next request if it was received already
        if self._ending and not self.waits and self._parked is None:
            self.loseConnection()
        if not self.waits and self._parked is None:
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
        self._closing = True
        self.transport.abortConnection()

    def end(self) -> None:
        """Close after the response to the present or first request; immediately if there is no such request."""
        self._ending = True
        if self._streaming or (self._idle and not self._received):
            self.loseConnection()

    def has_valid_host(self, hosts: Sequence[bytes]) -> bool:
        """Return whether the Host headers of a request name this machine. HTTP/1.0 has none."""
        local = ip_address(self.transport.getHost().host.partition("%")[0])
        return not local.is_loopback or not hosts or (len(hosts) == 1 and self.factory.is_local_name(_host(hosts[0])))

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self.factory.connections.remove(self)
        super().connectionLost(reason)


class StatusFactory(ServerFactory):
    """Serves one :class:`Routes` on any number of listeners.

    ``host_names`` are names of this machine that the Host header may contain on a loopback address, besides
    ``localhost`` and IP literals. ``requests`` and ``sends`` are the queues of requests and of pieces to send, ``renderings`` makes large bodies, ``compressors`` compress them, one for each combination of switches.
    ``streams`` are the open event streams; they compare what ``state`` returns. ``first_answers`` are the requests that wait.
    """

    noisy = False

    def __init__(
        self,
        status: Routes,
        clock: IReactorTime,
        *,
        host_names: Collection[str] = (),
        max_connections: int = MOST,
        max_connections_of_client: int = MOST_OF_CLIENT,
        budget: float = BUDGET,
        state: Callable[[], events.Shown] = events.Shown,
    ) -> None:
        self.status = status
        self.clock = clock
        self._host_names = {"localhost", "ip6-localhost", *(name.lower() for name in host_names)}
        self.connections = Connections(max_connections, max_connections_of_client)
        # Several queues: a request for a small answer does not wait behind many slices of large ones.
        self.requests = Turns(clock, budget)
        self.sends = Turns(clock, budget)
        self.renderings = Renderings(Turns(clock, budget))
        self.compressors: defaultdict[frozenset[bytes], Compressor] = defaultdict(Compressor)
        self.streams = events.Streams(clock, state)
        self.first_answers = FirstAnswers(clock, status.awaits)

    @override
    def buildProtocol(  # type: ignore[override]  # Factory is generic, but not yet in Twisted 22.4
        self, addr: IAddress | None
    ) -> _Channel | None:
        client = client_of(getattr(addr, "host", ""))
        if not self.connections.admit(client):
            return None
        channel = _Channel(client, self.clock.seconds())
        channel.factory = self
        channel.timeOut = HEAD_TIMEOUT
        self.connections.add(channel)
        return channel

    async def finish(self) -> None:
        """Close all connections: those with a request after its response, or :data:`LAST_SECONDS` later."""
        until = self.clock.seconds() + LAST_SECONDS
        for connection in self.connections:
            connection.end()
        while len(self.connections) and self.clock.seconds() < until:
            await deferLater(self.clock, _LOOK_SECONDS)
        for connection in self.connections:
            connection.abort()

    def log(self, request: Request) -> None:
        """Keep no access log. twisted.web calls this at the end of each request."""

    def is_local_name(self, host: str) -> bool:
        """Return whether a host in a request can only be this machine. An IP literal needs no DNS."""
        try:
            ip_address(host)
        except ValueError:
            return host in self._host_names
        return True


def bound(ip: Address, port: int) -> socket.socket:
    """Return a socket that listens on one address; port 0 selects a free one. Raises CannotListenError."""
    family = socket.AF_INET6 if isinstance(ip, IPv6Address) else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Otherwise [::] would cover 0.0.0.0 too, and a second listener on 0.0.0.0 would fail.
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(socket.getaddrinfo(str(ip), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])
        server.listen(_BACKLOG)
    except OSError as error:
        server.close()
        raise CannotListenError(str(ip), port, error) from error
    return server


Bind = Callable[[Address, int], socket.socket]
"""Opens a socket as :func:`bound` does."""


def serve(reactor: Reactor, factory: StatusFactory, server: socket.socket) -> IListeningPort:
    """Serve a listening socket, which stays the caller's to close."""
    server.setblocking(False)
    # Inherited by the connections: a client whose host is gone does not keep an event stream.
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_TIMEOUT * 1000)
    return reactor.adoptStreamPort(server.fileno(), server.family, factory)


def _host(header: bytes) -> str:
    text = header.decode("latin-1").lower()
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0].rstrip(".")


def _reason(code: int) -> bytes:
    return {421: b"Misdirected Request", 431: b"Request Header Fields Too Large"}.get(code) or RESPONSES[code]


def _accepts_gzip(headers: Sequence[bytes]) -> bool:
    """Return whether an Accept-Encoding header names gzip with a quality that is not 0."""
    for coding in b",".join(headers).lower().split(b","):
        name, *parameters = (part.strip() for part in coding.split(b";"))
        if name == b"gzip":
            return not any(part.startswith(b"q=") and not part[2:].strip(b"0.") for part in parameters)
    return False


def _error(code: int) -> RouteResponse:
    return RouteResponse(_reason(code) + b"\n", code=code)
