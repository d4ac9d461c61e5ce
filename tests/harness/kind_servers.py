"""Servers for the contract of monitors: a scripted one for each kind, a real one for most.

A new kind needs an entry in :data:`SCRIPTED`; the contract suite fails until it has one.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port as DatagramPort

from pybal.monitors.dnsquery import DNSQuerySettings
from pybal.monitors.factory import MonitorSettings
from pybal.monitors.grpc import GRPCSettings
from pybal.monitors.icmp import ICMPSettings
from pybal.monitors.idleconnection import IdleConnectionSettings
from pybal.monitors.mysql import MySQLSettings
from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.monitors.redis import RedisSettings
from pybal.monitors.runcommand import RunCommandSettings
from pybal.monitors.tcpconnect import TCPConnectSettings
from pybal.monitors.tls import TLSSettings
from pybal.monitors.udp import UDPSettings
from tests.harness.certificates import self_signed
from tests.harness.fake_dns_server import NameServer
from tests.harness.guest.namespace import fresh
from tests.harness.http2_answers import serving
from tests.harness.scripted_server import MonitoredServer, Peer, saying
from tests.harness.servers.grpc import grpc
from tests.harness.servers.mariadb import PASSWORDLESS, mariadb
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.nsd import nsd
from tests.harness.servers.process import Server, free_ports
from tests.harness.servers.redis import redis

URL = ("http://www.test/",)
MYSQL_GREETING = b"\x25\0\0\0\x0a5.0\0" + bytes(32)
OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


class KindServer:
    """A server that the monitor of one kind checks: healthy, refusing or silent."""

    settings: MonitorSettings
    refused = "connect: refused"
    """The reason of the first failure while the server refuses."""
    silent = "connect: no response for 300 ms"
    """The reason of the first failure while the server is silent, empty if it stays up."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Surround a whole test."""
        yield

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        """Start a healthy server."""
        self.port = setup.server.port
        yield

    async def refuse(self, setup: MonitoredServer) -> None:
        """Stop the server."""
        await setup.server.stop()

    async def recover(self, setup: MonitoredServer) -> None:
        """Start the server again."""
        setup.server.listen(setup.reactor, setup.host)

    @asynccontextmanager
    async def hang(self, setup: MonitoredServer) -> AsyncIterator[None]:
        """Make the server silent from the first packet on."""
        with socket.create_server((setup.host, 0), backlog=0) as full, socket.socket() as taken:
            taken.connect(full.getsockname())
            self.port = full.getsockname()[1]
            yield


class ScriptedTCP(KindServer):
    """A TCP server that sends ``greeting``, and ``response`` after each request."""

    def __init__(
        self, directory: Path, settings: MonitorSettings, *, greeting: bytes = b"", response: bytes = b""
    ) -> None:
        super().__init__(directory)
        self.settings = settings
        self._greeting = greeting
        self._response = response

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        setup.server.connected = saying(self._greeting)
        setup.server.asked = saying(self._response)
        async with super().open(setup):
            yield


class ScriptedRedis(ScriptedTCP):
    """A TCP server that replies PONG to every packet."""

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        async with super().open(setup):
            setup.server.connected = self._connected
            yield

    def _connected(self, peer: Peer) -> None:
        peer.on_data = lambda _: peer.say(b"+PONG\r\n")


class ScriptedTLS(KindServer):
    """A TCP server that completes TLS handshakes."""

    settings = TLSSettings(interval=0.05, timeout=0.3)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self_signed(directory))

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        setup.server.connected = self._connected
        async with super().open(setup):
            yield

    def _connected(self, peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)

        def received(data: bytes) -> None:
            incoming.write(data)
            with suppress(ssl.SSLError):
                tls.do_handshake()
            peer.say(outgoing.read())

        peer.on_data = received


class ScriptedDNS(KindServer):
    """A name server."""

    settings = DNSQuerySettings(("www.test",), interval=0.05, timeout=0.3)
    refused = "query: refused"
    silent = "query: TIME without an answer"

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        self._server = NameServer(setup.reactor, setup.host)
        async with self._server:
            self.port = self._server.port
            yield

    async def refuse(self, setup: MonitoredServer) -> None:
        del setup
        await self._server.stop()

    async def recover(self, setup: MonitoredServer) -> None:
        del setup
        self._server.listen()

    @asynccontextmanager
    async def hang(self, setup: MonitoredServer) -> AsyncIterator[None]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
            bound.bind((setup.host, 0))
            self.port = bound.getsockname()[1]
            yield


class ScriptedUDP(KindServer):
    """A port that accepts datagrams."""

    settings = UDPSettings(interval=0.05, timeout=0.1, icmp_timeout=0.1)
    refused = "icmp: refused"
    silent = ""
    _listening: DatagramPort | None = None

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        await self.recover(setup)
        yield
        await self.refuse(setup)

    async def refuse(self, setup: MonitoredServer) -> None:
        del setup
        port, self._listening = self._listening, None
        if port is not None:
            await maybeDeferred(port.stopListening)

    @asynccontextmanager
    async def hang(self, setup: MonitoredServer) -> AsyncIterator[None]:
        async with self.open(setup):
            yield

    async def recover(self, setup: MonitoredServer) -> None:
        self._listening = DatagramPort(self.port, DatagramProtocol(), setup.host, reactor=setup.reactor)
        self._listening.startListening()
        self.port = self._listening.getHost().port


class Command(KindServer):
    """A command that exits as a file says."""

    refused = "exit: status 1, wanted 0"
    silent = "exit: timeout after TIME; no output"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._file = directory / "state"
        self._file.write_text("exit 0")
        command = {"command": "/bin/sh", "arguments": (str(self._file),)}
        self.settings = RunCommandSettings(**command, interval=0.05, timeout=5.0)  # type: ignore[arg-type]
        self._hanging = RunCommandSettings(**command, interval=0.05, timeout=0.3)  # type: ignore[arg-type]

    async def refuse(self, setup: MonitoredServer) -> None:
        del setup
        self._file.write_text("exit 1")

    async def recover(self, setup: MonitoredServer) -> None:
        del setup
        self._file.write_text("exit 0")

    @asynccontextmanager
    async def hang(self, setup: MonitoredServer) -> AsyncIterator[None]:
        del setup
        self.settings = self._hanging
        self._file.write_text("exec sleep 60")
        yield


class Machine(KindServer):
    """The kernel, which replies to echo requests in its own network namespace."""

    settings = ICMPSettings(interval=0.05, timeout=0.3)
    refused = "icmp: 300 ms without an echo reply"
    silent = "icmp: TIME without an echo reply"

    @contextmanager
    def environment(self) -> Iterator[None]:
        with fresh():
            yield

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        await self.recover(setup)
        yield

    async def refuse(self, setup: MonitoredServer) -> None:
        del setup
        self._ignore("1")

    async def recover(self, setup: MonitoredServer) -> None:
        del setup
        self._ignore("0")

    @asynccontextmanager
    async def hang(self, setup: MonitoredServer) -> AsyncIterator[None]:
        await self.refuse(setup)
        yield

    def _ignore(self, value: str) -> None:
        for name in ("ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"):
            Path("/proc/sys/net", name).write_text(value)


class Program(KindServer):
    """A real server as a process."""

    def __init__(
        self,
        directory: Path,
        settings: MonitorSettings,
        make: Callable[[Path, int], Server],
        refused: str = KindServer.refused,
    ) -> None:
        super().__init__(directory)
        (self.port,) = free_ports(1)
        self.settings = settings
        self.refused = refused
        self._server = make(directory, self.port)

    @contextmanager
    def environment(self) -> Iterator[None]:
        with self._server:
            yield

    @asynccontextmanager
    async def open(self, setup: MonitoredServer) -> AsyncIterator[None]:
        del setup
        yield

    async def refuse(self, setup: MonitoredServer) -> None:
        del setup
        self._server.kill()

    async def recover(self, setup: MonitoredServer) -> None:
        del setup
        self._server.start()


def web_server(directory: Path, port: int) -> Server:
    """Return an nginx with one page."""
    return nginx(directory, f'server {{ {listening(port)} location / {{ return 200 "ok"; }} }}', port)


def tls_server(directory: Path, port: int) -> Server:
    """Return an nginx with a self-signed certificate."""
    file = self_signed(directory)
    return nginx(
        directory, f"server {{ {listening(port, 'ssl')} ssl_certificate {file}; ssl_certificate_key {file}; }}", port
    )


def health_server(directory: Path, port: int) -> Server:
    """Return a gRPC server with a health service."""
    return grpc(directory, self_signed(directory), port, *free_ports(2))


Make = Callable[[Path], KindServer]
_FETCH = ProxyFetchSettings(URL, interval=0.05, timeout=0.3)
_IDLE = IdleConnectionSettings(timeout=0.3, max_delay=1.0)
_CONNECT = TCPConnectSettings(interval=0.05, timeout=0.3)
_LIMIT = 60.0
"""Time limit of a check of a real program, in seconds: long, because the machine may be busy."""

SCRIPTED: Mapping[str, Make] = {
    "ProxyFetch": partial(ScriptedTCP, settings=_FETCH, response=OK),
    "IdleConnection": partial(ScriptedTCP, settings=_IDLE),
    "DNSQuery": ScriptedDNS,
    "UDP": ScriptedUDP,
    "RunCommand": Command,
    "TCPConnect": partial(ScriptedTCP, settings=_CONNECT),
    "TLS": ScriptedTLS,
    "gRPC": partial(ScriptedTCP, settings=GRPCSettings(interval=0.05, timeout=0.3), greeting=serving()),
    "ICMP": Machine,
    "MySQL": partial(ScriptedTCP, settings=MySQLSettings(interval=0.05, timeout=0.3), greeting=MYSQL_GREETING),
    "Redis": partial(ScriptedRedis, settings=RedisSettings(interval=0.05, timeout=0.3)),
}
"""A scripted server for each kind; of RunCommand and ICMP the command and the kernel are real."""

REAL: Mapping[str, Make] = {
    "ProxyFetch": partial(Program, settings=replace(_FETCH, timeout=_LIMIT), make=web_server),
    "IdleConnection": partial(Program, settings=replace(_IDLE, timeout=_LIMIT), make=web_server),
    "DNSQuery": partial(
        Program,
        settings=DNSQuerySettings(("www.test",), interval=0.05, timeout=_LIMIT),
        make=nsd,
        refused="query: refused",
    ),
    "UDP": partial(Program, settings=ScriptedUDP.settings, make=nsd, refused="icmp: refused"),
    "TCPConnect": partial(Program, settings=TCPConnectSettings(interval=0.05, timeout=_LIMIT), make=web_server),
    "TLS": partial(Program, settings=TLSSettings(interval=0.05, timeout=_LIMIT), make=tls_server),
    "gRPC": partial(Program, settings=GRPCSettings(interval=0.05, timeout=_LIMIT), make=health_server),
    "MySQL": partial(Program, settings=MySQLSettings(PASSWORDLESS, interval=0.05, timeout=_LIMIT), make=mariadb),
    "Redis": partial(Program, settings=RedisSettings(interval=0.05, timeout=_LIMIT), make=redis),
}
"""A real program for each kind that has one."""
