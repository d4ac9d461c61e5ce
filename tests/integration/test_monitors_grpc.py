"""gRPC against a real gRPC server, and against servers that do as told."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hpack import Encoder
from twisted.internet.epollreactor import EPollReactor

from pybal.config.settings import GRPCSettings
from tests.certificates import self_signed
from tests.reactor import run
from tests.scripted import Peer, World, saying

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
GRPC = pytest.mark.skipif(
    not importlib.util.find_spec("grpc_health"), reason="no gRPC server: pip install grpcio grpcio-health-checking"
)
SERVER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

pem = open(sys.argv[1], "rb").read()
servicer = health.HealthServicer()
servers = [grpc.server(ThreadPoolExecutor(4)) for _ in range(3)]
for server in servers[:2]:
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
for name, status in (("", "SERVING"), ("good.Service", "SERVING"), ("bad.Service", "NOT_SERVING"), ("odd", "UNKNOWN")):
    servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
credentials = grpc.ssl_server_credentials([(pem, pem)])
ports = [
    servers[0].add_insecure_port("[::]:0"),
    servers[1].add_secure_port("[::]:0", credentials),
    servers[2].add_insecure_port("[::]:0"),
]
for server in servers:
    server.start()
print(*ports, flush=True)
for line in sys.stdin:
    name, status = line.split()
    servicer.set("" if name == "-" else name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    print("done", flush=True)
for server in servers:
    server.stop(0)
"""


class GRPCServer:
    """Its ports: plain, with TLS, and one without a health service."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.plain, self.secure, self.bare = map(int, self._out.readline().split())

    def set(self, name: str, status: str) -> None:
        self._in.write(f"{name} {status}\n")
        self._in.flush()
        assert self._out.readline() == "done\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCServer]:
    pem = self_signed(tmp_path_factory.mktemp("grpc"))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(pem)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield GRPCServer(process)
    finally:
        process.terminate()
        process.communicate()


def first(settings: GRPCSettings, port: int, host: str = "127.0.0.1") -> tuple[bool, str]:
    async def main(reactor: EPollReactor) -> tuple[bool, str]:
        async with World(reactor, host) as world:
            world.monitor(settings, port=port)
            report = await world.report()
            return report.up, report.reason

    return run(main)


@GRPC
class TestRealServer:
    @HOSTS
    @pytest.mark.parametrize("service", ["", "good.Service"])
    @pytest.mark.parametrize("tls", [False, True])
    def test_a_service_that_serves_is_up(self, server: GRPCServer, service: str, tls: bool, host: str) -> None:
        port = server.secure if tls else server.plain
        assert first(GRPCSettings(service, tls), port, host) == (True, "")

    @pytest.mark.parametrize(
        ("service", "reason"),
        [
            ("bad.Service", "status: NOT_SERVING, wanted SERVING"),
            ("odd", "status: UNKNOWN, wanted SERVING"),
            ("no.Service", "status: NOT_FOUND '', wanted OK"),
        ],
    )
    def test_any_other_status_is_down(self, server: GRPCServer, service: str, reason: str) -> None:
        assert first(GRPCSettings(service), server.plain) == (False, reason)
        assert first(GRPCSettings(service, tls=True), server.secure) == (False, reason)

    def test_a_server_without_a_health_service_is_down(self, server: GRPCServer) -> None:
        assert first(GRPCSettings(), server.bare) == (False, "status: UNIMPLEMENTED 'Method not found!', wanted OK")

    def test_plain_and_tls_do_not_mix(self, server: GRPCServer) -> None:
        assert first(GRPCSettings(tls=True), server.plain) == (False, "tls: wrong version number")
        up, reason = first(GRPCSettings(timeout=1.0), server.secure)
        assert not up
        assert reason.startswith("headers: ")

    def test_a_server_that_stops_serving_and_serves_again(self, server: GRPCServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                monitor = world.monitor(GRPCSettings("turns", interval=0.05), port=server.plain)
                assert (await world.report()).up
                server.set("turns", "NOT_SERVING")
                assert (await world.report()).reason == "status: NOT_SERVING, wanted SERVING"
                server.set("turns", "SERVING")
                assert (await world.report()).up
                assert (monitor.name, monitor.up_transitions, monitor.down_transitions) == ("gRPC", 2, 1)
                assert list(list(monitor.history())[-1].result.phases)[:3] == ["connect", "first byte", "headers"]

        server.set("turns", "SERVING")
        run(main)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(4, 0, 0, b"")
OK = [(":status", "200"), ("content-type", "application/grpc")]
SERVING = b"\0\0\0\0\x02\x08\x01"
DONE = [("grpc-status", "0")]
END_STREAM, END_HEADERS = 1, 4


def answer(
    head: Sequence[tuple[str, str]] = OK, message: bytes = SERVING, trailers: Sequence[tuple[str, str]] = DONE
) -> bytes:
    """Return what an HTTP/2 server sends."""
    encoder = Encoder()
    return b"".join(
        (
            SETTINGS,
            frame(1, END_HEADERS, 1, encoder.encode(head)),
            frame(0, 0, 1, message),
            frame(1, END_HEADERS | END_STREAM, 1, encoder.encode(trailers)),
        )
    )


def headers_only(*head: tuple[str, str]) -> bytes:
    return SETTINGS + frame(1, END_HEADERS | END_STREAM, 1, Encoder().encode(head))


def then(act: Callable[[Peer], object], data: bytes) -> Callable[[Peer], None]:
    def both(peer: Peer) -> None:
        peer.say(data)
        act(peer)

    return both


def half_close(peer: Peer) -> None:
    peer.transport.loseWriteConnection()


def drip(peer: Peer, rest: bytes = answer()) -> None:
    """Say an answer a byte every 20 ms."""
    if not peer.closed:
        peer.say(rest[:1])
        reactor: Any = peer.transport.reactor  # Twisted types it too narrowly
        reactor.callLater(0.02, drip, peer, rest[1:])


def scripted(act: Callable[[Peer], object], host: str = "127.0.0.1", **options: Any) -> tuple[bool, str]:
    async def main(reactor: EPollReactor) -> tuple[bool, str]:
        async with World(reactor, host) as world:
            world.server.connected = act
            world.monitor(GRPCSettings(timeout=0.4, **options))
            report = await world.report()
            world.stop_monitors()
            await world.pause(0.03)
            return report.up, report.reason

    return run(main)


class TestScripted:
    @HOSTS
    def test_serving_is_up(self, host: str) -> None:
        assert scripted(saying(answer()), host) == (True, "")

    def test_it_may_come_byte_by_byte_if_in_time(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.server.connected = drip
                world.monitor(GRPCSettings(timeout=15))
                assert (await world.report()).up
                world.stop_monitors()
                await world.pause(0.03)

        run(main)

    def test_the_call_is_what_grpc_wants(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                world.monitor(GRPCSettings("a.B", authority="health.example", timeout=5.0))
                await world.until(
                    lambda: world.server.peers and world.server.peers[0].received.endswith(b"\x0a\x03a.B")
                )
                assert world.server.peers[0].received.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

        run(main)

    @HOSTS
    @pytest.mark.parametrize(
        ("act", "reason"),
        [
            (Peer.close, "headers: connection closed before an answer"),
            (half_close, "headers: connection closed before an answer"),
            (Peer.reset, "headers: reset before an answer"),
            (then(half_close, SETTINGS), "headers: connection closed after 9 bytes"),
            (then(half_close, answer()[:-12]), "body: connection closed after "),
            (lambda _peer: None, "headers: 0."),
            (drip, "headers: "),
            (
                saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                "headers: an answer that begins with 'HTTP/1.1 ', wanted HTTP/2",
            ),
            (saying(b"220 mail.example ESMTP\r\n"), "headers: an answer that begins with '220 mail.', wanted HTTP/2"),
            (saying(bytes(range(255, 0, -1)) * 100), "headers: an answer that begins with "),
            (saying(SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(70_000)), "headers: more than 65536 bytes"),
            (saying(SETTINGS + frame(1, END_HEADERS, 1, b"\xff" * 40)), "headers: not HTTP/2: "),
            (
                saying(SETTINGS + frame(3, 0, 1, bytes(3) + b"\x07")),
                "headers: the server cancelled the call: REFUSED_STREAM",
            ),
            (saying(SETTINGS + frame(7, 0, 0, bytes(8))), "headers: the server is going away: NO_ERROR"),
            (saying(answer(head=[(":status", "503")])), "status: HTTP 503, wanted 200"),
            (
                saying(answer(head=[(":status", "200"), ("content-type", "text/html")])),
                "status: content-type 'text/html', wanted",
            ),
            (saying(headers_only(*OK)), "status: an answer without a grpc-status"),
            (
                saying(headers_only(*OK, ("grpc-status", "14"), ("grpc-message", "too%20bad%0a"))),
                "status: UNAVAILABLE 'too bad\\n', wanted OK",
            ),
            (saying(answer(trailers=[("grpc-status", "5")])), "status: NOT_FOUND '', wanted OK"),
            (saying(answer(message=b"\0\0\0\0\x02\x08\x02")), "status: NOT_SERVING, wanted SERVING"),
            (saying(answer(message=b"\0\0\0\0")), "status: malformed: not one message"),
            (saying(answer(message=b"\1" + SERVING[1:])), "status: malformed: a compressed message"),
            (saying(answer(message=b"")), "status: malformed: not one message"),
            (
                saying(SETTINGS + frame(1, END_HEADERS, 1, Encoder().encode(OK)) + frame(0, 0, 1, bytes(16000)) * 5),
                "body: ",
            ),
        ],
    )
    def test_anything_else_is_down(self, act: Callable[[Peer], object], reason: str, host: str) -> None:
        up, said = scripted(act, host)
        assert not up
        assert said.startswith(reason)

    def test_refused(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                await world.server.stop()
                world.monitor(GRPCSettings(timeout=0.4))
                assert (await world.report()).reason == "connect: refused"

        run(main)

    def test_a_connection_that_hangs(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with World(reactor) as world:
                with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                    taken.connect(full.getsockname())
                    world.monitor(GRPCSettings(timeout=0.4), port=full.getsockname()[1])
                    assert (await world.report()).reason == "connect: nothing for 400 ms"
                    world.stop_monitors()

        run(main)


def test_a_tls_server_that_does_not_choose_http_2_is_down(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-key", str(pem), "-quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    async def main(reactor: EPollReactor) -> None:
        async with World(reactor) as world:
            world.monitor(GRPCSettings(tls=True, interval=0.05), port=port)
            report = await world.report()
            while report.reason == "connect: refused":  # it takes a moment to listen
                report = await world.report()
            assert report.reason == "tls: the server does not choose HTTP/2 by ALPN"

    try:
        run(main)
    finally:
        process.terminate()
        process.communicate()
