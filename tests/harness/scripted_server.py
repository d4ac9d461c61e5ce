"""Scripted TCP servers in the reactor of the test, and monitors that check them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from types import TracebackType
from typing import Self

from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.tcp import Port
from twisted.internet.tcp import Server as Transport
from twisted.python.failure import Failure

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.base import Monitor, MonitorFactory
from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import prepare
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.runcommand import RunCommandSettings
from pybal.monitors.shared import Sharing
from pybal.monitors.udp import UDPSettings
from pybal.runtime.file_values import inline
from tests.harness.kind_settings import minimal

HOST_NAME = "server.example"


class Peer(Protocol):
    """The server side of one connection."""

    transport: Transport
    server: Server
    received = b""
    closed: Failure | None = None
    on_data: Callable[[bytes], object] | None = None
    """Called with received bytes, instead of collecting them in ``received``."""

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self.server.peers.append(self)
        self.server.connected(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if self.on_data is not None:
            self.on_data(data)
            return
        self.received += data
        if self.received.endswith(b"\r\n\r\n"):
            self.server.asked(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self.closed = reason

    def say(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        """Close the connection cleanly."""
        self.transport.loseConnection()

    def reset(self) -> None:
        """Reset the connection."""
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abortConnection()


class Server:
    """A server that calls ``connected`` with each new connection and ``asked`` with each complete request."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.connected: Callable[[Peer], object] = lambda _peer: None
        self.asked: Callable[[Peer], object] = lambda _peer: None
        self.port = 0
        self._listening: Port | None = None

    def listen(self, reactor: EPollReactor, host: str) -> None:
        server = self

        class Connections(Factory):
            noisy = False

            def buildProtocol(self, _address: object) -> Peer:  # noqa: N802  # Twisted's name
                peer = Peer()
                peer.server = server
                return peer

        self._listening = Port(self.port, Connections(), interface=host, reactor=reactor)
        self._listening.startListening()
        self.port = self._listening.getHost().port

    async def stop(self) -> None:
        for peer in self.peers:
            if peer.transport.connected:
                peer.transport.abortConnection()
        await self.refuse()

    async def refuse(self) -> None:
        """Stop listening; existing connections stay open."""
        if self._listening is not None:
            stopped = self._listening.stopListening()
            assert stopped is not None
            await stopped
            self._listening = None


class MonitoredServer:
    """An engine, a server and its monitors: ``async with MonitoredServer(reactor) as setup``."""

    def __init__(self, reactor: EPollReactor, host: str = "127.0.0.1") -> None:
        self.reactor = reactor
        self.host = host
        self.server = Server()
        self.skipped = 0.0
        """Seconds for which the loop of the engine was frozen."""
        self.engine = Engine(reactor, seconds=lambda: reactor.seconds() + self.skipped)
        self._created_at = self.engine.now
        self.reports: list[Report] = []
        self.monitors: list[Monitor] = []
        self.reported: Callable[[], object] = lambda: None
        """Called with each report."""
        self._news: DeferredQueue[Report] = DeferredQueue()

    async def __aenter__(self) -> Self:
        self.server.listen(self.reactor, self.host)
        self.engine.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_monitors()
        assert (self.engine.in_flight, self.engine.watched) == (0, 0), "left in the engine"
        await self.until(lambda: not self.engine.processes.taken)  # killed commands, which have descriptors
        self.engine.stop()
        await self.server.stop()
        await self.pause(0.01)  # until the server side sees the closed connections

    def monitor(self, settings: MonitorSettings, *, port: int | None = None) -> Monitor:
        """Start a monitor of the server."""
        monitor = self.made(settings, self.service(port))
        monitor.start()
        self.monitors.append(monitor)
        return monitor

    def made(self, settings: MonitorSettings, service: Service) -> Monitor:
        """Return a monitor, not started yet, whose reports this setup receives."""
        return self.plan(settings, service).monitor(HOST_NAME, ip_address(self.host), self._report)

    def service(self, port: int | None = None, name: str = "svc") -> Service:
        """Return a service of the server, by default at the port of the server."""
        vip = ip_address("192.0.2.1" if ":" not in self.host else "2001:db8::1")
        return Service(name, IPProtocol.TCP, vip, self.server.port if port is None else port, "wlc")

    def plan(self, settings: MonitorSettings, service: Service) -> MonitorFactory:
        return prepare(settings, service, engine=self.engine, random=Random(1), files=inline(self.reactor))

    def stop_monitors(self) -> None:
        for monitor in self.monitors:
            monitor.stop()

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self._news.put(report)
        self.reported()

    async def report(self) -> Report:
        """Return the next report."""
        return await self._news.get()

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)

    def skip_to(self, seconds: float) -> None:
        """Move the clock of the engine forward, to just before ``seconds`` after its start.

        The first monitor with an interval runs at its multiples. No timer may be due earlier, or it would run late.
        """
        self.skipped += self._created_at + seconds - 0.05 - self.engine.seconds()
        self.engine.soon(lambda: None)  # wakes the engine

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until ``true`` returns true; :func:`run` sets the deadline."""
        while not true():
            await self.pause(0.002)


class SharedMonitoredServer(MonitoredServer):
    """A setup in which each monitor was shared with another service that has stopped using it."""

    def made(self, settings: MonitorSettings, service: Service) -> Monitor:
        sharing, address = Sharing(self.plan, self.engine), ip_address(self.host)
        other = sharing.factory(settings, replace(service, name="other")).monitor(HOST_NAME, address, self._unwanted)
        monitor = sharing.factory(settings, service).monitor(HOST_NAME, address, self._report)
        other.start()
        other.stop()
        return monitor

    def _unwanted(self, report: Report) -> None:
        raise AssertionError(f"a report after stop: {report}")


def follow_ups(monitor: Monitor) -> list[tuple[str, str]]:
    """Return the follow-ups of failures and their outcomes."""
    return [(past.subject, past.result.verdict.value) for past in monitor.history() if past.follow_up]


def saying(*pieces: bytes) -> Callable[[Peer], None]:
    """Return a function that sends these pieces and leaves the connection open."""

    def answer(peer: Peer) -> None:
        for piece in pieces:
            peer.say(piece)

    return answer


_FREQUENT: dict[str, MonitorSettings] = {
    "ProxyFetch": ProxyFetchSettings(("http://www.example/1",), interval=0.1, timeout=0.3),
    "DNSQuery": DNSQuerySettings(("www.example",), interval=0.1, timeout=0.3),
    "UDP": UDPSettings(interval=0.1),
    "RunCommand": RunCommandSettings(command="/bin/false", timeout=10.0, interval=0.1),
}


def frequent(kind: str) -> MonitorSettings:
    """Return settings of this kind that soon give results; by default those without options."""
    return _FREQUENT.get(kind) or minimal(kind)
