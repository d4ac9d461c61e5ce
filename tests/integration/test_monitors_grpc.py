"""gRPC against a real gRPC server, and against scripted servers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hpack import Encoder
from twisted.internet.epollreactor import EPollReactor

from pybal.monitors.grpc import GRPCSettings
from tests.harness.certificates import self_signed
from tests.harness.http2_answers import END_HEADERS, END_STREAM, OK, SERVING, SETTINGS, frame, serving
from tests.harness.real_monitors import check_restart, first_results
from tests.harness.scripted_server import MonitoredServer, Peer, follow_ups, saying
from tests.harness.servers.grpc import grpc
from tests.harness.servers.haproxy import bound, haproxy
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.openssl import openssl_server
from tests.harness.servers.process import Server, free_ports
from tests.harness.stepped_reactor import run

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
HAPROXY = """
frontend grpc
{bind}
    default_backend grpc
backend grpc
    server one 127.0.0.1:{plain} proto h2
"""
NGINX = """
    keepalive_requests 1;
    server {{ {listen} location / {{ grpc_pass grpc://127.0.0.1:{plain}; }} }}
"""


@dataclass(frozen=True, slots=True)
class GRPCServer:
    """A gRPC server and its ports: plain, with TLS, and without a health service."""

    server: Server
    plain: int
    secure: int
    bare: int


@pytest.fixture(scope="module")
def grpc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPCServer]:
    directory = tmp_path_factory.mktemp("grpc")
    ports = free_ports(3)
    with grpc(directory, self_signed(directory), *ports) as server:
        yield GRPCServer(server, *ports)


@contextmanager
def behind(grpc_server: GRPCServer, directory: Path, kind: str) -> Iterator[int]:
    """Run a proxy in front of the gRPC server; yield its port."""
    (port,) = free_ports(1)
    if kind == "haproxy":
        proxy = haproxy(directory, HAPROXY.format(bind=bound(port, "proto", "h2"), plain=grpc_server.plain), port)
    else:
        proxy = nginx(directory, NGINX.format(listen=listening(port, "http2"), plain=grpc_server.plain), port)
    with proxy:
        yield port


class TestRealServer:
    @pytest.mark.parametrize("service", ["", "good.Service"])
    def test_serving_service_is_up(self, grpc_server: GRPCServer, service: str) -> None:
        assert first_results(grpc_server.plain, GRPCSettings(service)) == [""]
        assert first_results(grpc_server.secure, GRPCSettings(service, tls=True)) == [""]

    @pytest.mark.parametrize(
        ("service", "reason"),
        [
            ("bad.Service", "status: NOT_SERVING, wanted SERVING"),
            ("odd", "status: UNKNOWN, wanted SERVING"),
            ("no.Service", "status: NOT_FOUND '', wanted OK"),
        ],
    )
    def test_other_status_is_down(self, grpc_server: GRPCServer, service: str, reason: str) -> None:
        assert first_results(grpc_server.plain, GRPCSettings(service)) == [reason]
        assert first_results(grpc_server.secure, GRPCSettings(service, tls=True)) == [reason]

    def test_server_without_a_health_service_is_down(self, grpc_server: GRPCServer) -> None:
        assert first_results(grpc_server.bare, GRPCSettings()) == [
            "status: UNIMPLEMENTED 'Method not found!', wanted OK"
        ]

    def test_plain_and_tls_mismatch_is_down(self, grpc_server: GRPCServer) -> None:
        assert first_results(grpc_server.plain, GRPCSettings(tls=True)) == [
            "tls: wrong version number (no TLS on this port)"
        ]
        (reason,) = first_results(grpc_server.secure, GRPCSettings(timeout=1.0))
        assert reason.startswith("headers: ")

    def test_server_follows_changes_of_its_status(self, grpc_server: GRPCServer) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                monitor = setup.monitor(GRPCSettings("turns", interval=0.05), port=grpc_server.plain)
                assert (await setup.report()).up
                grpc_server.server.say("turns NOT_SERVING")
                assert (await setup.report()).reason == "status: NOT_SERVING, wanted SERVING"
                await setup.until(lambda: follow_ups(monitor) == [("TCP only", "passed")])
                grpc_server.server.say("turns SERVING")
                assert (await setup.report()).up
                assert (monitor.name, monitor.up_transitions, monitor.down_transitions) == ("gRPC", 2, 1)
                assert list(list(monitor.history())[-1].result.phases)[:3] == ["connect", "first byte", "headers"]

        run(main)

    def test_hanging_server_accepts_connections_only(self, grpc_server: GRPCServer) -> None:
        grpc_server.server.pause()
        try:
            plain = first_results(grpc_server.plain, GRPCSettings(timeout=0.4))
            secure = first_results(grpc_server.secure, GRPCSettings(tls=True, timeout=0.4))
        finally:
            grpc_server.server.resume()
        assert plain == ["headers: TIME without a byte (connected in TIME)"]
        assert secure == ["tls: handshake timeout after TIME (connected in TIME)"]

    def test_dead_server_refuses_and_restarted_server_is_up(self, grpc_server: GRPCServer) -> None:
        check_restart(grpc_server.server, grpc_server.plain, GRPCSettings(interval=0.05))

    @pytest.mark.parametrize(("proxy", "status"), [("haproxy", 503), ("nginx", 502)])
    def test_server_behind_a_proxy_is_up_until_it_dies(
        self, grpc_server: GRPCServer, proxy: str, status: int, tmp_path: Path
    ) -> None:
        with behind(grpc_server, tmp_path, proxy) as port:
            asked = first_results(port, GRPCSettings(), GRPCSettings("bad.Service"))
            assert asked == ["", "status: NOT_SERVING, wanted SERVING"]
            grpc_server.server.kill()
            try:
                assert first_results(port, GRPCSettings()) == [f"status: HTTP {status}, wanted 200"]
            finally:
                grpc_server.server.start()


def headers_only(*head: tuple[str, str]) -> bytes:
    return SETTINGS + frame(1, END_HEADERS | END_STREAM, 1, Encoder().encode(head))


def then(act: Callable[[Peer], object], data: bytes) -> Callable[[Peer], None]:
    def both(peer: Peer) -> None:
        peer.say(data)
        act(peer)

    return both


def half_close(peer: Peer) -> None:
    peer.transport.loseWriteConnection()


def drip(peer: Peer, rest: bytes = serving()) -> None:
    """Send an answer at one byte every 20 ms."""
    if not peer.closed:
        peer.say(rest[:1])
        reactor: Any = peer.transport.reactor  # Twisted declares too narrow a type
        reactor.callLater(0.02, drip, peer, rest[1:])


def scripted(act: Callable[[Peer], object], host: str = "127.0.0.1", **options: Any) -> tuple[bool, str]:
    async def main(reactor: EPollReactor) -> tuple[bool, str]:
        async with MonitoredServer(reactor, host) as setup:
            setup.server.connected = act
            setup.monitor(GRPCSettings(timeout=0.4, **options))
            report = await setup.report()
            setup.stop_monitors()
            await setup.pause(0.03)
            return report.up, report.reason

    return run(main)


class TestScripted:
    @HOSTS
    def test_serving_is_up(self, host: str) -> None:
        assert scripted(saying(serving()), host) == (True, "")

    @pytest.mark.parametrize("stream", [b"\x7f\xff\xff\xff", b"\0\0\0\1"], ids=["any", "ours"])
    def test_goaway_after_the_answer_is_up(self, stream: bytes) -> None:
        goaway = frame(7, 0, 0, stream + bytes(4))
        assert scripted(saying(SETTINGS + goaway + serving()[9:])) == (True, "")
        assert scripted(saying(serving()[:-21] + goaway + serving()[-21:])) == (True, "")

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"\0\0\0\1" + bytes(3) + b"\x0b", "headers: the server closes the connection (GOAWAY): ENHANCE_YOUR_CALM"),
            (bytes(8), "headers: the server closes the connection (GOAWAY): NO_ERROR"),
            (b"\0\0\0\1", "headers: not HTTP/2: "),
        ],
    )
    def test_goaway_before_the_answer_is_down(self, payload: bytes, reason: str) -> None:
        up, text = scripted(saying(SETTINGS + frame(7, 0, 0, payload)))
        assert (up, text.startswith(reason)) == (False, True), text

    def test_answer_is_accepted_byte_by_byte(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.server.connected = drip
                setup.monitor(GRPCSettings(timeout=15))
                assert (await setup.report()).up
                setup.stop_monitors()
                await setup.pause(0.03)

        run(main)

    def test_request_is_a_valid_grpc_call(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                setup.monitor(GRPCSettings("a.B", authority="health.example", timeout=5.0))
                await setup.until(
                    lambda: setup.server.peers and setup.server.peers[0].received.endswith(b"\x0a\x03a.B")
                )
                assert setup.server.peers[0].received.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

        run(main)

    @HOSTS
    @pytest.mark.parametrize(
        ("act", "reason"),
        [
            (Peer.close, "headers: connection closed before an answer"),
            (half_close, "headers: connection closed before an answer"),
            (Peer.reset, "headers: reset before an answer"),
            (then(half_close, SETTINGS), "headers: connection closed after 9 bytes"),
            (then(half_close, serving()[:-12]), "body: connection closed after "),
            (lambda _peer: None, "headers: 0."),
            (drip, "headers: "),
            (
                saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                "headers: response begins with 'HTTP/1.1 ', wanted HTTP/2",
            ),
            (saying(b"220 mail.example ESMTP\r\n"), "headers: response begins with '220 mail.', wanted HTTP/2"),
            (saying(bytes(range(255, 0, -1)) * 100), "headers: response begins with "),
            (saying(SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(70_000)), "headers: more than 65536 bytes"),
            (saying(SETTINGS + frame(1, END_HEADERS, 1, b"\xff" * 40)), "headers: not HTTP/2: "),
            (
                saying(SETTINGS + frame(3, 0, 1, bytes(3) + b"\x07")),
                "headers: the server cancelled the call: REFUSED_STREAM",
            ),
            (
                saying(SETTINGS + frame(7, 0, 0, bytes(8))),
                "headers: the server closes the connection (GOAWAY): NO_ERROR",
            ),
            (saying(serving(head=[(":status", "503")])), "status: HTTP 503, wanted 200"),
            (
                saying(serving(head=[(":status", "200"), ("content-type", "text/html")])),
                "status: content-type 'text/html', wanted",
            ),
            (saying(headers_only(*OK)), "status: response without a grpc-status"),
            (
                saying(headers_only(*OK, ("grpc-status", "14"), ("grpc-message", "too%20bad%0a"))),
                "status: UNAVAILABLE 'too bad\\n', wanted OK",
            ),
            (saying(serving(trailers=[("grpc-status", "5")])), "status: NOT_FOUND '', wanted OK"),
            (saying(serving(message=b"\0\0\0\0\x02\x08\x02")), "status: NOT_SERVING, wanted SERVING"),
            (saying(serving(message=b"\0\0\0\0")), "status: malformed: not exactly one message"),
            (saying(serving(message=b"\1" + SERVING[1:])), "status: malformed: compressed message"),
            (saying(serving(message=b"")), "status: malformed: not exactly one message"),
            (
                saying(SETTINGS + frame(1, END_HEADERS, 1, Encoder().encode(OK)) + frame(0, 0, 1, bytes(16000)) * 5),
                "body: ",
            ),
        ],
    )
    def test_other_answers_are_down(self, act: Callable[[Peer], object], reason: str, host: str) -> None:
        up, said = scripted(act, host)
        assert not up
        assert said.startswith(reason)

    def test_refused_connection_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                await setup.server.stop()
                setup.monitor(GRPCSettings(timeout=0.4))
                assert (await setup.report()).reason == "connect: refused"

        run(main)

    def test_hanging_connection_is_down(self) -> None:
        async def main(reactor: EPollReactor) -> None:
            async with MonitoredServer(reactor) as setup:
                with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as taken:
                    taken.connect(full.getsockname())
                    setup.monitor(GRPCSettings(timeout=0.4), port=full.getsockname()[1])
                    assert (await setup.report()).reason == "connect: no response for 400 ms"
                    setup.stop_monitors()

        run(main)


def test_tls_server_without_http_2_is_down(tmp_path: Path) -> None:
    async def main(reactor: EPollReactor) -> None:
        async with MonitoredServer(reactor) as setup:
            setup.monitor(GRPCSettings(tls=True, interval=0.05), port=port)
            assert (await setup.report()).reason == "tls: the server did not select HTTP/2 by ALPN"

    with openssl_server(self_signed(tmp_path)) as port:
        run(main)
