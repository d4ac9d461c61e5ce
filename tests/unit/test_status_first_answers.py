"""Requests that wait for the first list of a service, at most 1.5 s."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from twisted.internet.task import Clock

from pybal.status.first_answers import LONGEST, MOST, FirstAnswers, age_of_data, patience
from pybal.status.listener import StatusFactory
from pybal.status.routes import RouteResponse
from tests.harness.daemon_process import wait_for
from tests.harness.snapshots import status
from tests.harness.status_client import Client


@dataclass
class StartingRoutes:
    """Routes of a service whose list comes when the test sets ``begun``."""

    begun: bool = False
    asked: list[bytes] = field(default_factory=list)

    def awaits(self, path: bytes) -> bool:
        return not self.begun and path.startswith(b"/pools")

    def answer(self, path: bytes, *, as_json: bool, switches: object) -> RouteResponse:
        self.asked.append(path)
        return RouteResponse(b"up") if self.begun else RouteResponse(b"gone", code=404)


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    assert clock.getDelayedCalls() == []


@pytest.fixture
def routes() -> StartingRoutes:
    return StartingRoutes()


@pytest.fixture
def connect(clock: Clock, routes: StartingRoutes) -> Iterator[Callable[[], Client]]:
    factory = StatusFactory(routes, clock)  # type: ignore[arg-type]  # the same methods
    clients = []

    def connected() -> Client:
        clients.append(Client(factory))
        return clients[-1]

    yield connected
    for client in clients:
        client.hang_up()
    assert factory.first_answers.waiting == 0


def test_request_waits_for_the_first_list(clock: Clock, routes: StartingRoutes, connect: Callable[[], Client]) -> None:
    client = connect()
    assert client.get("/pools/web/a") == b""
    clock.pump([0.1] * 5)
    routes.begun = True
    clock.pump([0.05] * 2)
    assert client.received().endswith(b"\r\n\r\nup")
    assert routes.asked == [b"/pools/web/a"]


def test_request_is_answered_after_a_second_and_a_half(clock: Clock, connect: Callable[[], Client]) -> None:
    client = connect()
    client.get("/pools/web/a")
    clock.pump([0.1] * 14)
    assert client.received() == b""
    clock.pump([0.1] * 2)
    assert client.received().startswith(b"HTTP/1.1 404 ")


def test_other_requests_are_answered_immediately(connect: Callable[[], Client]) -> None:
    assert connect().get("/alerts").startswith(b"HTTP/1.1 404 ")


def test_client_that_leaves_is_not_answered(
    clock: Clock, routes: StartingRoutes, connect: Callable[[], Client]
) -> None:
    client = connect()
    client.get("/pools/web/a")
    client.hang_up()
    assert clock.getDelayedCalls() == []
    assert routes.asked == []


def test_requests_beyond_the_limit_are_answered_immediately(connect: Callable[[], Client]) -> None:
    waiting = [connect().get("/pools/web/a") for _ in range(MOST)]
    assert (set(waiting), connect().get("/pools/web/a")[:12]) == ({b""}, b"HTTP/1.1 404")


def test_pipelined_request_waits_for_the_one_before_it(clock: Clock, connect: Callable[[], Client]) -> None:
    client = connect()
    one = "GET /pools/web/a HTTP/1.1\nHost: localhost\n\n"
    client.send(one + one)
    clock.pump([0.1] * 17)
    assert client.received().count(b"HTTP/1.1 404 ") == 1
    clock.pump([0.1] * 17)
    assert client.received().count(b"HTTP/1.1 404 ") == 1


@pytest.mark.parametrize(("age", "seconds"), [(0.0, 1.5), (0.5, 1.0), (1.4, 0.5), (1.9, 0.5), (2.5, 1.5)])
def test_time_in_the_backlog_counts(age: float, seconds: float) -> None:
    assert patience(age) == pytest.approx(seconds)


def test_answers_of_a_service_with_a_list_do_not_wait(clock: Clock) -> None:
    shown = status(clock)
    assert [path for path in (b"/alerts", b"/metrics", b"/pools/web", b"/pools/web/a") if shown.awaits(path)] == []


def test_waiting_counts_requests(clock: Clock) -> None:
    answers = FirstAnswers(clock, lambda _path: True)
    waiting = answers.wait(b"/pools/web", None)
    assert (waiting is None, answers.waiting) == (False, 1)
    clock.pump([0.1] * round(LONGEST / 0.1 + 2))
    assert (answers.waiting, answers.wait(b"/", None) is None) == (0, False)
    clock.pump([0.1] * 20)


def test_age_of_data_is_that_of_the_kernel() -> None:
    class Transport:
        def getHandle(self) -> socket.socket:  # noqa: N802  # Twisted's name
            return accepted

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"GET")
            began = time.monotonic()
            wait_for(lambda: age_of_data(Transport()) >= 0.3, lambda: "an age of 0.3 s")
            assert time.monotonic() - began >= 0.2
            client.sendall(b" ")
            wait_for(lambda: age_of_data(Transport()) < 0.3, lambda: "a new age")
    assert age_of_data(object()) == 0.0
