"""SRV records from real DNS servers that die, come back and change records, and from a scripted one."""

from __future__ import annotations

import itertools
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
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "TIMEOUT", 0.5)
    monkeypatch.setattr(srv, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(srv, "LAST_RETRY", 0.2)


class SRVRecorder:
    """Runs a source and records its reports."""

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


def first_report(resolv_conf: str, port: int, name: str) -> tuple[Member, ...] | SourceError:
    """Return the first report of a source for a name."""

    async def main(reactor: EPollReactor) -> tuple[Member, ...] | SourceError:
        recorder = SRVRecorder(reactor, resolv_conf, port, name)
        await recorder.until(lambda: recorder.lists or recorder.errors)
        recorder.source.stop()
        return recorder.lists[0] if recorder.lists else recorder.errors[0]

    return run(main)


@pytest.fixture(scope="module", params=[bind, nsd, unbound], ids=lambda kind: kind.__name__)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real DNS server, of each kind."""
    (port,) = free_ports(1)
    with request.param(tmp_path_factory.mktemp("server"), port):
        yield port


def test_source_delivers_records_of_the_lowest_priority(port: int, resolv_conf: str) -> None:
    assert first_report(resolv_conf, port, "_web._tcp.test") == WEB


def test_source_accepts_a_name_in_capitals_with_trailing_dot(port: int, resolv_conf: str) -> None:
    assert first_report(resolv_conf, port, "_Web._TCP.Test./") == WEB


def test_source_reads_large_responses_over_tcp(port: int, resolv_conf: str) -> None:
    members = first_report(resolv_conf, port, "_large._tcp.test")
    assert members == tuple(sorted((Member(f"web{i}.test", 1) for i in range(1, LARGE + 1)), key=lambda m: m.host))


def test_target_of_a_dot_is_an_empty_list(port: int, resolv_conf: str) -> None:
    assert first_report(resolv_conf, port, "_none._tcp.test") == ()


@pytest.mark.parametrize(
    ("name", "reason", "trouble"),
    [
        ("_gone._tcp.test", "no such name (NXDOMAIN)", Trouble.UNREACHABLE),
        ("www.test", "no SRV record", Trouble.EMPTY),
        ("_web._tcp.broken.example", "SERVFAIL from 127.0.0.1", Trouble.FAILED),
    ],
)
def test_source_reports_the_cause_of_a_failed_query(
    port: int, resolv_conf: str, name: str, reason: str, trouble: Trouble
) -> None:
    error = first_report(resolv_conf, port, name)
    assert isinstance(error, SourceError)
    assert (str(error), error.trouble) == (f"dns+srv://{name}: {reason}", trouble)


class Unbound:
    """An unbound with records whose TTL is one second."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self._directory = directory
        self.server: Server | None = None

    def start(self, *records: str) -> None:
        """Start or restart it with these records."""
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


def run_scenario(server: Unbound, resolv_conf: str, scenario: Callable[[SRVRecorder], Awaitable[None]]) -> SRVRecorder:
    """Run a source of ``server`` and a scenario."""

    async def main(reactor: EPollReactor) -> SRVRecorder:
        recorder = SRVRecorder(reactor, resolv_conf, server.port)
        await scenario(recorder)
        recorder.source.stop()
        return recorder

    return run(main, timeout=40)


@pytest.mark.usefixtures("short_timeouts")
def test_source_delivers_a_change_when_records_expire(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.", "1 5 80 b.test.")

    async def scenario(recorder: SRVRecorder) -> None:
        await recorder.until(lambda: recorder.lists)
        server.start("1 5 80 a.test.", "1 6 80 c.test.")
        await recorder.until(lambda: len(recorder.lists) == 2)

    recorder = run_scenario(server, resolv_conf, scenario)
    assert recorder.lists == [(Member("a.test", 5), Member("b.test", 5)), (Member("a.test", 5), Member("c.test", 6))]


@pytest.mark.usefixtures("short_timeouts")
def test_source_keeps_its_list_while_the_server_is_down(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.")

    async def scenario(recorder: SRVRecorder) -> None:
        await recorder.until(lambda: recorder.lists)
        server.stop()
        await recorder.until(lambda: recorder.errors)
        server.start("1 6 80 a.test.")
        await recorder.until(lambda: len(recorder.lists) == 2)
        assert recorder.source.problem is None

    recorder = run_scenario(server, resolv_conf, scenario)
    assert recorder.lists == [(Member("a.test", 5),), (Member("a.test", 6),)]
    assert "dns+srv://_web._tcp.test: Connection refused from 127.0.0.1" in recorder.texts


@pytest.mark.usefixtures("short_timeouts")
def test_source_reports_a_hung_server_once(server: Unbound, resolv_conf: str) -> None:
    server.start("1 5 80 a.test.")

    async def scenario(recorder: SRVRecorder) -> None:
        await recorder.until(lambda: recorder.lists)
        assert server.server is not None
        server.server.pause()
        await recorder.until(lambda: recorder.errors)
        before = recorder.source.last_success
        await deferLater(recorder.reactor, 1.5, lambda: None)
        assert recorder.source.last_success == before
        server.server.resume()
        await recorder.until(lambda: recorder.source.problem is None)

    recorder = run_scenario(server, resolv_conf, scenario)
    assert recorder.texts == ["dns+srv://_web._tcp.test: no response in 0.5 s from 127.0.0.1"]
    assert recorder.errors[0].trouble is Trouble.SILENT
    assert recorder.lists == [(Member("a.test", 5),)]


class ScriptedDNS:
    """A scripted DNS server and its source, in stepped time."""

    def __init__(self, resolv_conf: str) -> None:
        self.reactor = SteppedReactor()
        self.server = NameServer(self.reactor)
        self.server.listen()
        self.recorder = SRVRecorder(self.reactor, resolv_conf, self.server.port)

    def serve(self, ttl: int) -> None:
        record = dns.Record_SRV(1, 5, 80, "a.test")
        records = (dns.RRHeader("_web._tcp.test", dns.SRV, ttl=ttl, payload=record),)
        self.server.answers = lambda query: [answer(query, records=records)]

    def queries_in(self, seconds: float) -> int:
        before = len(self.server.queries)
        self.reactor.advance(seconds)
        return len(self.server.queries) - before


@pytest.fixture
def scripted(resolv_conf: str) -> Iterator[ScriptedDNS]:
    scripted = ScriptedDNS(resolv_conf)
    yield scripted
    scripted.recorder.source.stop()
    assert scripted.reactor.getDelayedCalls() == []
    scripted.reactor.close()


@pytest.mark.parametrize(("ttl", "least", "most"), [(0, 40, 61), (1, 40, 61), (30, 1, 2), (2**31 - 1, 0, 1)])
def test_source_queries_expired_records_at_most_once_a_second(
    scripted: ScriptedDNS, ttl: int, least: int, most: int
) -> None:
    scripted.serve(ttl)
    scripted.reactor.advance(2)
    assert scripted.recorder.lists == [(Member("a.test", 5),)]
    assert least <= scripted.queries_in(60) <= most


def test_source_queries_long_ttl_records_before_max_age(scripted: ScriptedDNS) -> None:
    scripted.serve(2**31 - 1)
    for _ in range(12):
        scripted.reactor.advance(50)
        assert scripted.recorder.source.last_success is not None
        assert scripted.reactor.seconds() - scripted.recorder.source.last_success < 300


def test_source_backs_off_while_queries_fail(scripted: ScriptedDNS) -> None:
    scripted.server.answers = lambda query: [answer(query, dns.ESERVER)]
    at_first, later = scripted.queries_in(10), [scripted.queries_in(60) for _ in range(5)]
    assert at_first >= 4
    assert 2 <= later[-1] <= 4
    assert len(scripted.recorder.errors) == 1


def test_source_ignores_garbage_and_forged_responses(scripted: ScriptedDNS) -> None:
    scripted.server.answers = lambda query: [b"", b"\xff" * 40, answer(query, number=1), answer(query, questions=[])]
    scripted.reactor.advance(20)
    assert scripted.recorder.texts == ["dns+srv://_web._tcp.test: no response in 4 s from 127.0.0.1"]


def test_stopped_source_leaves_nothing_while_a_query_waits(scripted: ScriptedDNS) -> None:
    scripted.server.answers = lambda _: []
    scripted.reactor.advance(2)
    assert scripted.server.queries
    scripted.recorder.source.stop()
    assert scripted.reactor.getDelayedCalls() == []
    scripted.reactor.advance(10)
    assert (scripted.recorder.lists, scripted.recorder.errors) == ([], [])


def test_source_continues_when_a_listener_raises(scripted: ScriptedDNS) -> None:
    scripted.serve(1)
    scripted.recorder.source.stop()
    attempts: list[int] = []

    def listed(_: tuple[Member, ...]) -> None:
        attempts.append(1)
        raise ZeroDivisionError

    scripted.recorder.source.start(listed, scripted.recorder.errors.append)
    scripted.reactor.advance(30)
    assert len(attempts) > 2
    assert scripted.recorder.texts == [
        "dns+srv://_web._tcp.test: internal error: ZeroDivisionError (see the log for its traceback)"
    ]


def test_source_completes_records_over_tcp(scripted: ScriptedDNS) -> None:
    """Consul returns a changing part of the records over UDP, and does not set the flag for truncation."""

    def records(*hosts: str) -> tuple[dns.RRHeader, ...]:
        payloads = [dns.Record_SRV(1, 5, 80, host) for host in hosts]
        return tuple(dns.RRHeader("_web._tcp.test", dns.SRV, ttl=1, payload=payload) for payload in payloads)

    parts = itertools.cycle([records("a.test"), records("b.test"), records("c.test")])
    whole = records("a.test", "b.test", "c.test")
    scripted.server.answers = lambda query: [answer(query, records=next(parts))]
    scripted.server.asked_by_tcp = lambda stream, query: stream.say(answer(query, records=whole))
    scripted.reactor.advance(30)
    assert [[member.host for member in members] for members in scripted.recorder.lists] == [
        ["a.test", "b.test", "c.test"]
    ]
