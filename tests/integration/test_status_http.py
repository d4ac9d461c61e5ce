"""Real clients over loopback: Python's own, and raw sockets that misbehave."""

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

from pybal.status import listener
from pybal.status.listener import StatusFactory, listen
from tests.harness.snapshots import SICK, large, status
from tests.harness.stepped_reactor import run

T = TypeVar("T")

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")


def in_thread(reactor: EPollReactor, work: Callable[[], T]) -> Deferred[T]:
    """Run a blocking client in a thread of its own, as the reactor is busy being the server."""
    deferred: Deferred[T] = Deferred()

    def main() -> None:
        try:
            result: T | Failure = work()
        except BaseException:  # noqa: BLE001  # handed to the test
            result = Failure()
        reactor.callFromThread(deferred.callback, result)

    threading.Thread(target=main, daemon=True).start()
    return deferred


def against(work: Callable[[int], T], ip: str = "127.0.0.1", **options: Any) -> T:
    """Serve on a free port while ``work(port)`` runs."""

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


@asynccontextmanager
async def serving(reactor: EPollReactor, factory: StatusFactory, *ips: str) -> AsyncIterator[int]:
    """Listen on all the addresses at one free port, and leave no connection behind."""
    port = 0
    ports: list[Any] = []
    try:
        for ip in ips or ("127.0.0.1",):
            ports.append(listen(reactor, factory, ip_address(ip), port))
            port = ports[0].getHost().port
        yield port
    finally:
        for each in ports:
            await each.stopListening()
        for channel in list(factory._open):
            channel.abort()
        while factory._open:
            await turn(reactor)


async def turn(reactor: EPollReactor) -> None:
    """Let the loop go on for a moment."""
    later: Deferred[None] = Deferred()
    reactor.callLater(0.01, later.callback, None)
    await later


@contextmanager
def raw(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
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
def test_one_connection_serves_many_requests(ip: str) -> None:
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

    assert against(work, ip=ip) == [
        (200, b'["tiny", "web", "fine", "api"]'),
        (200, b""),
        (404, b'{"error": "The desired url was not found"}'),
        (200, b'{"pooled": true, "weight": 10, "up": false, "enabled": true}'),
    ]


def test_a_slow_head_is_cut_off_and_others_are_served_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD", 0.5)

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

    assert against(work) > 0


def test_idle_connections_never_keep_a_newcomer_out() -> None:
    def work(port: int) -> tuple[int, bytes]:
        held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(40)]
        try:
            return get(port, "/pools/web/a")
        finally:
            for client in held:
                client.close()

    assert against(work, max_connections=8) == (200, b"enabled/down/pooled\n")


def test_an_endless_head_is_refused() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            with suppress(ConnectionError):
                client.sendall(b"GET /alerts HTTP/1.1\r\nX: " + b"a" * 1_000_000)
            return until_closed(client)

    assert b"200" not in against(work)


def test_a_post_is_refused_and_its_body_never_taken_for_a_request() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            client.sendall(b"POST /alerts HTTP/1.1\r\nContent-Length: 24\r\n\r\nGET /alerts HTTP/1.1\r\n\r\n")
            return until_closed(client)

    assert against(work) == b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def test_a_page_whose_name_was_rebound_to_loopback_reads_nothing() -> None:
    def work(port: int) -> tuple[int, bytes]:
        return get(port, "/alerts", {"Host": f"evil.example:{port}"})

    assert against(work) == (421, b"Misdirected Request\n")


def test_http_1_0_gets_a_whole_scrape_and_the_end_of_the_connection() -> None:
    def work(port: int) -> bytes:
        with raw(port) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return until_closed(client)

    response = against(work)
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert body.startswith(b"# HELP pybal_service_servers ")
    assert body.endswith(b"\n")


def test_a_scrape_of_all_monitors_holds_up_nobody() -> None:
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


def test_a_scraper_that_stops_reading_is_dropped_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TAKEN", 0.5)
    shown, monitors = large(pools=60, servers=100)

    async def main(reactor: EPollReactor) -> tuple[tuple[int, bytes], bytes]:
        factory = StatusFactory(status(reactor, shown, monitors), reactor)
        async with serving(reactor, factory) as port:
            with raw(port) as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                alerts = await in_thread(reactor, lambda: get(port, "/alerts"))
                while factory._open:
                    await turn(reactor)
                return alerts, until_closed(stalled)

    alerts, rest = run(main, timeout=60)
    assert alerts[0] == 200
    assert rest.startswith(b"HTTP/1.1 200 OK")
    assert not rest.endswith(b"0\r\n\r\n")


def test_an_address_that_is_taken_is_named() -> None:
    async def main(reactor: EPollReactor) -> None:
        factory = StatusFactory(status(reactor), reactor)
        async with serving(reactor, factory) as port:
            with pytest.raises(CannotListenError, match=rf"127\.0\.0\.1:{port}: .*Address already in use"):
                listen(reactor, factory, ip_address("127.0.0.1"), port)

    run(main)


def test_an_address_of_another_machine_is_named() -> None:
    async def main(reactor: EPollReactor) -> None:
        with pytest.raises(CannotListenError, match=r"192\.0\.2\.1:9090"):
            listen(reactor, StatusFactory(status(reactor), reactor), ip_address("192.0.2.1"), 9090)

    run(main)


@needs_ipv6
def test_both_families_can_be_listened_on_at_one_port() -> None:
    async def main(reactor: EPollReactor) -> list[tuple[int, bytes]]:
        async with serving(reactor, StatusFactory(status(reactor), reactor), "::", "0.0.0.0") as port:
            return await in_thread(reactor, lambda: [get(port, "/pools", ip=ip) for ip in ("127.0.0.1", "::1")])

    assert run(main) == [(200, b"web\n"), (200, b"web\n")]
