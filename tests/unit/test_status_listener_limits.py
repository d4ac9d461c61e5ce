"""Limits of the HTTP endpoints, in memory: slow, idle, many and vanishing clients, failing views."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from pybal.status.listener import HEAD_TIMEOUT, IDLE_TIMEOUT, SEND_TIMEOUT
from pybal.status.routes import RouteResponse
from tests.harness.status_client import Client, FixedRoutes, clock_until_all_is_closed, code, factory


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield from clock_until_all_is_closed()


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
