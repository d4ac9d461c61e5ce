"""The HTTP client: connection reuse, timeouts, limits, and streamed responses."""

from __future__ import annotations

import errno
from collections.abc import Callable, Container, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from pybal.config.settings import AccessSettings
from pybal.http.client import LIFE, TURN, HTTPClient, HTTPRequest
from pybal.http.connection import REUSE_TIMEOUT, BodyListener, FullResponse, HTTPConnection
from pybal.http.errors import Fault, ProtocolError
from pybal.http.trust import HANDSHAKES, Trust
from pybal.resolve import LookupFailed
from pybal.resolve import LookupResult as Addresses
from pybal.runtime.file_values import inline

GET = HTTPRequest("/pool")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "
OK = HEAD + b"5\r\n\r\nhello"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSED = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class ServerSide:
    """The server's end of a connection."""

    def __init__(self, factory: Any) -> None:
        self._protocol = factory.buildProtocol(None)
        self._transport: Any = StringTransport()
        self._protocol.makeConnection(self._transport)

    @property
    def is_open(self) -> bool:
        return not self._transport.disconnected

    def received(self) -> bytes:
        """Return the bytes received since the last call."""
        data: bytes = self._transport.value()
        self._transport.clear()
        return data

    def send(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def close(self, reason: Failure = CLOSED) -> None:
        self._protocol.connectionLost(reason)


class ReactorInMemory(MemoryReactorClock):
    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:  # noqa: A002, N802  # Twisted's
        self.callLater(0, callable, *args)


class FakeNetwork:
    """A client on a network controlled by the test."""

    def __init__(self, host: str = "192.0.2.1", port: int = 80, **options: Any) -> None:
        self.reactor = ReactorInMemory()  # type: ignore[no-untyped-call]
        self.names: dict[tuple[str, int], Sequence[str]] = {}
        self.dns_fails = False
        self.answer: Deferred[Addresses] | None = None
        """The result of the next lookup."""
        self.client = HTTPClient(host, port, trust=None, reactor=self.reactor, lookup=self._look_up, **options)

    async def _look_up(self, host: str, version: int) -> Addresses:
        answer, self.answer = self.answer, None
        if answer is not None:
            return await answer
        if self.dns_fails:
            raise LookupFailed("SERVFAIL from 192.0.2.53", definite=False)
        if (host, version) not in self.names:
            raise LookupFailed("no such name (NXDOMAIN)", definite=True)
        return Addresses(tuple(map(ip_address, self.names[host, version])), 60.0)

    def request(self, request: HTTPRequest = GET, body_statuses: Container[int] | None = None) -> Requested:
        return Requested(self.client.request(request, body_statuses=body_statuses))

    def stream(self, request: HTTPRequest = GET) -> Streamed:
        return Streamed(self.client, request)

    @property
    def places(self) -> list[tuple[str, int]]:
        """The addresses of all connection attempts."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def accept(self) -> ServerSide:
        """Accept the last connection attempt."""
        return ServerSide(self.reactor.tcpClients[-1][2])

    def refuse(self, error: Exception | None = None) -> None:
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(error or ConnectError(errno.ECONNREFUSED)))

    def complete(self, link: ServerSide | None = None) -> ServerSide:
        """Complete a request; return the idle connection."""
        requested = self.request()
        link = link or self.accept()
        link.send(OK)
        assert requested.body == b"hello"
        return link


class Requested:
    """A request and its outcome."""

    def __init__(self, deferred: Deferred[FullResponse]) -> None:
        self.deferred = deferred
        self.response: FullResponse | None = None
        self.error: Exception | None = None
        deferred.addCallbacks(self._responded, self._failed)

    def _responded(self, response: FullResponse) -> None:
        self.response = response

    def _failed(self, failure: Failure) -> None:
        assert isinstance(failure.value, Exception)
        self.error = failure.value

    @property
    def body(self) -> bytes:
        assert self.response is not None, self.error
        return self.response.body

    @property
    def is_open(self) -> bool:
        return self.response is None and self.error is None

    @property
    def failure(self) -> tuple[str, Fault]:
        assert isinstance(self.error, ProtocolError), self.error or self.response
        return str(self.error), self.error.fault


class Streamed(Requested):
    """A streamed response."""

    def __init__(self, client: HTTPClient, request: HTTPRequest) -> None:
        self.pieces: list[bytes] = []
        self.lost: list[str] = []
        self.refused = b""
        super().__init__(
            client.stream(request, BodyListener(self._receive, lambda error: self.lost.append(str(error))))
        )

    def _receive(self, data: bytes) -> None:
        if self.refused and self.refused in data:
            raise ValueError(f"refused {data!r}")
        self.pieces.append(data)


def test_request_contains_only_the_expected_lines() -> None:
    network = FakeNetwork()
    network.request(HTTPRequest("/pool?a=b", {"If-None-Match": '"x"'}))
    assert network.accept().received() == (
        b'GET /pool?a=b HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: PyBal\r\nIf-None-Match: "x"\r\n\r\n'
    )


def test_request_with_a_body_has_a_content_length() -> None:
    network = FakeNetwork(port=2379)
    network.request(HTTPRequest("/v3/kv/range", {"Content-Type": "application/json"}, "POST", b"{}"))
    assert network.accept().received() == (
        b"POST /v3/kv/range HTTP/1.1\r\nHost: 192.0.2.1:2379\r\nUser-Agent: PyBal\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_host_header_has_brackets_around_an_ipv6_address() -> None:
    network = FakeNetwork("2001:db8::1", 8080)
    network.request()
    assert network.places == [("2001:db8::1", 8080)]
    assert b"\r\nHost: [2001:db8::1]:8080\r\n" in network.accept().received()


def test_repr_of_a_request_hides_credentials() -> None:
    assert "secret" not in repr(HTTPRequest("/", {"Authorization": "secret"}, body=b"secret"))


def test_client_reuses_the_connection_for_the_next_request() -> None:
    network = FakeNetwork()
    link = network.complete()
    network.complete(link)
    assert len(network.places) == 1
    network.client.close()
    assert not link.is_open


def test_client_replaces_a_connection_after_its_lifetime() -> None:
    network = FakeNetwork()
    link = network.complete()
    network.reactor.advance(LIFE)
    network.complete()
    assert len(network.places) == 2
    assert not link.is_open


@pytest.mark.parametrize(
    "answer", [OK.replace(b"1.1", b"1.0"), OK + b"surplus", OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")]
)
def test_client_closes_a_connection_that_cannot_be_reused(answer: bytes) -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    link.send(answer)
    assert requested.body == b"hello"
    assert not link.is_open


def test_client_replaces_an_idle_connection_closed_by_the_server() -> None:
    network = FakeNetwork()
    network.complete().close()
    network.complete()
    assert len(network.places) == 2


def test_client_repeats_the_request_when_a_reused_connection_is_lost() -> None:
    """The server may close an idle connection at the moment of the request."""
    network = FakeNetwork()
    link = network.complete()
    requested = network.request()
    link.close(LOST)
    network.accept().send(OK)
    assert requested.body == b"hello"


def test_client_replaces_a_half_open_connection_after_the_reuse_timeout() -> None:
    """T170847: half-open connections."""
    network = FakeNetwork()
    link = network.complete()
    requested = network.request()
    network.reactor.advance(REUSE_TIMEOUT)
    assert not link.is_open
    network.accept().send(OK)
    assert requested.body == b"hello"


def test_request_fails_when_a_reused_connection_is_lost_mid_response() -> None:
    network = FakeNetwork()
    link = network.complete()
    requested = network.request()
    link.send(OK[:9])
    link.close(LOST)
    assert requested.failure == ("connection lost: no complete headers", Fault.NO_RESPONSE)
    assert len(network.places) == 1


def test_unsolicited_data_closes_the_connection() -> None:
    network = FakeNetwork()
    link = network.complete()
    link.send(OK)
    assert not link.is_open
    network.complete()
    assert len(network.places) == 2


def test_concurrent_requests_use_two_connections_and_keep_one() -> None:
    network = FakeNetwork()
    first, link = network.request(), network.accept()
    second, other = network.request(), network.accept()
    other.send(OK)
    link.send(OK)
    assert (first.body, second.body) == (b"hello", b"hello")
    assert (link.is_open, other.is_open) == (False, True)


def test_client_joins_the_pieces_of_a_body() -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    for byte in ENDLESS + chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n":
        assert requested.is_open
        link.send(bytes([byte]))
    assert requested.body == b"hello"
    assert requested.response is not None
    assert requested.response.status == 200
    assert requested.response.response.field("transfer-encoding") == "chunked"


def test_client_accepts_a_body_that_ends_with_the_connection() -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    link.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
    link.close()
    assert requested.body == b"hello"


@pytest.mark.parametrize("status", [404, 500])
def test_client_skips_a_body_when_its_status_is_excluded(status: int) -> None:
    network = FakeNetwork()
    head = b"HTTP/1.1 %d No\r\nContent-Length: 5\r\n\r\n" % status
    requested = network.request()
    link = network.accept()
    link.send(head)
    assert requested.is_open
    link.send(b"sorry")
    assert requested.body == b"sorry"
    requested = network.request(body_statuses=(200,))
    link.send(head + b"s")
    assert requested.response is not None
    assert requested.response.status == status
    assert not link.is_open


SHORT = HEAD + b"5\r\n\r\nhell"
FAILURES = {
    "closed before": (b"", CLOSED, ("connection closed before a response", Fault.NO_RESPONSE)),
    "closed in the header": (OK[:9], CLOSED, ("connection closed after 9 bytes", Fault.NO_RESPONSE)),
    "closed in the body": (SHORT, CLOSED, ("connection closed after 4 of 5 bytes", Fault.NO_RESPONSE)),
    "closed in a chunk": (
        ENDLESS + b"5\r\nhell",
        CLOSED,
        ("connection closed after 4 bytes of unknown length", Fault.NO_RESPONSE),
    ),
    "reset": (b"", LOST, ("connection lost: no response", Fault.NO_RESPONSE)),
    "reset in the body": (SHORT, LOST, ("connection lost: no complete body of 5 bytes", Fault.NO_RESPONSE)),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", None, ("not HTTP/1: 'SSH-2.0-OpenSSH_9.2'", Fault.MALFORMED)),
    "no length": (HEAD + b"x\r\n\r\n", None, ("bad content-length 'x'", Fault.MALFORMED)),
    "endless header": (OK[:15] + b"X: " + b"x" * 65536, None, ("more than 65536 bytes", Fault.MALFORMED)),
    "announced too long": (HEAD + b"101\r\n\r\n", None, ("more than 100 bytes", Fault.MALFORMED)),
    "too long": (ENDLESS + chunk(b"x" * 101), None, ("more than 100 bytes", Fault.MALFORMED)),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_request_reports_its_cause(name: str) -> None:
    data, end, failure = FAILURES[name]
    network = FakeNetwork(limit=100)
    requested = network.request()
    link = network.accept()
    if data:
        link.send(data)
    if end:
        link.close(end)
    assert requested.failure == failure
    assert end or not link.is_open
    network.complete()


@pytest.mark.parametrize(
    ("sent", "stage"),
    [
        (b"", "no response"),
        (OK[:9], "no complete headers"),
        (SHORT, "no complete body of 5 bytes"),
        (ENDLESS + b"5\r\nhell", "no complete body"),
    ],
)
def test_timeout_reports_the_missing_part_of_the_response(sent: bytes, stage: str) -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    if sent:
        link.send(sent)
    network.reactor.advance(4.9)
    assert requested.is_open
    network.reactor.advance(0.1)
    assert requested.failure == (f"{stage} within 5 s", Fault.NO_RESPONSE)
    assert not link.is_open


def test_timeout_is_not_extended_by_a_slow_body() -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    link.send(ENDLESS)
    for _ in range(10):
        link.send(chunk(b"x"))
        network.reactor.advance(0.5)
    assert requested.failure == ("no complete body within 5 s", Fault.NO_RESPONSE)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectError(errno.ECONNREFUSED), "connection refused"),
        (ConnectError(errno.EHOSTUNREACH), "no route to host"),
        (ConnectError(string="unknown"), "An error occurred while connecting: unknown."),
    ],
)
def test_failed_connection_reports_its_cause(error: Exception, reason: str) -> None:
    network = FakeNetwork()
    requested = network.request()
    network.refuse(error)
    assert requested.failure == (reason, Fault.UNREACHABLE)


def test_connection_attempt_times_out_and_stops() -> None:
    network = FakeNetwork()
    requested = network.request()
    network.reactor.advance(5)
    assert requested.failure == ("no connection within 5 s", Fault.UNREACHABLE)
    assert network.reactor.connectors[-1].stoppedConnecting


def test_client_tries_the_addresses_of_a_name_in_turn() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1"], ("conf.example", 6): ["2001:db8::1"]}
    requested = network.request()
    network.refuse()
    network.accept().send(OK)
    assert requested.body == b"hello"
    assert network.places == [("192.0.2.1", 80), ("2001:db8::1", 80)]


def test_client_begins_with_the_address_that_worked_last() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    network.request()
    network.refuse()
    link = network.accept()
    link.send(OK)
    link.close()
    network.complete()
    assert network.places[-1] == ("192.0.2.2", 80)


def test_client_moves_on_from_an_address_that_sends_no_response() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    requested = network.request()
    network.accept()
    network.reactor.advance(5)
    assert requested.failure == ("no response within 5 s", Fault.NO_RESPONSE)
    network.complete()
    assert network.places == [("192.0.2.1", 80), ("192.0.2.2", 80)]


def test_client_moves_on_from_an_address_that_is_not_http() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    network.request()
    network.accept().send(b"SSH-2.0-OpenSSH_9.2\r\n")
    network.complete()
    assert network.places == [("192.0.2.1", 80), ("192.0.2.2", 80)]


def test_connection_attempts_share_the_timeout() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1", "192.0.2.2"]}
    requested = network.request()
    assert network.reactor.tcpClients[-1][3] == 2.5
    network.refuse()
    network.refuse()
    assert requested.failure == ("connection refused", Fault.UNREACHABLE)


def test_unresolved_name_is_reported() -> None:
    requested = FakeNetwork("conf.example").request()
    assert requested.failure == ("cannot resolve conf.example: no such name (NXDOMAIN)", Fault.UNREACHABLE)


def test_client_keeps_the_last_addresses_while_dns_fails() -> None:
    network = FakeNetwork("conf.example")
    network.dns_fails = True
    assert network.request().failure == ("cannot resolve conf.example: SERVFAIL from 192.0.2.53", Fault.UNREACHABLE)
    network.dns_fails = False
    network.names = {("conf.example", 4): ["192.0.2.1"]}
    network.complete().close()
    network.dns_fails = True
    network.complete().close()
    assert len(network.places) == 2


def test_timeout_keeps_the_reason_of_a_failed_request() -> None:
    network = FakeNetwork("conf.example")
    network.answer = Deferred(lambda answer: answer.errback(LookupFailed("resolver stopped", definite=False)))
    requested = network.request()
    network.reactor.advance(60.0)
    assert requested.failure == ("cannot resolve conf.example: resolver stopped", Fault.UNREACHABLE)


def test_client_drops_the_addresses_of_a_deleted_name() -> None:
    network = FakeNetwork("conf.example")
    network.names = {("conf.example", 4): ["192.0.2.1"]}
    network.complete().close()
    network.names = {}
    assert network.request().failure == ("cannot resolve conf.example: no such name (NXDOMAIN)", Fault.UNREACHABLE)


def test_close_cancels_all_requests_and_leaves_the_client_usable() -> None:
    network = FakeNetwork()
    idle = network.complete()
    requested, link = network.request(), idle
    trying = network.request()
    network.client.close()
    assert isinstance(requested.error, CancelledError)
    assert isinstance(trying.error, CancelledError)
    assert not link.is_open
    assert network.reactor.connectors[-1].stoppedConnecting
    assert network.reactor.getDelayedCalls() == []
    network.complete()


def test_request_can_be_cancelled() -> None:
    network = FakeNetwork()
    requested = network.request()
    link = network.accept()
    requested.deferred.cancel()
    assert isinstance(requested.error, CancelledError)
    assert not link.is_open
    assert network.reactor.getDelayedCalls() == []


def test_listener_receives_an_endless_body_piece_by_piece() -> None:
    network = FakeNetwork(limit=10)
    streamed = network.stream()
    link = network.accept()
    link.send(ENDLESS + chunk(b"one"))
    assert streamed.body == b""
    assert streamed.pieces == [b"one"]
    network.reactor.advance(3600)
    for _ in range(100):
        link.send(chunk(b"more than ten bytes"))
    assert streamed.pieces[-1] == b"more than ten bytes"
    assert len(streamed.pieces) == 101
    assert (streamed.lost, link.is_open) == ([], True)


def test_stream_begins_after_the_headers() -> None:
    network = FakeNetwork()
    streamed = network.stream()
    link = network.accept()
    link.send(ENDLESS)
    assert streamed.response is not None
    assert (streamed.response.status, streamed.pieces) == (200, [])


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (b"0\r\n\r\n", "response ended"),
        (b"x\r\n", "bad chunk size 'x'"),
        (CLOSED, "connection closed after 3 bytes of unknown length"),
        (LOST, "connection lost: no complete body"),
    ],
)
def test_listener_receives_the_error_that_ends_a_stream_once(end: bytes | Failure, reason: str) -> None:
    network = FakeNetwork()
    streamed = network.stream()
    link = network.accept()
    link.send(ENDLESS + chunk(b"one"))
    if isinstance(end, bytes):
        link.send(end)
        assert not link.is_open
        link.close(LOST)
    else:
        link.close(end)
    assert (streamed.pieces, streamed.lost) == ([b"one"], [reason])


def test_listener_receives_a_body_that_ends_immediately() -> None:
    network = FakeNetwork()
    streamed = network.stream()
    network.accept().send(OK)
    assert (streamed.body, streamed.pieces, streamed.lost) == (b"", [b"hello"], ["response ended"])


def test_listener_exception_ends_the_stream() -> None:
    network = FakeNetwork()
    streamed = network.stream()
    streamed.refused = b"two"
    link = network.accept()
    link.send(ENDLESS + chunk(b"one"))
    link.send(chunk(b"two"))
    assert not link.is_open
    assert (streamed.pieces, streamed.lost) == ([b"one"], ["refused b'two'"])


def test_response_with_an_error_status_is_not_streamed() -> None:
    network = FakeNetwork(limit=10)
    streamed = network.stream()
    link = network.accept()
    link.send(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nsorry")
    assert (streamed.body, streamed.pieces, streamed.lost) == (b"sorry", [], [])
    assert link.is_open
    network.complete(link)


def test_body_limit_applies_to_an_error_response_to_a_stream() -> None:
    network = FakeNetwork(limit=10)
    streamed = network.stream()
    link = network.accept()
    link.send(b"HTTP/1.1 403 No\r\n\r\nsorry")
    link.send(b", sorry")
    assert streamed.failure == ("more than 10 bytes", Fault.MALFORMED)
    assert (streamed.lost, link.is_open) == ([], False)


def test_stream_times_out_when_no_response_begins() -> None:
    network = FakeNetwork()
    streamed = network.stream()
    network.accept()
    network.reactor.advance(5)
    assert streamed.failure == ("no response within 5 s", Fault.NO_RESPONSE)
    assert streamed.lost == []


def test_close_ends_a_stream_without_a_callback() -> None:
    network = FakeNetwork()
    streamed = network.stream()
    link = network.accept()
    link.send(ENDLESS)
    network.client.close()
    assert not link.is_open
    link.send(chunk(b"late"))
    link.close(LOST)
    assert (streamed.pieces, streamed.lost) == ([], [])


def test_listener_can_close_the_client_while_receiving() -> None:
    network = FakeNetwork()
    lost: list[Exception] = []
    network.client.stream(GET, BodyListener(lambda _: network.client.close(), lost.append))
    link = network.accept()
    link.send(ENDLESS + chunk(b"one") + b"0\r\n\r\n")
    assert not link.is_open
    assert lost == []


def test_callback_can_close_the_client_before_the_first_piece() -> None:
    network = FakeNetwork()
    received: list[bytes | Exception] = []
    network.client.stream(GET, BodyListener(received.append, received.append)).addCallback(
        lambda _: network.client.close()
    )
    link = network.accept()
    link.send(ENDLESS + chunk(b"one"))
    assert (received, link.is_open) == ([], False)


def test_stage_separates_tls_handshake_from_response() -> None:
    connection = HTTPConnection(MemoryReactorClock(), 10, secure=True)
    assert connection.stage == "no TLS handshake"
    connection.handshakeCompleted()
    assert connection.stage == "no response"


@given(
    st.sampled_from(
        [OK, ENDLESS + chunk(b"hello") + b"0\r\n\r\n", OK.replace(b"1.1", b"1.0"), OK.replace(b"200", b"500")]
    ),
    st.lists(st.tuples(st.integers(0, 80), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 80), max_size=4),
    st.sampled_from([None, CLOSED, LOST]),
    st.booleans(),
)
def test_request_has_one_outcome_and_leaves_no_timer_for_any_input(
    data: bytes, changes: list[tuple[int, bytes]], cuts: list[int], end: Failure | None, used: bool
) -> None:
    network = FakeNetwork(limit=20)
    link = network.complete() if used else None
    for place, new in changes:
        data = data[:place] + new + data[place + 1 :]
    requested = network.request()
    link = link or network.accept()
    for start, stop in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        if link.is_open and stop > start:
            link.send(data[start:stop])
    if end and link.is_open:
        link.close(end)
    network.reactor.advance(5)
    assert (requested.response is None) != (requested.error is None)
    assert isinstance(requested.error, ProtocolError | None)
    network.client.close()
    assert network.reactor.getDelayedCalls() == []


def test_stream_is_unique_and_independent_of_requests() -> None:
    network = FakeNetwork()
    first = network.stream()
    link = network.accept()
    link.send(ENDLESS)
    network.complete()
    assert link.is_open
    network.stream()
    assert (link.is_open, first.lost) == (False, [])


async def no_lookup(host: str, version: int) -> Addresses:
    raise AssertionError(f"unexpected lookup of {host} in IPv{version}")


class TestTurns:
    """Clients with TLS open connections in turn."""

    def client(self) -> tuple[HTTPClient, Trust, ReactorInMemory]:
        network = FakeNetwork("192.0.2.1")
        trust = Trust(AccessSettings(), inline(network.reactor))
        client = HTTPClient("192.0.2.1", 443, trust=trust, reactor=network.reactor, lookup=no_lookup)
        return client, trust, network.reactor

    def test_deadline_begins_with_the_turn(self) -> None:
        client, trust, reactor = self.client()
        for _ in range(HANDSHAKES):
            trust.turns.acquire()
        requested = Requested(client.request(HTTPRequest("/"), 3.0))
        reactor.advance(60)
        assert (requested.is_open, reactor.tcpClients) == (True, [])
        trust.turns.release()
        assert len(reactor.tcpClients) == 1
        reactor.advance(3)
        assert requested.failure == ("no connection within 3 s", Fault.UNREACHABLE)
        assert reactor.getDelayedCalls() == []
        assert trust.turns.tokens == 1

    def test_turn_ends_while_a_server_does_not_respond(self) -> None:
        client, trust, reactor = self.client()
        pending = [Requested(client.request(HTTPRequest("/"), 3.0)) for _ in range(HANDSHAKES + 1)]
        assert len(reactor.tcpClients) == HANDSHAKES
        reactor.advance(TURN)
        assert len(reactor.tcpClients) == HANDSHAKES + 1
        client.close()
        assert not any(requested.is_open for requested in pending)
        assert (trust.turns.tokens, reactor.getDelayedCalls()) == (HANDSHAKES, [])

    def test_request_that_waits_for_its_turn_can_be_cancelled(self) -> None:
        client, trust, reactor = self.client()
        for _ in range(HANDSHAKES):
            trust.turns.acquire()
        requested = Requested(client.request(HTTPRequest("/"), 3.0))
        client.close()
        assert isinstance(requested.error, CancelledError)
        trust.turns.release()
        assert (trust.turns.tokens, reactor.tcpClients) == (1, [])


BEARER = HTTPRequest("/pool", {"Authorization": "Bearer tokenSECRET0123456789"})


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"28\r\n\r\nBearer tokenSECRET0123456789",
        b"HTTP/1.1 302 Found\r\nLocation: /?tokenSECRET0123456789\r\nContent-Length: 0\r\n\r\n",
        b"tokenSECRET0123456789 is not a status line\r\n\r\n",
    ],
)
def test_response_with_the_credentials_of_its_request_is_refused(answer: bytes) -> None:
    network = FakeNetwork()
    requested = network.request(BEARER)
    network.accept().send(answer)
    text, fault = requested.failure
    assert fault is Fault.MALFORMED
    assert "SECRET" not in text


def test_stream_with_the_credentials_of_its_request_ends() -> None:
    network = FakeNetwork()
    streamed = network.stream(BEARER)
    link = network.accept()
    link.send(ENDLESS + chunk(b"first ") + chunk(b"tokenSECRET"))
    link.send(chunk(b"0123456789 last"))
    assert b"".join(streamed.pieces) == b"first tokenSECRET"
    assert streamed.lost == ["response repeats the credentials of the request; refusing it"]
