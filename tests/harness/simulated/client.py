"""TCP clients of the reactor in virtual time, such as the HTTP client of pool sources."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from typing_extensions import override

if TYPE_CHECKING:
    from tests.harness.simulated.network import SimulatedNetwork, SimulatedServer


class SimulatedConnector:
    """One attempt to connect, and the connection. Its server chooses what happens."""

    def __init__(self, network: SimulatedNetwork, host: str, factory: Any, timeout: float) -> None:
        self._network = network
        self._server = network.servers.get(host)
        self._destination = IPv4Address("TCP", host, 80)
        self._factory = factory
        self._connecting = True
        self._transport: _Transport | None = None
        self._protocol: Any = None
        self._sent = deque[bytes]()
        """Data of the server, which arrives in its order."""
        self._timer = network.reactor.callLater(timeout, self._fail, error.TimeoutError())
        factory.doStart()
        factory.startedConnecting(self)
        network.reactor.happen(network.latency(), self._arrive)

    def getDestination(self) -> IPv4Address:  # noqa: N802  # Twisted's name
        return self._destination

    def stopConnecting(self) -> None:  # noqa: N802  # Twisted's name
        self._fail(error.UserError())

    def ask(self, data: bytes) -> None:
        """Receive a request as the server, after a packet's time."""
        self._network.reactor.happen(self._network.latency(), lambda: self._request(data))

    def end(self) -> None:
        """Close the connection as the server."""
        self._lose(error.ConnectionDone())

    def lose(self) -> None:
        """Close the connection as the client, in the next turn."""
        self._network.reactor.callFromThread(self._lose, error.ConnectionAborted())

    def _arrive(self) -> None:
        server = self._server
        if not self._connecting or server is None or server.is_silent:
            return
        if server.refuses:
            refused = error.ConnectionRefusedError(osError=errno.ECONNREFUSED)
            self._network.reactor.callFromThread(self._fail, refused)
            return
        self._network.reactor.callFromThread(self._connect, server)

    def _connect(self, server: SimulatedServer) -> None:
        if not self._connecting:
            return
        self._connecting = False
        self._timer.cancel()
        server.clients[self] = None
        self._protocol = self._factory.buildProtocol(None)
        self._transport = _Transport(self)
        self._protocol.makeConnection(self._transport)

    def _fail(self, reason: Exception) -> None:
        if self._connecting:
            self._connecting = False
            if self._timer.active():
                self._timer.cancel()
            factory, self._factory = self._factory, None
            factory.clientConnectionFailed(self, Failure(reason))
            factory.doStop()

    def answer(self, response: bytes, late: float) -> None:
        """Send a response as the server ``late`` seconds from now, or reset the connection if it is empty."""
        if not response:
            self._network.reactor.callFromThread(self._lose, error.ConnectionLost())
            return
        self._sent.append(response)
        self._network.reactor.happen(
            late + self._network.latency(),
            lambda: self._network.reactor.callFromThread(self._receive),
        )

    def _request(self, data: bytes) -> None:
        if self._server is not None and self._transport is not None:
            self._server.request(self, data)

    def _receive(self) -> None:
        data = self._sent.popleft()
        if self._transport is not None:
            self._protocol.dataReceived(data)

    def _lose(self, reason: Exception) -> None:
        if self._transport is not None and self._server is not None:
            self._transport = None
            self._server.clients.pop(self, None)
            protocol, factory, self._protocol, self._factory = self._protocol, self._factory, None, None
            protocol.connectionLost(Failure(reason))
            factory.clientConnectionLost(self, Failure(reason))
            factory.doStop()


class _Transport(StringTransport):
    """The client's end of a connection."""

    bufferSize = 65536  # noqa: N815  # Twisted's name

    def __init__(self, connector: SimulatedConnector) -> None:
        super().__init__(lenient=True)  # type: ignore[no-untyped-call]  # Twisted's
        self._connector = connector

    @override
    def write(self, data: bytes) -> None:
        self._connector.ask(data)

    @override
    def loseConnection(self) -> None:
        self._connector.lose()

    @override
    def abortConnection(self) -> None:
        self._connector.lose()
