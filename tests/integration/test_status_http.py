"""The HTTP endpoints on loopback, with Python's client and with raw sockets that misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http.client import HTTPConnection
from ipaddress import ip_address
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from pybal.status import events, listener, sending
from pybal.status.events import Shown
from pybal.status.listener import StatusFactory, bound, serve
from tests.harness.snapshots import SICK, large, status
from tests.harness.stepped_reactor import run

T = TypeVar("T")

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")


def in_thread(reactor: EPollReactor, work: Callable[[], T]) -> Deferred[T]:
    """Run a blocking client in a thread, because this thread runs the server."""
    deferred: Deferred[T] = Deferred()

    def main() -> None:
        try:
            result: T | Failure = work()
        except BaseException:  # noqa: BLE001  # handed to the test
            result = Failure()
        reactor.callFromThread(deferred.callback, result)

    threading.Thread(target=main, daemon=True).start()
    return deferred


def serve_while(work: Callable[[int], T], ip: str = "127.0.0.1", **options: Any) -> T:
    """Listen on a free port while ``work(port)`` runs; return its result."""

    async def main(reactor: EPollReactor) -> T:
        factory = StatusFactory(status(reactor, SICK), reactor, **options)
        async with serving(reactor, factory, ip) as port:
            return await in_thread(reactor, lambda: work(port))

    return run(main, timeout=60)


def get(port: int, path: str, headers: dict[str, str] | None = None, ip: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = HTTPConnection(ip, port, timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def listen(reactor: EPollReactor, factory: StatusFactory, ip: str, port: int) -> Any:
    with bound(ip_address(ip), port) as server:
        return serve(reactor, factory, server)


@asynccontextmanager
async def serving(reactor: EPollReactor, factory: StatusFactory, *ips: str) -> AsyncIterator[int]:
    """Listen on all addresses at one free port, and close every connection at the end."""
    port = 0
    ports: list[Any] = []
    try:
        for ip in ips or ("127.0.0.1",):
            ports.append(listen(reactor, factory, ip, port))
            port = ports[0].getHost().port
        yield port
    finally:
        for each in ports:
            await each.stopListening()
        for channel in list(factory.connections):
            channel.abort()
        while factory.connections:
            await turn(reactor)


async def turn(reactor: EPollReactor) -> None:
    """Let the event loop run for 10 ms."""
    later: Deferred[None] = Deferred()
    reactor.callLater(0.01, later.callback, None)
    await later


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        yield client


@contextmanager
def opened_stream(port: int) -> Iterator[socket.socket]:
    """Request the event stream with the smallest receive buffer."""
    with socket.socket() as client:
        client.settimeout(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /page/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield client


def until_closed(client: socket.socket) -> bytes:
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("ip", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_connection_serves_several_requests(ip: str) -> None:
    def work(port: int) -> list[tuple[int, bytes]]:
        connection = HTTPConnection(ip, port, timeout=30)
        answers = []
        sockets = set()
        for method, path in (("GET", "/pools"), ("HEAD", "/alerts"), ("GET", "/nope"), ("GET", "/pools/web/a")):
            connection.request(method, path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            answers.append((response.status, response.read()))
            sockets.add(id(connection.sock))
        connection.close()
        assert len(sockets) == 1
        return answers

    assert serve_while(work, ip=ip) == [
        (200, b'["tiny", "web", "fine", "api"]'),
        (200, b""),
        (404, b'{"error": "The desired url was not found"}'),
        (200, b'{"pooled": true, "weight": 10, "up": false, "enabled": true}'),
    ]


def test_slow_head_is_closed_while_other_requests_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT", 0.5)

    def work(port: int) -> int:
        answered = 0
        with raw(port) as slow:
            slow.settimeout(0.05)
            with suppress(ConnectionError):
                while True:
                    slow.sendall(b"x")
                    try:
                        slow.recv(1)
                    except TimeoutError:
                        answered += get(port, "/alerts")[0] == 200
                    else:
                        break
        return answered

    assert serve_while(work) > 0


def test_idle_connections_make_room_for_a_new_one() -> None:
    def work(port: int) -> tuple[int, bytes]:
        held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(40)]
        try:
            return get(port, "/pools/web/a")
        finally:
            for client in held:
                client.close()

    assert serve_while(work, max_connections=8) == (200, b"enabled/down/pooled\n")


def test_endless_head_is_refused() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            with suppress(ConnectionError):
                client.sendall(b"GET /alerts HTTP/1.1\r\nX: " + b"a" * 1_000_000)
            return until_closed(client)

    assert b"200" not in serve_while(work)


def test_post_is_refused_and_its_body_is_not_read_as_a_request() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            client.sendall(b"POST /alerts HTTP/1.1\r\nContent-Length: 24\r\n\r\nGET /alerts HTTP/1.1\r\n\r\n")
            return until_closed(client)

    assert serve_while(work) == b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def test_request_with_a_foreign_host_header_is_refused_on_loopback() -> None:
    def work(port: int) -> tuple[int, bytes]:
        return get(port, "/alerts", {"Host": f"evil.example:{port}"})

    assert serve_while(work) == (421, b"Misdirected Request\n")


def test_http_1_0_client_receives_a_complete_scrape() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return until_closed(client)

    response = serve_while(work)
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert body.startswith(b"# HELP pybal_service_servers ")
    assert body.endswith(b"\n")


def test_large_scrape_does_not_block_other_requests() -> None:
    shown, monitors = large(pools=118, servers=100)
    done = threading.Event()

    def scrape(port: int) -> bytes:
        try:
            return get(port, "/metrics")[1]
        finally:
            done.set()

    def deploy(port: int) -> int:
        answered = 0
        while not done.is_set():
            code, body = get(port, "/pools/svc7/cp7-9.example.org", {"Accept": "application/json"})
            assert code == 200
            assert json.loads(body)["pooled"]
            answered += 1
        return answered

    async def main(reactor: EPollReactor) -> tuple[bytes, int]:
        async with serving(reactor, StatusFactory(status(reactor, shown, monitors), reactor)) as port:
            text, answered = in_thread(reactor, lambda: scrape(port)), in_thread(reactor, lambda: deploy(port))
            return await text, await answered

    text, answered = run(main, timeout=60)
    assert text.count(b"\npybal_monitor_status{") == 11_800
    assert answered >= 3


def test_stalled_scraper_is_closed_while_other_requests_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEND_TIMEOUT", 0.5)
    shown, monitors = large(pools=60, servers=100)

    async def main(reactor: EPollReactor) -> tuple[tuple[int, bytes], bytes]:
        factory = StatusFactory(status(reactor, shown, monitors), reactor)
        async with serving(reactor, factory) as port:
            with raw(port) as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                alerts = await in_thread(reactor, lambda: get(port, "/alerts"))
                while factory.connections:
                    await turn(reactor)
                return alerts, until_closed(stalled)

    alerts, rest = run(main, timeout=60)
    assert alerts[0] == 200
    assert rest.startswith(b"HTTP/1.1 200 OK")
    assert rest.count(b"\n") < 1000


def test_client_that_never_reads_events_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "INTERVAL", 0.0001)
    monkeypatch.setattr(listener, "STALL_TIMEOUT", 1)
    buffered: list[int] = []

    async def main(reactor: EPollReactor) -> bytes:
        factory = StatusFactory(status(reactor), reactor, state=lambda: Shown((object(),)))
        async with serving(reactor, factory) as port:
            with opened_stream(port) as stalled:
                while not factory.connections:
                    await turn(reactor)
                while factory.connections:
                    await turn(reactor)
                    connections: list[Any] = list(factory.connections)
                    buffered.extend(len(each.transport.dataBuffer) for each in connections)
                return until_closed(stalled)

    rest = run(main, timeout=60)
    assert b"event: change" in rest
    assert max(buffered) <= 1 << 14


def test_client_that_leaves_ends_its_stream() -> None:
    async def main(reactor: EPollReactor) -> None:
        factory = StatusFactory(status(reactor), reactor)
        async with serving(reactor, factory) as port:
            with opened_stream(port), opened_stream(port):
                while len(factory.streams) < 2:
                    await turn(reactor)
            while factory.streams or factory.connections:
                await turn(reactor)

    run(main, timeout=60)


def test_error_names_an_address_in_use() -> None:
    async def main(reactor: EPollReactor) -> None:
        factory = StatusFactory(status(reactor), reactor)
        async with serving(reactor, factory) as port:
            with pytest.raises(CannotListenError, match=rf"127\.0\.0\.1:{port}: .*Address already in use"):
                bound(ip_address("127.0.0.1"), port)

    run(main)


def test_error_names_an_address_of_another_machine() -> None:
    with pytest.raises(CannotListenError, match=r"192\.0\.2\.1:9090"):
        bound(ip_address("192.0.2.1"), 9090)


@needs_ipv6
def test_both_address_families_listen_on_one_port() -> None:
    async def main(reactor: EPollReactor) -> list[tuple[int, bytes]]:
        async with serving(reactor, StatusFactory(status(reactor), reactor), "::", "0.0.0.0") as port:
            return await in_thread(reactor, lambda: [get(port, "/pools", ip=ip) for ip in ("127.0.0.1", "::1")])

    assert run(main) == [(200, b"web\n"), (200, b"web\n")]
