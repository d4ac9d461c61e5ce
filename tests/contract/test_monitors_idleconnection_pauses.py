"""Pauses of IdleConnection on a clock, against a real server."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import pairwise
from random import Random

import pytest

from pybal.checks.engine import Engine
from pybal.core.model import IPProtocol, Report, Service
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.kinds import prepare
from tests.harness.clock_reactor import ClockReactor

SETTINGS = IdleConnectionSettings(timeout_clean_reconnect=3.0, max_delay=4.0)
PAUSES = (1.0, 1.5, 2.25, 3.375, 4.0, 4.0, 4.0, 4.0)
"""Pauses after failures without jitter, up to ``max_delay``."""
LATEST = 0.12
"""Seconds by which a timer of the engine may be late, if there are few."""


class MonitorOnClock:
    """A monitor of a listening socket; the test accepts its connections and advances the clock."""

    def __init__(self, settings: IdleConnectionSettings) -> None:
        self.reactor = ClockReactor()
        self.engine = Engine(self.reactor, seconds=self.reactor.seconds)
        self.engine.start()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        self.reports: list[Report] = []
        service = Service("svc", IPProtocol.TCP, ip_address("192.0.2.1"), self.listening.getsockname()[1], "wlc")
        factory = prepare(settings, service, engine=self.engine, random=Random(1))
        self.monitor = factory.monitor("server.example", ip_address("127.0.0.1"), self.reports.append)
        self.monitor.start()

    def close(self) -> None:
        self.listening.close()
        self.monitor.stop()
        self.engine.stop()
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
            return self.reactor.seconds(), peer
        raise AssertionError("no connection for 20 s")

    def lose(self, peer: socket.socket, *, reset: bool) -> None:
        """Close or reset a connection."""
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        self.engine.doRead()

    def accept_and_lose(self, times: int, *, reset: bool) -> Sequence[float]:
        """Lose this many connections as soon as they are accepted; return the pauses between them."""
        accepted = []
        for _ in range(times):
            at, peer = self.accept()
            accepted.append(at)
            self.lose(peer, reset=reset)
        return [later - earlier for earlier, later in pairwise(accepted)]


@pytest.fixture
def on_clock() -> Iterator[MonitorOnClock]:
    made = MonitorOnClock(SETTINGS)
    yield made
    made.close()


def assert_jittered(pauses: Sequence[float], expected: Sequence[float]) -> None:
    """Check pauses that are shortened at random by up to a quarter."""
    assert len(pauses) == len(expected)
    for pause, longest in zip(pauses, expected, strict=True):
        assert 0.75 * longest <= pause <= longest + LATEST


def test_dead_server_is_retried_with_back_off_up_to_max_delay(on_clock: MonitorOnClock) -> None:
    on_clock.listening.close()
    on_clock.pass_time(40)
    attempts = [past.at for past in on_clock.monitor.history()]
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert_jittered(pauses[: len(PAUSES)], PAUSES)
    assert [report.reason for report in on_clock.reports] == ["connect: refused"]


def test_connection_lost_repeatedly_keeps_the_back_off(on_clock: MonitorOnClock) -> None:
    assert_jittered(on_clock.accept_and_lose(len(PAUSES) + 1, reset=True), PAUSES)


def test_connection_that_lasted_resets_the_back_off(on_clock: MonitorOnClock) -> None:
    on_clock.accept_and_lose(8, reset=True)
    _, lasting = on_clock.accept()
    on_clock.pass_time(10)
    lost = on_clock.reactor.seconds()
    on_clock.lose(lasting, reset=True)
    again, peer = on_clock.accept()
    assert_jittered([again - lost], [1.0])
    peer.close()


def test_clean_close_of_a_lasting_connection_resets_the_pause(on_clock: MonitorOnClock) -> None:
    assert_jittered(on_clock.accept_and_lose(3, reset=False), [3.0, 4.0])
    _, lasting = on_clock.accept()
    on_clock.pass_time(3.5)
    closed = on_clock.reactor.seconds()
    on_clock.lose(lasting, reset=False)
    reconnected, peer = on_clock.accept()
    assert reconnected - closed <= LATEST
    on_clock.lose(peer, reset=False)
    again, peer = on_clock.accept()
    assert_jittered([again - reconnected], [3.0])
    assert [report.up for report in on_clock.reports] == [True]
    peer.close()
