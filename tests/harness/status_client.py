"""A client of the HTTP endpoints in memory, and routes with a fixed response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pybal.status.listener import StatusFactory
from pybal.status.routes import RouteResponse, Routes
from tests.harness.snapshots import status
from tests.harness.turning_clock import TurningClock

TURNS = 50
"""Turns of the loop in which a test expects a response."""

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 9090)


class Client:
    """One connection to the factory, with the data received on it."""

    def __init__(
        self,
        factory: StatusFactory,
        host: IPv4Address | IPv6Address = LOOPBACK,
        peer: IPv4Address | IPv6Address | None = None,
    ) -> None:
        self.transport = StringTransport(hostAddress=host)
        self.protocol: Any = factory.buildProtocol(peer)
        self._clock: Any = factory.clock
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted's

    def send(self, data: str) -> bytes:
        """Send data, let the loop turn, and return the data received since the last call."""
        self.begin(data)
        self._clock.pump([0] * TURNS)
        return self.received()

    def begin(self, data: str) -> None:
        """Send data; the response waits for the next turns."""
        self.protocol.dataReceived(data.replace("\n", "\r\n").encode())

    def received(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def get(self, path: str = "/alerts", headers: str = "Host: localhost\n", method: str = "GET") -> bytes:
        return self.send(f"{method} {path} HTTP/1.1\n{headers}\n")

    def hang_up(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting)


@dataclass
class FixedRoutes:
    """Routes that return one response, or raise one exception, for every path."""

    result: RouteResponse | Exception

    def awaits(self, _path: bytes) -> bool:
        return False

    def answer(self, _path: bytes, *, as_json: bool, switches: object) -> RouteResponse:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def factory(clock: Clock, shown: Routes | FixedRoutes | None = None, **options: Any) -> StatusFactory:
    return StatusFactory(shown or status(clock), clock, **options)  # type: ignore[arg-type]  # FixedRoutes has the same methods


def code(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def clock_until_all_is_closed() -> Iterator[TurningClock]:
    """Yield a clock; then check that every connection is closed within 400 s."""
    clock = TurningClock()
    yield clock
    for _ in range(400):
        clock.advance(1)
    assert clock.getDelayedCalls() == []
