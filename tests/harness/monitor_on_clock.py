"""A monitor on a clock, and a real listening socket whose connections the test accepts."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from random import Random
from types import TracebackType
from typing import Self

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import prepare
from pybal.runtime.file_values import inline
from tests.harness.clock_reactor import ClockReactor


class MonitorOnClock:
    """A monitor of a listening socket; the test accepts its connections and advances the clock."""

    def __init__(self, settings: MonitorSettings, host: str = "127.0.0.1") -> None:
        self.reactor = ClockReactor()
        self.engine = Engine(self.reactor, seconds=self.reactor.seconds)
        self.engine.start()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listening = socket.create_server((host, 0), family=family)
        self.listening.setblocking(False)
        self.reports: list[Report] = []
        service = Service("svc", IPProtocol.TCP, ip_address("192.0.2.1"), self.listening.getsockname()[1], "wlc")
        factory = prepare(settings, service, engine=self.engine, random=Random(1), files=inline(self.reactor))
        self.monitor = factory.monitor("server.example", ip_address(host), self.reports.append)
        self.monitor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.listening.close()
        self.monitor.stop()
        self.engine.stop()
        assert self.engine.watched == 0, "left in the engine"
        assert (self.reactor.calls, self.reactor.readers) == ([], [])

    def pass_time(self, seconds: float) -> None:
        """Advance the clock in steps; handle the events of sockets in each."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.pass_time(0.01)
            self.engine.doRead()

    def accept(self) -> tuple[float, socket.socket]:
        """Advance the clock to the next connection; return its time and the side of the server."""
        for _ in range(2_000):
            self.pass_time(0.01)
            try:
                peer, _ = self.listening.accept()
            except BlockingIOError:
                continue
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.reactor.seconds(), peer
        raise AssertionError("no connection for 20 s")

    def lose(self, peer: socket.socket, *, reset: bool) -> None:
        """Close or reset a connection."""
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        self.engine.doRead()
