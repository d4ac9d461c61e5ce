"""Pool lists over HTTP from servers that send garbage, hang, die and come back."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.http.client import LIFE
from pybal.sources.base import SourceError, Trouble
from pybal.sources.feed import Feed
from pybal.sources.http import FULL_READ, LONGEST_PAUSE, http_source
from tests.harness.scripted_server import Peer, Server, saying
from tests.harness.stepped_reactor import SteppedReactor

ONE = (Member("a", 1), Member("b", 2, enabled=False))
LIST = b"{'host': 'a', 'weight': 1}\n{'host': 'b', 'weight': 2, 'enabled': False}\n"
OTHER = (Member("c", 10),)
OTHER_LIST = b"{'host': 'c'}\n"
EXPECTED = "expected { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }"
PAGE = b"<html>We are sorry.</html>\n"
DATES = ("Date: Sat, 21 Nov 2026 12:00:02 GMT", "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT")


def response_bytes(body: bytes, *fields: str, status: int = 200) -> bytes:
    """Return an HTTP response with a body and header fields."""
    head = "\r\n".join((f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}", *fields, "", ""))
    return head.encode() + body


def closing(data: bytes) -> Callable[[Peer], None]:
    """Return a handler that sends data and closes the connection."""

    def say(peer: Peer) -> None:
        peer.say(data)
        peer.close()

    return say


def dripping(peer: Peer) -> None:
    """Send one byte of a list every second, endlessly."""
    peer.say(response_bytes(b"x" * 1000)[:-1000])
    _drip(peer)


def _drip(peer: Peer) -> None:
    if peer.transport.connected:
        peer.say(b"#")
        peer.transport.reactor.callLater(1, _drip, peer)  # type: ignore[attr-defined]  # on every reactor


class HTTPRecorder:
    """Runs a source and a scripted server, and records requests and reports."""

    def __init__(self) -> None:
        self.reactor = SteppedReactor()
        self.server = Server()
        self.server.listen(self.reactor, "127.0.0.1")
        self.server.asked = self._asked
        self.respond = saying(response_bytes(LIST))
        self.requests: list[str] = []
        self.times: list[float] = []
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.source: Feed | None = None

    def _asked(self, peer: Peer) -> None:
        self.requests.append(peer.received.split(b"\r\n\r\n")[-2].decode())
        self.times.append(self.reactor.seconds())
        self.respond(peer)

    def start(self, path: str = "pool", user: str = "", **settings: Any) -> Feed:
        url = f"http://{user}127.0.0.1:{self.server.port}/{path}"
        self.settings = SourceSettings(url, **settings)
        source = self.source = http_source(self.settings, reactor=self.reactor, random=Random(1))
        source.start(self.lists.append, self.errors.append)
        self.reactor.advance(2)
        return source

    def then(self, respond: Callable[[Peer], None], seconds: float = LONGEST_PAUSE + 6) -> None:
        """Change the response, and let enough time pass for the source to report."""
        self.respond = respond
        self.reactor.advance(seconds, step=0.01)  # a large body takes hundreds of reads, one in each step

    @property
    def texts(self) -> list[str]:
        """The reported problems, without the URL."""
        return [str(error).partition("/pool: ")[2] for error in self.errors]

    def close(self) -> None:
        if self.source:
            self.source.stop()
        self.reactor.advance(0)
        left = [str(call) for call in self.reactor.getDelayedCalls()]
        assert not [call for call in left if "_drip" not in call], left
        Deferred.fromCoroutine(self.server.stop())
        self.reactor.advance(2)
        self.reactor.close()


@pytest.fixture
def recorder() -> Iterator[HTTPRecorder]:
    made = HTTPRecorder()
    yield made
    made.close()


@pytest.fixture
def tracebacks() -> Iterator[list[object]]:
    """The failures that were logged with a traceback."""
    found: list[object] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event:
            found.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


REFUSED: dict[str, tuple[Callable[[Peer], None], str, Trouble]] = {
    "500": (saying(response_bytes(PAGE, status=500)), "HTTP 500, wanted 200", Trouble.FAILED),
    "502 with endless body": (
        saying(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + PAGE * 100_000),
        "HTTP 502, wanted 200",
        Trouble.FAILED,
    ),
    "401": (saying(response_bytes(PAGE, status=401)), "HTTP 401, wanted 200", Trouble.DENIED),
    "403": (saying(response_bytes(PAGE, status=403)), "HTTP 403, wanted 200", Trouble.DENIED),
    "404": (saying(response_bytes(PAGE, status=404)), "HTTP 404, wanted 200", Trouble.UNREACHABLE),
    "204": (saying(b"HTTP/1.1 204 No Content\r\n\r\n"), "HTTP 204, wanted 200", Trouble.FAILED),
    "206": (saying(response_bytes(LIST, status=206)), "HTTP 206, wanted 200", Trouble.FAILED),
    "304 to an unconditional request": (
        saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        "HTTP 304, wanted 200",
        Trouble.FAILED,
    ),
    "redirect": (
        saying(response_bytes(b"", "Location: https://u:secret@other.example/pool", status=301)),
        "HTTP 301 to 'https://***@other.example/pool', wanted 200: redirects are not followed",
        Trouble.FAILED,
    ),
    "HTML": (
        saying(response_bytes(PAGE, "Content-Type: text/html; charset=utf-8")),
        f"line 1: found '<html>We are sorry.</html>'; {EXPECTED} (content-type text/html)",
        Trouble.MALFORMED,
    ),
    "gzip": (
        saying(response_bytes(b"\x1f\x8b\x08", "Content-Encoding: gzip")),
        "content-encoding 'gzip', wanted none",
        Trouble.MALFORMED,
    ),
    "truncated": (closing(response_bytes(LIST)[:-20]), "connection closed after 52 of 72 bytes", Trouble.SILENT),
    "truncated within a line, without length": (
        closing(b"HTTP/1.0 200 OK\r\n\r\n" + LIST[:-5]),
        f"""line 2: found "{{'host': 'b', 'weight': 2, 'enabled': Fa"; {EXPECTED}; no newline at the end; the list may be truncated""",
        Trouble.MALFORMED,
    ),
    "length too short": (
        saying(response_bytes(OTHER_LIST) + OTHER_LIST),
        "14 bytes after the end of the response, wanted none",
        Trouble.MALFORMED,
    ),
    "length too long": (
        saying(response_bytes(LIST).replace(b"72", b"73")),
        "no complete body of 73 bytes within 5 s",
        Trouble.SILENT,
    ),
    "two lengths": (
        saying(response_bytes(LIST, "Content-Length: 1")),
        "conflicting content-lengths",
        Trouble.MALFORMED,
    ),
    "announced too large": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n"),
        "more than 4194304 bytes",
        Trouble.MALFORMED,
    ),
    "endless body": (
        saying(b"HTTP/1.0 200 OK\r\n\r\n", b"# a comment\n" * 400_000),
        "more than 4194304 bytes",
        Trouble.MALFORMED,
    ),
    "endless header": (
        saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 11_000),
        "more than 65536 bytes",
        Trouble.MALFORMED,
    ),
    "not HTTP": (closing(b"220 mail.example ESMTP\r\n"), "not HTTP/1: '220 mail.example ESM'", Trouble.MALFORMED),
    "reset": (Peer.reset, "connection lost: no response", Trouble.SILENT),
    "closed": (closing(b""), "connection closed before a response", Trouble.SILENT),
    "silence": (saying(), "no response within 5 s", Trouble.SILENT),
    "drip": (dripping, "no complete body of 1000 bytes within 5 s", Trouble.SILENT),
    "from an old cache": (
        saying(response_bytes(OTHER_LIST, "Age: 301")),
        "cached response is 301 s old, wanted at most 300 s",
        Trouble.STALE,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_source_keeps_its_list_and_reports_an_invalid_response_once(recorder: HTTPRecorder, name: str) -> None:
    """An empty, truncated or HTML answer emptied the pool."""
    respond, text, trouble = REFUSED[name]
    source = recorder.start()
    assert recorder.lists == [ONE]
    recorder.then(respond, 20)
    assert recorder.lists == [ONE]
    assert (recorder.texts, recorder.errors[0].trouble) == ([text], trouble)
    assert source.problem == str(recorder.errors[0])
    good = source.last_success
    recorder.then(respond, 20)
    assert source.last_success == good
    recorder.then(saying(response_bytes(OTHER_LIST)))
    assert (recorder.lists, len(recorder.errors)) == ([ONE, OTHER], 1)
    assert source.problem is None


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"endless body", "truncated within a line, without length"}))
def test_source_reports_an_invalid_first_response(recorder: HTTPRecorder, name: str) -> None:
    respond, text, _ = REFUSED[name]
    recorder.respond = respond
    recorder.start()
    recorder.reactor.advance(10)
    assert (recorder.lists, recorder.texts) == ([], [text])


def test_source_reports_a_refused_connection(recorder: HTTPRecorder) -> None:
    source = recorder.start()
    Deferred.fromCoroutine(recorder.server.stop())
    recorder.reactor.advance(20)
    assert (recorder.lists, recorder.texts) == ([ONE], ["connection refused"])
    recorder.server.listen(recorder.reactor, "127.0.0.1")
    recorder.then(saying(response_bytes(OTHER_LIST)))
    assert (recorder.lists, source.problem) == ([ONE, OTHER], None)


def test_source_delivers_a_change_within_the_interval(recorder: HTTPRecorder) -> None:
    recorder.start()
    recorder.then(saying(response_bytes(OTHER_LIST)), 1.5)
    assert recorder.lists == [ONE, OTHER]


@pytest.mark.parametrize(
    ("path", "fields", "body"),
    [
        ("pool", ("Content-Type: application/json; charset=utf-8",), b'{"c": {}}'),
        ("pool.json", ("Content-Type: text/plain",), b'{"c": {}}'),
        ("pool.json?dc=x", (), b'{"c": {}}'),
        ("pool", ("Content-Type: text/yaml",), b"c: {}\n"),
        ("pool.yml", ("Content-Type: text/html",), b"c: {}\n"),
        ("pool", ("Content-Type: application/octet-stream",), OTHER_LIST),
        ("pool.php?format=.json", (), OTHER_LIST),
    ],
)
def test_file_name_or_else_content_type_selects_the_format(
    recorder: HTTPRecorder, path: str, fields: tuple[str, ...], body: bytes
) -> None:
    recorder.respond = saying(response_bytes(body, *fields))
    recorder.start(path)
    assert (recorder.lists, recorder.errors) == ([OTHER], [])


def test_source_reads_a_chunked_response(recorder: HTTPRecorder) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    recorder.respond = saying(
        head, b"5\r\n" + LIST[:5] + b"\r\n", b"%x\r\n" % len(LIST[5:]) + LIST[5:] + b"\r\n0\r\n\r\n"
    )
    recorder.start()
    assert recorder.lists == [ONE]


def test_source_reuses_one_connection_for_a_minute(recorder: HTTPRecorder) -> None:
    recorder.start()
    recorder.reactor.advance(LIFE - 3)
    assert len(recorder.server.peers) == 1
    assert len(recorder.requests) > 50
    recorder.reactor.advance(5)
    assert len(recorder.server.peers) == 2


def test_source_replaces_a_half_open_connection(recorder: HTTPRecorder) -> None:
    """T170847: requests over such a connection never get a response."""
    recorder.start()
    dead = recorder.server.peers[0]
    recorder.then(lambda peer: None if peer is dead else peer.say(response_bytes(OTHER_LIST)), 4)
    assert (recorder.lists, recorder.errors) == ([ONE, OTHER], [])


def test_source_reads_a_server_that_closes_after_each_response(recorder: HTTPRecorder) -> None:
    recorder.start()
    recorder.then(closing(response_bytes(OTHER_LIST)), 5)
    recorder.then(closing(response_bytes(LIST)), 5)
    assert (recorder.lists, recorder.errors) == ([ONE, OTHER, ONE], [])


def conditions(request: str) -> list[str]:
    return [line for line in request.split("\r\n") if line.startswith("If-")]


def test_source_sends_validators_of_an_unchanged_list(recorder: HTTPRecorder) -> None:
    recorder.respond = saying(response_bytes(LIST, 'ETag: "abc"', *DATES))
    source = recorder.start()
    recorder.then(saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 30)
    assert conditions(recorder.requests[0]) == []
    wanted = ['If-None-Match: "abc"', "If-Modified-Since: Sat, 21 Nov 2026 12:00:00 GMT"]
    assert all(conditions(request) == wanted for request in recorder.requests[1:])
    assert (recorder.lists, recorder.errors) == ([ONE], [])
    assert source.last_success is not None
    assert recorder.reactor.seconds() - source.last_success < 2


def test_source_requests_the_full_list_every_minute(recorder: HTTPRecorder) -> None:
    """A server or cache that reports a changed list as unchanged is noticed within a minute."""
    recorder.respond = saying(response_bytes(LIST, 'ETag: "abc"'))
    recorder.start()

    def mistaken(peer: Peer) -> None:
        known = conditions(recorder.requests[-1])
        peer.say(b"HTTP/1.1 304 Not Modified\r\n\r\n" if known else response_bytes(OTHER_LIST, 'ETag: "abc"'))

    recorder.then(mistaken, FULL_READ - 5)
    assert recorder.lists == [ONE]
    recorder.reactor.advance(7)
    assert recorder.lists == [ONE, OTHER]
    recorder.reactor.advance(FULL_READ * 2 + 10)
    assert sum(1 for request in recorder.requests if not conditions(request)) == 4


def test_last_success_advances_without_validators(recorder: HTTPRecorder) -> None:
    source = recorder.start()
    recorder.reactor.advance(30)
    assert source.last_success is not None
    assert recorder.reactor.seconds() - source.last_success < 2
    assert recorder.lists == [ONE]


def test_source_sends_no_validators_of_an_invalid_list(recorder: HTTPRecorder) -> None:
    recorder.start()
    recorder.then(saying(response_bytes(PAGE, 'ETag: "page"')), 5)
    assert [request for request in recorder.requests if conditions(request)] == []


def test_source_sends_no_validators_after_a_failure(recorder: HTTPRecorder) -> None:
    """The server may be a different one after a failure."""
    recorder.respond = saying(response_bytes(LIST, 'ETag: "abc"'))
    recorder.start()
    recorder.then(saying(response_bytes(PAGE, status=503)), 5)
    assert conditions(recorder.requests[-1]) == []


def test_problem_of_an_entry_stays_while_the_list_is_unchanged(recorder: HTTPRecorder) -> None:
    recorder.respond = saying(response_bytes(b'{"a": {}, "b": {"weight": "many"}}', 'ETag: "abc"'))
    source = recorder.start("pool.json")
    recorder.then(saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 5)
    assert recorder.lists == [(Member("a"),)]
    assert len(recorder.errors) == 1
    assert source.problem == str(recorder.errors[0])


def test_source_backs_off_while_the_server_fails(recorder: HTTPRecorder) -> None:
    recorder.start()
    before = len(recorder.times)
    recorder.then(saying(response_bytes(PAGE, status=500)), 120)
    gaps = [later - earlier for earlier, later in pairwise(recorder.times[before:])]
    assert all(0.7 < gap < LONGEST_PAUSE + 1 for gap in gaps)
    assert len(gaps) < 20
    assert max(gaps) > 7
    recorder.then(saying(response_bytes(LIST)))
    before = len(recorder.times)
    recorder.then(saying(response_bytes(PAGE, status=500)), 10)
    assert recorder.times[before + 1] - recorder.times[before] < 2


def test_source_requests_at_the_configured_interval(recorder: HTTPRecorder) -> None:
    recorder.start(interval=5.0)
    recorder.reactor.advance(60)
    assert 12 <= len(recorder.requests) <= 14


class ManySources:
    """Many sources of one server."""

    def __init__(self, recorder: HTTPRecorder, count: int) -> None:
        random = Random(1)
        self.delivered: list[int] = []
        self.sources: list[Feed] = []
        for number in range(count):
            settings = SourceSettings(f"http://127.0.0.1:{recorder.server.port}/pool/{number}")
            source = http_source(settings, reactor=recorder.reactor, random=random)
            source.start(lambda _, number=number: self.delivered.append(number), recorder.errors.append)  # type: ignore[misc]
            self.sources.append(source)

    def stop(self) -> None:
        for source in self.sources:
            source.stop()


def busiest(times: list[float], window: float = 0.1) -> int:
    """Return the largest number of requests within one window of time."""
    return max(Counter(int(time / window) for time in times).values())


def test_first_requests_of_many_sources_spread_over_a_second(recorder: HTTPRecorder) -> None:
    many = ManySources(recorder, 44)
    recorder.reactor.advance(1.3)
    assert sorted(many.delivered) == list(range(44))
    assert busiest(recorder.times) < 15
    many.stop()


def test_requests_of_many_sources_stay_spread_after_an_outage(recorder: HTTPRecorder) -> None:
    many = ManySources(recorder, 44)
    recorder.reactor.advance(2)
    recorder.then(saying(response_bytes(PAGE, status=503)), 60)
    assert len(recorder.errors) == 44
    many.delivered.clear()
    back = len(recorder.times)
    recorder.then(saying(response_bytes(OTHER_LIST)), LONGEST_PAUSE + 1)
    assert sorted(many.delivered) == list(range(44))
    assert busiest(recorder.times[back:]) < 15
    assert sum(1 for peer in recorder.server.peers if not peer.closed) == 44
    many.stop()


def authorizations(recorder: HTTPRecorder) -> list[str]:
    """Return the distinct Authorization fields that were sent."""
    lines = [
        line for request in recorder.requests for line in request.split("\r\n") if line.startswith("Authorization:")
    ]
    return list(dict.fromkeys(lines))


def test_source_sends_its_credentials_and_masks_them(recorder: HTTPRecorder) -> None:
    recorder.respond = saying(response_bytes(PAGE, status=403))
    source = recorder.start(user="pybal:secret@")
    assert authorizations(recorder) == [f"Authorization: Basic {b64encode(b'pybal:secret').decode()}"]
    assert source.problem is not None
    assert source.problem.startswith("http://***@127.0.0.1:")
    assert "secret" not in source.problem + repr(recorder.settings)


def test_source_reads_a_rotated_token_file(recorder: HTTPRecorder, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    source = recorder.start(access=AccessSettings(token_file=str(token)))
    token.write_text("two\n")
    recorder.reactor.advance(2)
    assert authorizations(recorder) == ["Authorization: Bearer one", "Authorization: Bearer two"]
    token.unlink()
    recorder.reactor.advance(2)
    assert recorder.texts == [f"token-file: {token} (No such file or directory), wanted a file that can be read"]
    assert recorder.lists == [ONE]
    token.write_text("three\n")
    recorder.reactor.advance(LONGEST_PAUSE)
    assert source.problem is None


@pytest.mark.parametrize("respond", [saying(), saying(response_bytes(LIST)[:-5]), saying(response_bytes(LIST))])
def test_stopped_source_reports_nothing_and_closes_connections(
    recorder: HTTPRecorder, respond: Callable[[Peer], None], tracebacks: list[object]
) -> None:
    recorder.respond = respond
    source = recorder.start()
    recorder.lists.clear()
    recorder.errors.clear()
    source.stop()
    recorder.reactor.advance(10)
    assert (recorder.lists, recorder.errors, tracebacks) == ([], [], [])
    assert all(peer.closed for peer in recorder.server.peers)


def test_listener_may_stop_the_source(recorder: HTTPRecorder) -> None:
    source = http_source(
        SourceSettings(f"http://127.0.0.1:{recorder.server.port}/pool"), reactor=recorder.reactor, random=Random(1)
    )
    source.start(lambda _: source.stop(), recorder.errors.append)
    recorder.reactor.advance(10)
    assert (len(recorder.requests), recorder.errors) == (1, [])


def test_source_continues_when_a_listener_raises(recorder: HTTPRecorder, tracebacks: list[object]) -> None:
    source = recorder.start()
    source.stop()
    attempts: list[tuple[Member, ...]] = []

    def break_once(members: tuple[Member, ...]) -> None:
        attempts.append(members)
        if len(attempts) == 1:
            raise ZeroDivisionError("listener")

    source.start(break_once, recorder.errors.append)
    recorder.then(saying(response_bytes(OTHER_LIST)))
    assert (attempts[1:], source.problem) == ([OTHER], None)
    assert "ZeroDivisionError" in recorder.texts[0]
    assert len(tracebacks) == 1
