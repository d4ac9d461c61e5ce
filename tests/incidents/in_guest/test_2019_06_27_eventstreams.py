"""2019-06-27, EventStreams: an unnoticed UNKNOWN, long-lived connections and their limit."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.clients import EventStream
from tests.harness.guest.function_server import FunctionServer, page, response
from tests.harness.guest.network import VIP, Host
from tests.incidents.replay import DOMAIN, replay

PORT = 8092
NAMES = ("stream1", "stream2", "stream3")
FLOOR = 2
"""Half of three servers, rounded up."""
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
LIMIT = 4
"""Connections that a server serves."""


class EventStreams(FunctionServer):
    """A server of endless streams that serves ``limit`` connections; others wait without a response."""

    def __init__(self, host: Host) -> None:
        self.limit = LIMIT
        self.used = 0
        self._changed = threading.Condition()
        super().__init__(host, PORT, self._serve)

    def raise_limit(self) -> None:
        with self._changed:
            self.limit = 1000
            self._changed.notify_all()

    def _serve(self, connection: socket.socket, path: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.used < self.limit)
            self.used += 1
        try:
            if path == "/stream":
                self._stream(connection)
            else:
                connection.sendall(page(self.host))
        finally:
            with self._changed:
                self.used -= 1
                self._changed.notify_all()

    def _stream(self, connection: socket.socket) -> None:
        connection.sendall(response("200 OK"))
        while True:
            connection.sendall(b"event\n")
            time.sleep(1)


def stalled(streams: list[EventStream]) -> int:
    """Return how many streams have received nothing for a while."""
    return sum(time.monotonic() - stream.latest > 15 for stream in streams)


@contextmanager
def leaking_program(host: Host, servers: Sequence[Host]) -> Iterator[None]:
    """Run a program that opens connections to servers until its host has no local port left."""
    kept: list[socket.socket] = []
    over = threading.Event()

    def run() -> None:
        with host.entered():
            while not over.wait(0.2):
                for server in servers:
                    kept.extend(_connections(server))

    with host.entered():
        before = _PORTS.read_text()
        _PORTS.write_text("50000 50031")
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for connection in kept:
            connection.close()
        with host.entered():
            _PORTS.write_text(before)


def _connections(server: Host) -> Iterator[socket.socket]:
    """Yield connections to a server until no local port is left."""
    while True:
        try:
            connection = socket.create_connection((str(server.address), PORT), 30)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return
            raise
        connection.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        yield connection


def test_20190627_check_without_results_is_an_alert_within_a_minute() -> None:
    with replay("2019-06-27-eventstreams", NAMES) as incident:
        servers = [EventStreams(host) for host in incident.network.servers]
        lvs1 = incident.balancer("lvs1")
        incident.play("Before")
        incident.keep_pooled(lvs1, PORT, FLOOR)

        streams = [EventStream(incident.network.client, VIP, PORT) for _ in range(len(servers) * LIMIT)]
        wait_for(lambda: all(stream.lines for stream in streams), lambda: f"{[server.used for server in servers]}")

        def violation() -> str:
            # IPVS ends the connections of the first server that fails, which leaves for seconds.
            found = stalled(streams)
            return "" if found <= LIMIT else f"{found} streams receive nothing"

        incident.invariants.add("the streams of servers in the pool", violation)
        incident.expect(lvs1, "CRITICAL eventstreams pooled-down: 3 of 3 servers down but pooled: ", within=30)
        incident.play("The limit is reached")
        for server in servers:
            server.raise_limit()
        incident.expect_end(lvs1, "eventstreams", within=30)

        with leaking_program(lvs1.host, incident.network.servers):
            incident.expect(lvs1, "WARNING pybal checker: local error ", within=30)
            for name in NAMES:
                alert = f"WARNING eventstreams unknown: {name}.{DOMAIN}: no conclusive result from ProxyFetch"
                incident.expect(lvs1, alert, within=60)
            incident.play("Checks without results")
            assert len(lvs1.destinations(PORT)) == len(servers)

        incident.expect_end(lvs1, "eventstreams", within=30)
        incident.play("The repair")
        assert len(lvs1.destinations(PORT)) == len(servers)
