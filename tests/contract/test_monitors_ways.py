"""Every TCP monitor and every way a server can fail: the resulting reasons, over IPv4 and IPv6."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.base import Monitor
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.grpc import GRPCSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.tls import TLSSettings
from tests.harness.scripted_server import MonitoredServer, Peer, Server
from tests.harness.servers.process import LOOPBACK, family
from tests.harness.stepped_reactor import run

TLS_RECORD = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"\x03" * 1000
NO_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
HTTP = b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nhello"


@dataclass(frozen=True, slots=True)
class Kind:
    """A monitor, and the beginning of a valid answer that never ends."""

    settings: MonitorSettings
    beginning: bytes


KINDS = {
    "ProxyFetch": Kind(ProxyFetchSettings(("http://a.example/",), timeout=0.6), HTTP),
    "ProxyFetch, https": Kind(ProxyFetchSettings(("https://a.example/",), timeout=0.6), TLS_RECORD[:50]),
    "TCPConnect": Kind(TCPConnectSettings(expect=b"READY", timeout=0.6), b"not yet "),
    "TLS": Kind(TLSSettings(timeout=0.6), TLS_RECORD[:50]),
    "gRPC": Kind(GRPCSettings(timeout=0.6), NO_SETTINGS * 5),
    "gRPC, TLS": Kind(GRPCSettings(tls=True, timeout=0.6), TLS_RECORD[:50]),
    "IdleConnection": Kind(IdleConnectionSettings(timeout=0.6, timeout_clean_reconnect=0.1), b"x"),
}
HANDSHAKES = ("ProxyFetch, https", "TLS", "gRPC, TLS")
HOSTS = pytest.mark.parametrize("host", LOOPBACK)

Way = Callable[[Peer, bytes], object]


def after(seconds: float, peer: Peer, act: Callable[..., object], *arguments: object) -> None:
    reactor: Any = peer.transport.reactor  # Twisted declares too narrow a type
    reactor.callLater(seconds, lambda: peer.closed or act(peer, *arguments))


def half_close(peer: Peer) -> None:
    peer.transport.loseWriteConnection()


def silence(peer: Peer, beginning: bytes) -> None:
    """Send no byte."""


def stall(peer: Peer, beginning: bytes) -> None:
    peer.say(beginning)


def drip(peer: Peer, rest: bytes) -> None:
    """Send a byte every 20 ms."""
    peer.say(rest[:1])
    after(0.02, peer, drip, rest[1:] or b".")


def garbage(peer: Peer, beginning: bytes) -> None:
    peer.say(bytes(range(255, 0, -1)) * 300)


def at_once(act: Callable[[Peer], object]) -> Way:
    return lambda peer, beginning: after(0.05, peer, act)


def after_beginning(act: Callable[[Peer], object]) -> Way:
    def way(peer: Peer, beginning: bytes) -> None:
        peer.say(beginning)
        after(0.05, peer, act)

    return way


def verdict(monitor: Monitor) -> str | None:
    """Return the reason of the first counted failure; empty if it only held a connection."""
    for past in monitor.history():
        if monitor.down_results and past.result.reason:
            return past.result.text
    return "" if monitor.name == "IdleConnection" and monitor.up_results else None


def unmeasured(reason: str | None) -> str | None:
    """Return a reason without measured times and byte counts."""
    reason = reason and re.sub(r"\b\d+(\.\d+)? m?s\b", "TIME", reason)
    return reason and re.sub(r"\d+ bytes( without 'READY')? in TIME", r"SOME bytes\1 in TIME", reason)


def watch(ports: dict[str, int], host: str, setup: MonitoredServer) -> dict[str, Monitor]:
    setup.host = host
    return {name: setup.monitor(KINDS[name].settings, port=port) for name, port in ports.items()}


def said(way: Way, host: str) -> dict[str, str | None]:
    """Return the reason of each kind of monitor for a server that acts like this."""

    async def main(reactor: EPollReactor) -> dict[str, str | None]:
        async with MonitoredServer(reactor, host) as setup:
            servers = {name: Server() for name in KINDS}
            for name, server in servers.items():
                server.connected = lambda peer, name=name: way(peer, KINDS[name].beginning)  # type: ignore[misc]
                server.listen(reactor, host)
            monitors = watch({name: server.port for name, server in servers.items()}, host, setup)
            await setup.until(lambda: all(verdict(monitor) is not None for monitor in monitors.values()))
            await setup.pause(0.1)  # an idle connection may still be lost
            reasons = {name: unmeasured(verdict(monitor)) for name, monitor in monitors.items()}
            setup.stop_monitors()
            for server in servers.values():
                await server.stop()
            await setup.pause(0.06)
            return reasons

    return run(main)


@contextmanager
def unanswered(host: str) -> Iterator[int]:
    """Yield a port on which connections hang, because the backlog is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket(family(host)))
        full.bind((host, 0))
        full.listen(0)
        stack.enter_context(socket.socket(family(host))).connect(full.getsockname())
        yield full.getsockname()[1]


def connecting(host: str, port: int) -> set[str | None]:
    """Return the reasons of all kinds of monitors for a port."""

    async def main(reactor: EPollReactor) -> set[str | None]:
        async with MonitoredServer(reactor, host) as setup:
            monitors = watch(dict.fromkeys(KINDS, port), host, setup).values()
            await setup.until(lambda: all(verdict(monitor) is not None for monitor in monitors))
            return {verdict(monitor) for monitor in monitors}

    return run(main)


@HOSTS
def test_refused_connection_is_down(host: str) -> None:
    with socket.socket(family(host)) as bound:
        bound.bind((host, 0))  # without listening
        assert connecting(host, bound.getsockname()[1]) == {"connect: refused"}


@HOSTS
def test_hanging_connection_is_down(host: str) -> None:
    with unanswered(host) as port:
        assert connecting(host, port) == {"connect: no response for 600 ms"}


SILENT = "TIME without a byte (connected in TIME)"
TIMEOUT = "tls: handshake timeout after TIME (connected in TIME)"


def expected(http: str, tcpconnect: str, grpc: str, handshake: str, idle: str = "") -> dict[str, str]:
    made = dict.fromkeys(HANDSHAKES, handshake)
    return {**made, "ProxyFetch": http, "TCPConnect": tcpconnect, "gRPC": grpc, "IdleConnection": idle}


@HOSTS
def test_silence_is_down(host: str) -> None:
    assert said(silence, host) == expected(f"headers: {SILENT}", f"answer: {SILENT}", f"headers: {SILENT}", TIMEOUT)


@HOSTS
def test_stall_after_a_good_beginning_is_down(host: str) -> None:
    assert said(stall, host) == expected(
        "body: 5 of 1000 bytes, then nothing for TIME (connected in TIME, HTTP 200 in TIME)",
        "answer: 8 bytes without 'READY', then nothing for TIME (connected in TIME)",
        "headers: 45 bytes, then nothing for TIME (connected in TIME)",
        TIMEOUT,
    )


@HOSTS
def test_slow_drip_is_down(host: str) -> None:
    assert said(drip, host) == expected(
        "headers: SOME bytes in TIME, still arriving (connected in TIME)",
        "answer: SOME bytes without 'READY' in TIME, still arriving (connected in TIME)",
        "headers: SOME bytes in TIME, still arriving (connected in TIME)",
        TIMEOUT,
    )


@HOSTS
def test_garbage_is_down(host: str) -> None:
    assert said(garbage, host) == expected(
        r"headers: not HTTP/1: '\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0\xef\xee\xed\xec'",
        "answer: 65536 bytes without 'READY'",
        r"headers: response begins with '\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7', wanted HTTP/2",
        "tls: wrong version number (no TLS on this port)",
    )


@HOSTS
@pytest.mark.parametrize(
    ("act", "end", "idle"),
    [
        (Peer.close, "connection closed", ""),
        (half_close, "connection closed", ""),
        (Peer.reset, "reset", "idle: connection lost: reset"),
    ],
    ids=["close", "half close", "reset"],
)
class TestEnd:
    def test_end_before_the_first_byte_is_down(
        self, act: Callable[[Peer], object], end: str, idle: str, host: str
    ) -> None:
        assert said(at_once(act), host) == expected(
            f"headers: {end} before a response",
            f"answer: {end} before an answer",
            f"headers: {end} before an answer",
            f"tls: {end} during the handshake",
            idle,
        )

    def test_end_after_a_good_beginning_is_down(
        self, act: Callable[[Peer], object], end: str, idle: str, host: str
    ) -> None:
        assert said(after_beginning(act), host) == expected(
            f"body: {end} after 5 of 1000 bytes",
            f"answer: {end} after 8 bytes without 'READY'",
            f"headers: {end} after 45 bytes",
            f"tls: {end} during the handshake",
            idle,
        )
