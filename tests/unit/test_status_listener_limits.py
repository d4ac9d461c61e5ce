"""Limits of the HTTP endpoints, in memory: slow, idle, many and vanishing clients, failing views."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from pybal.status.connections import Connections, client_of
from pybal.status.listener import HEAD_TIMEOUT, IDLE_TIMEOUT
from pybal.status.renderings import Body
from pybal.status.routes import Compression, RouteResponse
from pybal.status.sending import SEND_TIMEOUT, STALL_TIMEOUT
from tests.harness.status_client import Client, FixedRoutes, clock_until_all_is_closed, code, factory
from tests.harness.turning_clock import TurningClock

LARGE = FixedRoutes(RouteResponse(b"a" * 1_000_000))
PEER = IPv4Address("TCP", "192.0.2.9", 40000)


@pytest.fixture
def clock() -> Iterator[TurningClock]:
    yield from clock_until_all_is_closed()


def turns(clock: TurningClock, count: int) -> None:
    for _ in range(count):
        clock.turn()


def test_connection_serves_several_requests(clock: Clock) -> None:
    client = Client(factory(clock))
    for _ in range(3):
        assert client.get().endswith(b"healthy")
        clock.advance(IDLE_TIMEOUT - 1)
    assert not client.closed
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


def test_new_connection_is_refused_while_all_others_wait(clock: TurningClock) -> None:
    listener = factory(clock, max_connections=1, budget=0.0)
    busy = Client(listener)
    busy.begin("GET /metrics HTTP/1.1\nHost: localhost\n\n")
    clock.turn()
    clock.turn()
    assert Client(listener).protocol is None
    assert listener.connections.refused == 1
    clock.settle()
    assert Client(listener).protocol is not None
    busy.hang_up()


def test_client_that_does_not_read_makes_room_for_others(clock: Clock) -> None:
    listener = factory(clock, LARGE, max_connections=2)
    stalled, other = Client(listener), Client(listener)
    stalled.get("/large")
    stalled.protocol.pauseProducing()
    clock.advance(1)
    other.get("/large")
    third = Client(listener)
    assert stalled.closed
    assert not other.closed
    for client in (stalled, other, third):
        client.hang_up()


def test_connections_of_one_client_are_limited(clock: Clock) -> None:
    listener = factory(clock, max_connections=9, max_connections_of_client=2)
    first, second, other = Client(listener, peer=PEER), Client(listener, peer=PEER), Client(listener)
    third = Client(listener, peer=PEER)
    assert first.closed
    assert not second.closed
    assert not other.closed
    for client in (first, second, third, other):
        client.hang_up()


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1%eth0") != client_of("2001:db8:0:1::1")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")


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


def test_failure_of_a_later_piece_is_a_complete_500(clock: Clock, failures: list[BaseException]) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise LookupError

    client = Client(factory(clock, FixedRoutes(RouteResponse(pieces()))))
    assert code(client.get()) == 500
    assert [type(failure) for failure in failures] == [LookupError]
    client.hang_up()


def test_response_in_pieces_has_its_length(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"", b"one", b"", b"two"])))))
    response = client.get()
    assert b"Content-Length: 6\r\n" in response
    assert response.endswith(b"\r\n\r\nonetwo")
    client.hang_up()


def test_large_body_waits_until_the_client_reads(clock: TurningClock) -> None:
    client = Client(factory(clock, LARGE))
    client.begin("GET /large HTTP/1.1\nHost: localhost\n\n")
    clock.turn()
    client.protocol.pauseProducing()
    clock.settle()
    begun = client.received()
    assert b"Content-Length: 1000000\r\n" in begun
    assert len(begun) < 100_000
    client.protocol.resumeProducing()
    clock.settle()
    assert len(client.received()) > 900_000
    client.hang_up()


def test_client_that_never_reads_is_closed(clock: TurningClock) -> None:
    client = Client(factory(clock, LARGE))
    client.begin("GET /large HTTP/1.1\nHost: localhost\n\n")
    clock.turn()
    client.protocol.pauseProducing()
    clock.settle()
    clock.advance(STALL_TIMEOUT)
    assert client.closed
    client.hang_up()


def test_client_that_reads_too_slowly_is_closed(clock: TurningClock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(b"a" * 4_000_000)), budget=0.0))
    client.begin("GET /large HTTP/1.1\nHost: localhost\n\n")
    turns(clock, 2)
    for _ in range(SEND_TIMEOUT - 1):
        client.protocol.pauseProducing()
        clock.advance(1)
        assert not client.closed
        client.protocol.resumeProducing()
        clock.turn()
    client.protocol.pauseProducing()
    clock.advance(5)
    assert client.closed
    client.hang_up()


def test_oldest_bodies_are_dropped_when_too_many_bytes_are_unsent() -> None:
    class Reader:
        closed = False
        waits = False

        def __init__(self, progress: float, size: int) -> None:
            self.client, self.progress, self.body = "", progress, Body((b"a" * size,))

        def abort(self) -> None:
            self.closed = True

        end = abort

    readers = [Reader(3.0, 40), Reader(1.0, 40), Reader(2.0, 40)]
    connections = Connections(most_unsent=100)
    for reader in readers:
        connections.add(reader)
    connections.make_room_for(Body((b"a" * 50,)))
    assert [reader.closed for reader in readers] == [False, True, True]
    assert connections.evicted == 2


def test_pipelined_requests_take_one_turn_each(clock: TurningClock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(b"x")), budget=0.0))
    client.begin("GET /a HTTP/1.1\nHost: localhost\n\n" * 40)
    made = []
    for _ in range(200):
        clock.turn()
        made.append(client.received().count(b"HTTP/1.1 200"))
    assert sum(made) == 40
    assert max(made) == 1
    client.hang_up()


def test_pipelined_request_waits_until_the_previous_response_is_read(clock: TurningClock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(b"x")), budget=0.0))
    client.begin("GET /a HTTP/1.1\nHost: localhost\n\n" * 3)
    clock.turn()
    clock.turn()
    client.protocol.pauseProducing()
    clock.settle()
    assert client.received().count(b"HTTP/1.1 200") == 1
    client.protocol.resumeProducing()
    clock.settle()
    assert client.received().count(b"HTTP/1.1 200") == 2
    client.hang_up()


@pytest.mark.parametrize("reads", [True, False])
def test_client_that_sends_faster_than_it_is_served_has_to_wait(clock: TurningClock, reads: bool) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(b"x")), budget=0.0))
    request = "GET /a HTTP/1.1\nHost: localhost\n\n"
    sent = served = 0
    for turn in range(1000):
        if client.transport.producerState == "producing":
            client.begin(request * 300)
            sent += 300
        if turn == 2 and not reads:
            client.protocol.pauseProducing()  # as a full socket does
        clock.turn()
        served += client.received().count(b"HTTP/1.1 200")
    assert served > 300 if reads else served > 0
    assert sent - served < 2000
    client.hang_up()


def test_requests_of_many_clients_share_a_turn(clock: TurningClock) -> None:
    listener = factory(clock, FixedRoutes(RouteResponse(b"x")), budget=0.0)
    clients = [Client(listener) for _ in range(20)]
    for client in clients:
        client.begin("GET /a HTTP/1.1\nHost: localhost\n\n")
    made = []
    for _ in range(50):
        clock.turn()
        made.append(sum(client.received().count(b"HTTP/1.1 200") for client in clients))
    assert sum(made) == 20
    assert max(made) == 1
    for client in clients:
        client.hang_up()


class CountedRoutes:
    """Routes whose body counts its renderings."""

    def __init__(self) -> None:
        self.made = 0

    def awaits(self, _path: bytes) -> bool:
        return False

    def answer(self, _path: bytes, *, as_json: bool, switches: object) -> RouteResponse:
        return RouteResponse(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        self.made += 1
        yield from [b"%d" % self.made] * 10


def test_clients_of_one_moment_share_a_rendering(clock: TurningClock) -> None:
    routes = CountedRoutes()
    listener = factory(clock, routes, budget=0.0)  # type: ignore[arg-type]  # it has the same method
    clients = [Client(listener) for _ in range(30)]
    for client in clients:
        client.begin("GET /a HTTP/1.1\nHost: localhost\n\n")
    turns(clock, 300)
    bodies = {client.received().partition(b"\r\n\r\n")[2] for client in clients}
    # The first begins while the last requests arrive: they share the next one.
    assert bodies <= {b"1" * 10, b"2" * 10, b"3" * 10, b"4" * 10, b"5" * 10}
    assert routes.made <= 5
    for client in clients:
        client.hang_up()


def test_rendering_never_begins_before_its_request(clock: TurningClock) -> None:
    routes = CountedRoutes()
    listener = factory(clock, routes, budget=0.0)  # type: ignore[arg-type]  # it has the same method
    first, second = Client(listener), Client(listener)
    first.begin("GET /a HTTP/1.1\nHost: localhost\n\n")
    turns(clock, 5)
    assert routes.made == 1
    second.begin("GET /a HTTP/1.1\nHost: localhost\n\n")
    turns(clock, 60)
    assert first.received().endswith(b"1" * 10)
    assert second.received().endswith(b"2" * 10)
    first.hang_up()
    second.hang_up()


def test_rendering_ends_when_its_clients_have_left(clock: TurningClock) -> None:
    routes = CountedRoutes()
    listener = factory(clock, routes, budget=0.0)  # type: ignore[arg-type]  # it has the same method
    client = Client(listener)
    client.begin("GET /a HTTP/1.1\nHost: localhost\n\n")
    turns(clock, 4)
    client.hang_up()
    turns(clock, 2)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [("gzip", True), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("br, gzip; q=0.0", False), ("*", False)],
)
@pytest.mark.parametrize("compression", [Compression.WHOLE, Compression.BY_PIECE])
def test_compressible_response_is_compressed_for_clients_that_accept_it(
    clock: Clock, accepted: str, gzipped: bool, compression: Compression
) -> None:
    answer = RouteResponse(iter([b"one" * 1000, b"", b"two"]), compression=compression)
    client = Client(factory(clock, FixedRoutes(answer)))
    response = client.get(headers=f"Host: localhost\nAccept-Encoding: {accepted}\n")
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"Vary: Accept-Encoding" in head
    assert (b"Content-Encoding: gzip" in head) is gzipped
    assert (gzip.decompress(body) if gzipped else body) == b"one" * 1000 + b"two"
    client.hang_up()


def test_disconnected_client_leaves_no_delayed_call(clock: Clock) -> None:
    client = Client(factory(clock, FixedRoutes(RouteResponse(iter([b"one", b"two"])))))
    client.get()
    client.hang_up()
    assert clock.getDelayedCalls() == []
