"""Slow, numerous, oversized and malicious HTTP clients, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from pybal.status.listener import HEAD_TIMEOUT, IDLE_TIMEOUT, SEND_TIMEOUT, StatusFactory
from pybal.status.routes import RouteResponse, Routes
from tests.harness.snapshots import status

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 9090)


class Client:
    """One connection to the factory, with the data received on it."""

    def __init__(self, factory: StatusFactory, host: IPv4Address | IPv6Address = LOOPBACK) -> None:
        self.transport = StringTransport(hostAddress=host)
        self.protocol: Any = factory.buildProtocol(None)
        if self.protocol is not None:
            self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted's

    def send(self, data: str) -> bytes:
        """Send data and return the data received since the last call."""
        self.protocol.dataReceived(data.replace("\n", "\r\n").encode())
        return self.received()

    def received(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def get(self, path: str = "/alerts", headers: str = "Host: localhost\n", method: str = "GET") -> bytes:
        return self.send(f"{method} {path} HTTP/1.1\n{headers}\n")

    def hang_up(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting)


@dataclass
class FixedRoutes:
    """Routes that return one response, or raise one exception, for every path."""

    result: RouteResponse | Exception

    def answer(self, _path: bytes, *, as_json: bool) -> RouteResponse:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def factory(clock: Clock, shown: Routes | FixedRoutes | None = None, **options: Any) -> StatusFactory:
    return StatusFactory(shown or status(clock), clock, **options)  # type: ignore[arg-type]  # FixedRoutes has the same method


def code(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    # A connection that is still open now would never be closed.
    for _ in range(400):
        clock.advance(1)
    assert clock.getDelayedCalls() == []


def test_response_is_http(clock: Clock) -> None:
    client = Client(factory(clock))
    head, _, body = client.get().partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain" in lines
    assert b"Content-Length: 26" in lines
    assert body == b"OK - All pools are healthy"
    client.hang_up()


def test_json_requires_exactly_its_accept_header(clock: Clock) -> None:
    client = Client(factory(clock))
    exact = "Host: localhost\nAccept: text/html\nAccept: application/json\n"
    assert b"Content-Type: application/json\r\n" in client.get(headers=exact)
    for other in ("application/json;q=0.9", "text/html, application/json", "*/*"):
        assert b"Content-Type: text/plain\r\n" in client.get(headers=f"Host: localhost\nAccept: {other}\n")
    client.hang_up()


def test_metrics_are_text_format_0_0_4_when_openmetrics_is_accepted(clock: Clock) -> None:
    client = Client(factory(clock))
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=1.0.0;q=0.5"
    client.get("/metrics", headers=f"Host: localhost\nAccept: {accept}\n")
    clock.pump([0] * 200)
    response = client.received()
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in response
    assert response.endswith(b"\r\n0\r\n\r\n")
    assert b"# EOF" not in response
    client.hang_up()


def test_query_is_ignored(clock: Clock) -> None:
    client = Client(factory(clock))
    assert client.get("/alerts?format=json").endswith(b"OK - All pools are healthy")
    client.hang_up()


def test_head_response_is_that_of_get_without_a_body(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.get(method="HEAD")
    assert b"Content-Length: 26\r\n" in response
    assert response.endswith(b"\r\n\r\n")
    assert code(client.get("/metrics", method="HEAD")) == 200
    assert client.get().endswith(b"healthy")
    client.hang_up()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"])
def test_other_methods_are_refused_with_the_allowed_ones(clock: Clock, method: str) -> None:
    client = Client(factory(clock))
    response = client.get(method=method)
    assert code(response) == 405
    assert b"Allow: GET, HEAD\r\n" in response
    client.hang_up()


@pytest.mark.parametrize(
    ("method", "framing", "answered"),
    [
        ("GET", "Content-Length: 5\n", 413),
        ("GET", "Transfer-Encoding: chunked\n", 413),
        ("POST", "Content-Length: 99999999999\n", 405),
        ("GET", "Content-Length: x\n", 400),
    ],
)
def test_request_with_body_is_refused_unread_and_closes_the_connection(
    clock: Clock, method: str, framing: str, answered: int
) -> None:
    client = Client(factory(clock))
    assert code(client.get(headers=f"Host: localhost\n{framing}", method=method)) == answered
    assert client.closed
    assert client.send("hello") == b""
    assert client.send("GET /alerts HTTP/1.1\n\n") == b""
    client.hang_up()


def test_connection_serves_several_requests(clock: Clock) -> None:
    client = Client(factory(clock))
    for _ in range(3):
        assert client.get().endswith(b"healthy")
        clock.advance(IDLE_TIMEOUT - 1)
    assert not client.closed
    client.hang_up()


def test_pipelined_requests_are_answered_in_order(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.send("GET /alerts HTTP/1.1\n\nGET /nope HTTP/1.1\n\n")
    assert response.index(b"healthy") < response.index(b"404")
    client.hang_up()


def test_head_sent_byte_by_byte_ends_at_its_deadline(clock: Clock) -> None:
    client = Client(factory(clock))
    for _ in range(HEAD_TIMEOUT - 1):
        client.send("x")
        clock.advance(1)
    assert not client.closed
    client.send("x")
    clock.advance(1)
    assert client.closed


def test_later_head_has_its_own_deadline(clock: Clock) -> None:
    client = Client(factory(clock))
    client.get()
    clock.advance(IDLE_TIMEOUT - 1)
    client.send("G")
    clock.advance(HEAD_TIMEOUT - 0.5)
    client.send("ET /alerts HTTP/1.1\n")
    assert not client.closed
    clock.advance(1)
    assert client.closed


def test_idle_connection_is_closed(clock: Clock) -> None:
    client = Client(factory(clock))
    client.get()
    clock.advance(IDLE_TIMEOUT)
    assert client.closed


def test_silent_client_is_closed(clock: Clock) -> None:
    client = Client(factory(clock))
    clock.advance(HEAD_TIMEOUT)
    assert client.closed


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "a" * 20000,
        "GET / HTTP/1.1\nX: " + "a" * 20000,
        "GET / HTTP/1.1\n" + "X: aaaa\n" * 3000,
        "GET / HTTP/1.1\n" + "X:\n" * 101 + "\n",
        "GET / HTTP/1.1\n nothing to continue" + "\n\n",
        "hello\n\n",
    ],
)
def test_invalid_or_oversized_head_is_refused(clock: Clock, head: str) -> None:
    client = Client(factory(clock))
    assert code(client.send(head)) in {400, 431}
    assert client.closed
    client.hang_up()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:9090",
        "127.0.0.1:9090",
        "[::1]:9090",
        "[2001:db8::1]",
        "lvs1.example.org.",
        "LVS1.example.org:9090",
    ],
)
def test_host_header_may_be_a_local_name_or_any_address(clock: Clock, host: str) -> None:
    client = Client(factory(clock, host_names=["lvs1.example.org"]))
    assert code(client.get(headers=f"Host: {host}\n")) == 200
    client.hang_up()


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "[x]"]
)
def test_host_header_with_a_foreign_name_is_refused_on_loopback(clock: Clock, host: str) -> None:
    client = Client(factory(clock))
    response = client.get(headers=f"Host: {host}\n")
    assert code(response) == (200 if host == "[::1" else 421)
    assert (b"healthy" in response) == (host == "[::1")
    client.hang_up()


def test_two_host_headers_are_refused(clock: Clock) -> None:
    client = Client(factory(clock))
    assert code(client.get(headers="Host: localhost\nHost: evil.example\n")) == 421
    client.hang_up()


def test_http_1_0_requires_no_host_and_closes_the_connection(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.send("GET /alerts HTTP/1.0\n\n")
    assert response.endswith(b"\r\n\r\nOK - All pools are healthy")
    assert client.closed
    client.hang_up()


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_other_addresses_accept_any_host_header(clock: Clock, ip: str) -> None:
    kind = IPv6Address if ip_address(ip).version == 6 else IPv4Address
    client = Client(factory(clock), kind("TCP", ip, 9090))
    assert code(client.get(headers="Host: pybal-alias.example\n")) == 200
    client.hang_up()


def test_longest_idle_connection_is_closed_when_too_many_are_open(clock: Clock) -> None:
    listener = factory(clock, max_connections=2)
    first, second = Client(listener), Client(listener)
    third = Client(listener)
    assert first.closed
    assert not second.closed
    assert third.get().endswith(b"healthy")
    for client in (first, second, third):
        client.hang_up()


def test_closed_connection_is_not_counted(clock: Clock) -> None:
    listener = factory(clock, max_connections=2)
    first, second = Client(listener), Client(listener)
    first.hang_up()
    third = Client(listener)
    assert not second.closed
    second.hang_up()
    third.hang_up()


def test_new_connection_is_refused_when_all_others_are_busy(clock: Clock) -> None:
    listener = factory(clock, max_connections=1)
    busy = Client(listener)
    busy.get("/metrics")
    assert Client(listener).protocol is None
    clock.pump([0] * 100)
    assert Client(listener).protocol is not None
    busy.hang_up()


@pytest.fixture
def failures() -> Iterator[list[BaseException]]:
    seen: list[BaseException] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event and event["log_namespace"] == "pybal.status.listener":
            seen.append(event["log_failure"].value)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_failing_view_is_logged_as_500_and_the_connection_continues(
    clock: Clock, failures: list[BaseException]
) -> None:
    routes = FixedRoutes(LookupError("a bug"))
    client = Client(factory(clock, routes))
    response = client.get()
    assert code(response) == 500
    assert b"bug" not in response
    assert failures == [routes.result]
    routes.result = RouteResponse(b"fine")
    assert client.get().endswith(b"fine")
    client.hang_up()


def test_empty_piece_does_not_end_the_response(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"", b"one", b"", b"two"])))))
    assert client.get() == b""
    clock.advance(0)
    assert client.received().endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    client.hang_up()


def test_pieces_wait_until_the_client_reads(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"one", b"two"])))))
    client.get()
    client.protocol.pauseProducing()
    clock.pump([0, 0])
    assert client.received() == b""
    client.protocol.resumeProducing()
    clock.pump([0, 0, 0])
    assert client.received().endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    client.hang_up()


def test_client_that_never_reads_is_closed(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"one"])))))
    client.get()
    client.protocol.pauseProducing()
    clock.advance(SEND_TIMEOUT)
    assert client.closed
    client.hang_up()


def test_interrupted_response_has_no_final_chunk(clock: Clock, failures: list[BaseException]) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise LookupError

    client = Client(factory(clock, FixedRoutes(RouteResponse(pieces()))))
    client.get()
    clock.pump([0, 0])
    assert client.received().endswith(b"3\r\none\r\n")
    assert client.closed
    assert [type(failure) for failure in failures] == [LookupError]
    client.hang_up()


def test_disconnected_client_leaves_no_delayed_call(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"one", b"two"])))))
    client.get()
    client.hang_up()
    assert clock.getDelayedCalls() == []


def test_page_forbids_frames_and_foreign_scripts(clock: Clock) -> None:
    client = Client(factory(clock))
    response = client.get("/")
    assert b"frame-ancestors 'none'" in response
    assert b"script-src 'self'" in response
    assert b"X-Content-Type-Options: nosniff\r\n" in response
    client.hang_up()
