"""Hostile servers in the thread of the test, and the CPU time for which their monitor holds the loop.

Time is virtual, plus the CPU time of the thread: budgets in seconds work, and other load on the machine changes nothing.
"""

from __future__ import annotations

import gc
import socket
import ssl
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from twisted.internet.interfaces import IDelayedCall

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import prepare
from pybal.runtime.file_values import inline
from tests.harness.clock_reactor import ClockReactor

Talk = Generator[bytes, bytes, None]
"""One connection: yields bytes to send, none until the next step, and gets those received since."""
Datagrams = Callable[[bytes], list[bytes]]

_STEP = 0.01
_PIECES = 64
"""Pieces that a connection sends in a step, at most."""


class MeasuredReactor:
    """A reactor for an engine on a clock; records the CPU seconds of each call."""

    def __init__(self) -> None:
        self.clock = ClockReactor()
        self.held: list[float] = []
        self.addReader = self.clock.addReader
        self.removeReader = self.clock.removeReader

    def callLater(self, delay: float, callable: Callable[[], None]) -> IDelayedCall:  # noqa: A002, N802  # Twisted's names
        return self.clock.callLater(delay, self.measured, callable)

    def measured(self, call: Callable[[], None]) -> None:
        began = time.thread_time()
        call()
        self.held.append(time.thread_time() - began)


class HostileServer:
    """A monitor, and a server with a ``talk`` on each connection and ``datagrams`` for each query."""

    def __init__(
        self, settings: MonitorSettings, talk: Callable[[], Talk] | None = None, datagrams: Datagrams | None = None
    ) -> None:
        self.reactor = MeasuredReactor()
        self._began = time.thread_time()
        self.engine = Engine(self.reactor, seconds=self.seconds)
        self.engine.start()
        self.reports: list[Report] = []
        self._talk = talk
        self._datagrams = datagrams
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(self._listening.getsockname())
        self._udp.setblocking(False)
        self._connections: list[_Connection] = []
        vip, port = ip_address("192.0.2.1"), self._listening.getsockname()[1]
        service = Service("svc", IPProtocol.TCP, vip, port, "wlc")
        factory = prepare(settings, service, engine=self.engine, random=Random(1), files=inline(self.reactor.clock))
        self.monitor = factory.monitor("server.example", ip_address("127.0.0.1"), self.reports.append)

    def seconds(self) -> float:
        return self.reactor.clock.seconds() + time.thread_time() - self._began

    def __enter__(self) -> Self:
        gc.collect()
        gc.disable()  # a collection of the heap of the tests is no cost of a check
        self.monitor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.enable()
        self.monitor.stop()
        self.engine.stop()
        for connection in self._connections:
            connection.close()
        self._listening.close()
        self._udp.close()

    @property
    def longest_hold(self) -> float:
        """The most CPU seconds of one call of the engine."""
        return max(self.reactor.held)

    def run(self, seconds: float, *, until_report: bool = True, paced: bool = False) -> None:
        """Let time pass, until the first report by default; ``paced`` like the real time, for real processes."""
        end = self.seconds() + seconds
        while self.seconds() < end and not (until_report and self.reports):
            self._send()
            if paced:
                time.sleep(_STEP)
            self.reactor.clock.pass_time(_STEP)
            self.reactor.measured(self.engine.doRead)

    def _send(self) -> None:
        with suppress(BlockingIOError):
            while True:
                peer, _ = self._listening.accept()
                peer.setblocking(False)
                self._connections.append(
                    _Connection(peer, self._talk()) if self._talk else _Connection(peer, _silent())
                )
        self._connections = [connection for connection in self._connections if connection.step()]
        with suppress(OSError):
            while self._datagrams is not None:
                query, peer = self._udp.recvfrom(65535)
                for datagram in self._datagrams(query):
                    self._udp.sendto(datagram, peer)


class _Connection:
    def __init__(self, peer: socket.socket, talk: Talk) -> None:
        self._peer = peer
        self._talk = talk
        self._unsent = next(talk)

    def step(self) -> bool:
        """Receive, and send until the socket is full; return whether the connection is open."""
        received = b""
        try:
            with suppress(BlockingIOError):
                while data := self._peer.recv(65536):
                    received += data
            for _ in range(_PIECES):
                if not self._unsent:
                    self._unsent = self._talk.send(received)
                    received = b""
                if not self._unsent:
                    break
                self._unsent = self._unsent[self._peer.send(self._unsent) :]
        except BlockingIOError:
            return True
        except (OSError, StopIteration):
            self.close()
            return False
        return True

    def close(self) -> None:
        self._talk.close()
        self._peer.close()


def _silent() -> Talk:
    while True:
        yield b""


def flood(head: bytes, unit: bytes, *, asked: bool = True) -> Callable[[], Talk]:
    """Send ``head`` and then ``unit`` without end, by default after the first bytes of the client."""

    def talk() -> Talk:
        received = yield b""
        while asked and not received:
            received = yield b""
        if head:
            yield head
        block = unit * max(1, 65536 // len(unit))
        while True:
            yield block

    return talk


def drip(head: bytes, unit: bytes) -> Callable[[], Talk]:
    """Send ``head`` and then ``unit`` without end, one byte in each step."""

    def talk() -> Talk:
        yield head or unit[:1]
        while True:
            for byte in unit:
                yield bytes((byte,))
                yield b""

    return talk


def tls_flood(certificate: Path, unit: bytes, *, protocol: str = "", tickets: int = 2) -> Callable[[], Talk]:
    """Complete a TLS handshake with ``tickets``, and send ``unit`` in a record each, without end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.num_tickets = tickets
    if protocol:
        context.set_alpn_protocols([protocol])

    def talk() -> Talk:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        secured = False
        while not secured:
            incoming.write((yield outgoing.read()))
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                secured = True
        while True:
            for _ in range(500 if unit else 0):
                tls.write(unit)
            yield outgoing.read()

    return talk
