"""The event stream of the status page, in memory: events, limits, headers and the end of a stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from pybal.status.events import BEAT, INTERVAL, MOST, Shown
from pybal.status.listener import IDLE_TIMEOUT, StatusFactory
from tests.harness.status_client import Client, clock_until_all_is_closed, code, factory

BEATS = b"event: beat\ndata:\n\n"
CHANGE = b"event: change\ndata:\n\n"


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield from clock_until_all_is_closed()


class Page:
    """A state that a test changes."""

    def __init__(self, clock: Clock) -> None:
        self.state = Shown((object(),), (1,))
        self.comparisons = 0
        self.factory: StatusFactory = factory(clock, state=self._shown)

    def _shown(self) -> Shown:
        self.comparisons += 1
        return self.state

    def stream(self, headers: str = "Host: localhost\n", method: str = "GET") -> tuple[Client, bytes]:
        """Return a client that opened a stream, with the begin of its response."""
        client = Client(self.factory)
        return client, client.get("/page/events", headers, method)


def events(client: Client) -> bytes:
    """Return the events received since the last call, without the framing of chunks."""
    chunks = client.received().split(b"\r\n")
    return b"".join(chunks[1::2])


def seconds(clock: Clock, count: float) -> None:
    for _ in range(round(count / INTERVAL)):
        clock.advance(INTERVAL)


def test_stream_has_the_headers_of_an_event_stream(clock: Clock) -> None:
    client, response = Page(clock).stream("Host: localhost\nAccept-Encoding: gzip\n")
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/event-stream" in lines
    assert b"Cache-Control: no-store" in lines
    assert b"Transfer-Encoding: chunked" in lines
    assert not [line for line in lines if line.startswith((b"Content-Encoding", b"Content-Length"))]
    assert body == b"d\r\nretry: 2000\n\n\r\n"
    client.hang_up()


def test_stream_beats_every_5_seconds_while_nothing_changes(clock: Clock) -> None:
    client, _ = Page(clock).stream()
    seconds(clock, BEAT - 1)
    assert events(client) == b""
    seconds(clock, 1)
    assert events(client) == BEATS
    seconds(clock, 3 * BEAT)
    assert events(client) == 3 * BEATS
    client.hang_up()


@pytest.mark.parametrize("state", [Shown((object(),), (1,)), Shown((), (1,))])
def test_change_is_sent_once_when_a_part_is_another_object(clock: Clock, state: Shown) -> None:
    page = Page(clock)
    client, _ = page.stream()
    page.state = state
    seconds(clock, 3)
    assert events(client) == CHANGE
    client.hang_up()


def test_change_is_sent_when_a_fact_has_another_value(clock: Clock) -> None:
    page = Page(clock)
    client, _ = page.stream()
    page.state = Shown(page.state.parts, (int("1"),))
    seconds(clock, 1)
    assert events(client) == b""
    page.state = Shown(page.state.parts, (2,))
    seconds(clock, 1)
    assert events(client) == CHANGE
    client.hang_up()


def test_changes_within_a_second_are_one_event_for_every_stream(clock: Clock) -> None:
    page = Page(clock)
    clients = [page.stream()[0] for _ in range(3)]
    for _ in range(8):
        page.state = Shown((object(),))
        clock.advance(INTERVAL / 8)
    assert [events(client) for client in clients] == [CHANGE] * 3
    for client in clients:
        client.hang_up()


def test_state_is_compared_only_while_a_stream_is_open(clock: Clock) -> None:
    page = Page(clock)
    seconds(clock, 10)
    assert page.comparisons == 0
    client, _ = page.stream()
    client.hang_up()
    assert page.comparisons == 1
    seconds(clock, 10)
    assert page.comparisons == 1


def test_change_while_no_stream_is_open_is_not_sent_later(clock: Clock) -> None:
    page = Page(clock)
    page.stream()[0].hang_up()
    page.state = Shown()
    client, _ = page.stream()
    seconds(clock, 1)
    assert events(client) == b""
    client.hang_up()


def test_stream_is_not_closed_as_an_idle_connection(clock: Clock) -> None:
    client, _ = Page(clock).stream()
    seconds(clock, 3 * IDLE_TIMEOUT)
    assert not client.closed
    client.hang_up()


def test_stream_on_a_used_connection_has_no_deadline(clock: Clock) -> None:
    page = Page(clock)
    client = Client(page.factory)
    client.get("/alerts")
    client.get("/page/events")
    seconds(clock, 3 * IDLE_TIMEOUT)
    assert not client.closed
    client.hang_up()


def test_stream_is_younger_than_an_idle_connection_when_room_is_made(clock: Clock) -> None:
    page = Page(clock)
    page.factory = factory(clock, max_connections=2)
    client, _ = page.stream()
    seconds(clock, 2)
    idle = Client(page.factory)
    seconds(clock, BEAT)
    other = Client(page.factory)
    assert idle.closed
    assert not client.closed
    for each in (client, other):
        each.hang_up()


def test_stream_beyond_the_limit_is_refused_until_another_ends(clock: Clock) -> None:
    page = Page(clock)
    clients = [page.stream()[0] for _ in range(MOST)]
    refused, response = page.stream()
    assert code(response) == 503
    assert response.endswith(b"\r\n\r\nAll 50 event streams are in use; the page is updated by requests instead\n")
    assert code(refused.get("/alerts")) == 200
    clients[7].hang_up()
    assert code(refused.get("/page/events")) == 200
    for client in (*clients[:7], *clients[8:], refused):
        client.hang_up()
    assert len(page.factory.streams) == 0


def test_client_that_does_not_read_is_disconnected(clock: Clock) -> None:
    page = Page(clock)
    client, _ = page.stream()
    client.protocol.pauseProducing()
    assert client.closed
    client.hang_up()
    assert len(page.factory.streams) == 0
    seconds(clock, 2 * BEAT)
    assert client.received() == b""


def test_head_request_opens_no_stream(clock: Clock) -> None:
    page = Page(clock)
    client, response = page.stream(method="HEAD")
    assert b"Content-Type: text/event-stream\r\n" in response
    assert response.endswith(b"\r\n\r\n")
    assert len(page.factory.streams) == 0
    assert code(client.get("/alerts")) == 200
    client.hang_up()


def test_foreign_host_opens_no_stream(clock: Clock) -> None:
    page = Page(clock)
    client, response = page.stream("Host: evil.example\n")
    assert code(response) == 421
    assert len(page.factory.streams) == 0
    client.hang_up()


def test_http_1_0_stream_has_no_chunks(clock: Clock) -> None:
    client = Client(Page(clock).factory)
    response = client.send("GET /page/events HTTP/1.0\n\n")
    assert response.endswith(b"\r\n\r\nretry: 2000\n\n")
    seconds(clock, BEAT)
    assert client.received() == BEATS
    client.hang_up()


def test_requests_after_a_stream_are_not_answered(clock: Clock) -> None:
    client, _ = Page(clock).stream()
    assert client.get("/alerts") == b""
    seconds(clock, BEAT)
    assert events(client) == BEATS
    client.hang_up()


def test_streams_go_on_after_an_exception_of_the_comparison(clock: Clock) -> None:
    page = Page(clock)
    client, _ = page.stream()
    good, page.state = page.state, None  # type: ignore[assignment]
    seconds(clock, 1)
    page.state = good
    seconds(clock, BEAT)
    assert BEATS in events(client)
    client.hang_up()
