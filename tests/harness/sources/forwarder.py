"""A TCP forwarder in a stepped reactor, for a source with an HTTP server that does not run in it."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure


class Forwarder(ServerFactory):
    """Forwards connections to a port of this host.

    ``instead`` is sent in place of all responses, nothing if it is empty; ``unwatched`` in place of those to requests that
    begin with ``watch``. ``requests`` has all forwarded requests, ``passages`` the open connections.
    """

    noisy = False

    def __init__(self, reactor: Any, to: int, watch: bytes = b"") -> None:
        self.instead: bytes | None = None
        self.unwatched: bytes | None = None
        self.watch = watch
        self.passages: list[Passage] = []
        self.requests: list[bytes] = []
        self._reactor = reactor
        self._to = to
        self._port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: N802  # Twisted's name
        passage = Passage(self)
        self._reactor.connectTCP("127.0.0.1", self._to, _Server(passage))
        return passage

    def cut(self) -> None:
        """Abort all connections."""
        for passage in self.passages:
            passage.transport.abortConnection()

    def stop(self) -> None:
        """Abort all connections and stop listening."""
        self._port.stopListening()
        self.cut()


class Passage(Protocol):
    """One forwarded connection.

    ``request`` is the last request, ``response`` the bytes received since. ``lost`` discards all further responses.
    """

    transport: Any

    def __init__(self, forwarder: Forwarder) -> None:
        self.request = b""
        self.response = b""
        self.lost = False
        self._closed = False
        self._server: Any = None
        self._forwarder = forwarder

    @property
    def is_watch(self) -> bool:
        return self.request.startswith(self._forwarder.watch)

    @property
    def waits(self) -> bool:
        """True while the response to the last request has not begun."""
        return bool(self.request) and not self.response and not self._closed

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self._forwarder.passages.append(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        instead = self._forwarder.instead
        if instead is None and data.startswith(self._forwarder.watch):
            instead = self._forwarder.unwatched
        if instead is not None:
            self.transport.write(instead)
            return
        self.request, self.response = data, b""
        self._forwarder.requests.append(data)
        if self._server:
            self._server.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self._forwarder.passages.remove(self)
        if self._server:
            self._server.loseConnection()

    def server_connected(self, server: Any) -> None:
        self._server = server
        if self.request:
            server.write(self.request)

    def server_sent(self, data: bytes) -> None:
        self.response += data
        if self._forwarder.instead is None and not self.lost:
            self.transport.write(data)

    def server_closed(self) -> None:
        self._closed = True
        if self._forwarder.instead is None:
            self.transport.abortConnection()


class _Server(ClientFactory):
    """The connection to the server."""

    noisy = False

    def __init__(self, passage: Passage) -> None:
        self._passage = passage

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: N802  # Twisted's name
        made = Protocol()
        passage = self._passage
        made.connectionMade = lambda: passage.server_connected(made.transport)  # type: ignore[method-assign]
        made.dataReceived = passage.server_sent  # type: ignore[method-assign]
        made.connectionLost = lambda _: passage.server_closed()  # type: ignore[method-assign,assignment,misc]
        return made

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        self._passage.server_closed()
