"""Members from the SRV records of real name servers, that die, come back and change their mind; and of one that lies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater
from twisted.names import dns

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.resolve import servers
from pybal.sources.base import SourceError, Trouble
from pybal.sources.dns import srv
from pybal.sources.dns.srv import srv_source
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.servers.bind import bind
from tests.harness.servers.names import LARGE
from tests.harness.servers.nsd import nsd
from tests.harness.servers.process import Server, accepts, free_ports
from tests.harness.servers.unbound import unbound, unbound_with
from tests.harness.stepped_reactor import SteppedReactor, run

WEB = (Member("four.test", 1), Member("www.test", 5))


@pytest.fixture
def resolv_conf(tmp_path: Path) -> str:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 127.0.0.1\n")
    return str(file)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "TIMEOUT", 0.5)
    monkeypatch.setattr(srv, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(srv, "LAST_RETRY", 0.2)


class Reading:
    """A source and all that it tells."""

    def __init__(self, reactor: EPollReactor, resolv_conf: str, port: int, name: str = "_web._tcp.test") -> None:
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        settings = SourceSettings(f"dns+srv://{name}", port=80)
        self.source = srv_source(settings, reactor=reactor, random=Random(1), resolv_conf=resolv_conf, port=port)
        self.reactor = reactor
        self.source.start(self.lists.append, self.errors.append)

    async def until(self, done: Callable[[], object]) -> None:
        while not done():
            await deferLater(self.reactor, 0.02, lambda: None)

    @property
    def texts(self) -> list[str]:
        return [str(error) for error in self.errors]


def first(resolv_conf: str, port: int, name: str) -> tuple[Member, ...] | SourceError:
    """Return what is said first of a name."""

    async def main(reactor: EPollReactor) -> tuple[Member, ...] | SourceError:
        reading = Reading(reactor, resolv_conf, port, name)
        await reading.until(lambda: reading.lists or reading.errors)
        reading.source.stop()
        return reading.lists[0] if reading.lists else reading.errors[0]

    return run(main)


@pytest.fixture(scope="module", params=[bind, nsd, unbound], ids=lambda kind: kind.__name__)
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real server."""
    (port,) = free_ports(1)
    with request.param(tmp_path_factory.mktemp("server"), port):
        yield port


def test_the_members_are_those_of_the_lowest_priority(known: int, resolv_conf: str) -> None:
    assert first(resolv_conf, known, "_web._tcp.test") == WEB


def test_the_name_may_be_in_capitals_and_end_in_a_dot(known: int, resolv_conf: str) -> None:
    assert first(resolv_conf, known, "_Web._TCP.Test./") == WEB


def test_more_records_than_a_datagram_holds_come_by_tcp(known: int, resolv_conf: str) -> None:
    members = first(resolv_conf, known, "_large._tcp.test")
    assert members == tuple(sorted((Member(f"web{i}.test", 1) for i in range(1, LARGE + 1)), key=lambda m: m.host))


def test_a_target_of_a_dot_is_a_list_of_nobody(known: int, resolv_conf: str) -> None:
    assert first(resolv_conf, known, "_none._tcp.test") == ()


@pytest.mark.parametrize(
    ("name", "reason", "trouble"),
    [
        ("_gone._tcp.test", "no such name (NXDOMAIN)", Trouble.UNREACHABLE),
        ("www.test", "no SRV record", Trouble.EMPTY),
        ("_web._tcp.broken.example", "SERVFAIL from 127.0.0.1", Trouble.FAILED),
    ],
)
def test_what_is_no_list_is_a_failure_with_its_reason(
    known: int, resolv_conf: str, name: str, reason: str, trouble: Trouble
) -> None:
    error = first(resolv_conf, known, name)
    assert isinstance(error, SourceError)
    assert (str(error), error.trouble) == (f"dns+srv://{name}: {reason}", trouble)


class Unbound:
    """An unbound with records that live for a second."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self._directory = directory
        self.server: Server | None = None

    def start(self, *records: str) -> None:
        """Start it, or start it anew, with these records."""
        self.stop()
        lines = [f"_web._tcp.test. 1 SRV {record}" for record in records]
        self.server = unbound_with(self._directory, self.port, lines, ["127.0.0.1"], partial(accepts, self.port))
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Unbound]:
    server = Unbound(tmp_path)
    yield server
    server.stop()


def reading(server: Unbound, resolv_conf: str, play: Callable[[Reading], Awaitable[None]]) -> Reading:
    """Have a source read from ``server`` while a test plays."""

    async def main(reactor: EPollReactor) -> Reading:
        made = Reading(reactor, resolv_conf, server.port)
        await play(made)
        made.source.stop()
        return made

    return run(main, timeout=40)


@pytest.mark.usefixtures("impatient")
def test_a_change_is_heard_when_the_records_have_expired(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.", "1 5 80 b.test.")

    async def play(made: Reading) -> None:
        await made.until(lambda: made.lists)
        server.start("1 5 80 a.test.", "1 6 80 c.test.")
        await made.until(lambda: len(made.lists) == 2)

    made = reading(server, resolv_conf, play)
    assert made.lists == [(Member("a.test", 5), Member("b.test", 5)), (Member("a.test", 5), Member("c.test", 6))]


@pytest.mark.usefixtures("impatient")
def test_a_server_that_dies_keeps_the_list_and_is_heard_when_it_is_back(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.")

    async def play(made: Reading) -> None:
        await made.until(lambda: made.lists)
        server.stop()
        await made.until(lambda: made.errors)
        server.start("1 6 80 a.test.")
        await made.until(lambda: len(made.lists) == 2)
        assert made.source.problem is None

    made = reading(server, resolv_conf, play)
    assert made.lists == [(Member("a.test", 5),), (Member("a.test", 6),)]
    assert "dns+srv://_web._tcp.test: Connection refused from 127.0.0.1" in made.texts


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_keeps_the_list_and_is_told_once(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.")

    async def play(made: Reading) -> None:
        await made.until(lambda: made.lists)
        assert server.server is not None
        server.server.pause()
        await made.until(lambda: made.errors)
        before = made.source.last_success
        await deferLater(made.reactor, 1.5, lambda: None)
        assert made.source.last_success == before
        server.server.resume()
        await made.until(lambda: made.source.problem is None)

    made = reading(server, resolv_conf, play)
    assert made.texts == ["dns+srv://_web._tcp.test: no answer in 0.5 s from 127.0.0.1"]
    assert made.errors[0].trouble is Trouble.SILENT
    assert made.lists == [(Member("a.test", 5),)]


class Played:
    """A name server of the test, and time that goes by as the test says."""

    def __init__(self, resolv_conf: str) -> None:
        self.reactor = SteppedReactor()
        self.server = NameServer(self.reactor)
        self.server.listen()
        self.reading = Reading(self.reactor, resolv_conf, self.server.port)

    def say(self, ttl: int) -> None:
        record = dns.Record_SRV(1, 5, 80, "a.test")
        records = (dns.RRHeader("_web._tcp.test", dns.SRV, ttl=ttl, payload=record),)
        self.server.answers = lambda query: [answer(query, records=records)]

    def asked_in(self, seconds: float) -> int:
        before = len(self.server.queries)
        self.reactor.advance(seconds)
        return len(self.server.queries) - before


@pytest.fixture
def played(resolv_conf: str) -> Iterator[Played]:
    played = Played(resolv_conf)
    yield played
    played.reading.source.stop()
    assert played.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(("ttl", "least", "most"), [(0, 54, 61), (1, 54, 61), (30, 1, 2), (2**31 - 1, 0, 1)])
def test_records_are_asked_for_again_when_they_expire_and_not_more_than_once_a_second(
    played: Played, ttl: int, least: int, most: int
) -> None:
    played.say(ttl)
    played.reactor.advance(2)
    assert played.reading.lists == [(Member("a.test", 5),)]
    assert least <= played.asked_in(60) <= most


def test_records_that_live_for_years_are_asked_for_before_the_list_counts_as_old(played: Played) -> None:
    played.say(2**31 - 1)
    for _ in range(12):
        played.reactor.advance(50)
        assert played.reading.source.last_success is not None
        assert played.reactor.seconds() - played.reading.source.last_success < 300


def test_a_question_that_fails_is_asked_less_and_less_often(played: Played) -> None:
    played.server.answers = lambda query: [answer(query, dns.ESERVER)]
    at_first, later = played.asked_in(10), [played.asked_in(60) for _ in range(5)]
    assert at_first >= 4
    assert 2 <= later[-1] <= 4
    assert len(played.reading.errors) == 1


def test_garbage_and_forged_answers_are_not_heard(played: Played) -> None:
    played.server.answers = lambda query: [b"", b"\xff" * 40, answer(query, number=1), answer(query, questions=[])]
    played.reactor.advance(20)
    assert played.reading.texts == ["dns+srv://_web._tcp.test: no answer in 4 s from 127.0.0.1"]


def test_a_source_that_is_stopped_while_it_waits_for_an_answer_leaves_nothing(played: Played) -> None:
    played.server.answers = lambda _: []
    played.reactor.advance(2)
    assert played.server.queries
    played.reading.source.stop()
    assert played.reactor.getDelayedCalls() == []
    played.reactor.advance(10)
    assert (played.reading.lists, played.reading.errors) == ([], [])


def test_a_bug_in_a_listener_does_not_end_the_questions(played: Played) -> None:
    played.say(1)
    played.reading.source.stop()
    heard: list[int] = []

    def listed(_: tuple[Member, ...]) -> None:
        heard.append(1)
        raise ZeroDivisionError

    played.reading.source.start(listed, played.reading.errors.append)
    played.reactor.advance(30)
    assert len(heard) > 2
    assert played.reading.texts == [
        "dns+srv://_web._tcp.test: internal error: ZeroDivisionError (see the log for its traceback)"
    ]
