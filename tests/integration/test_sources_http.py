"""Pool lists over HTTP from servers that lie, hang, die and come back: the last good list stays, and it is said why."""

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
PAGE = b"<html>We are sorry.</html>\n"
DATES = ("Date: Sat, 21 Nov 2026 12:00:02 GMT", "Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT")


def answer(body: bytes, *fields: str, status: int = 200) -> bytes:
    """Return an answer with a body and some header lines."""
    head = "\r\n".join((f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}", *fields, "", ""))
    return head.encode() + body


def closing(data: bytes) -> Callable[[Peer], None]:
    """Return what says it, and nothing more."""

    def say(peer: Peer) -> None:
        peer.say(data)
        peer.close()

    return say


def dripping(peer: Peer) -> None:
    """Send a byte of a list every second, for ever."""
    peer.say(answer(b"x" * 1000)[:-1000])
    _drip(peer)


def _drip(peer: Peer) -> None:
    if peer.transport.connected:
        peer.say(b"#")
        peer.transport.reactor.callLater(1, _drip, peer)  # type: ignore[attr-defined]  # any reactor has it


class Scene:
    """A source, and a server that does as the test says."""

    def __init__(self) -> None:
        self.reactor = SteppedReactor()
        self.server = Server()
        self.server.listen(self.reactor, "127.0.0.1")
        self.server.asked = self._asked
        self.says = saying(answer(LIST))
        self.requests: list[str] = []
        self.times: list[float] = []
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.source: Feed | None = None

    def _asked(self, peer: Peer) -> None:
        self.requests.append(peer.received.split(b"\r\n\r\n")[-2].decode())
        self.times.append(self.reactor.seconds())
        self.says(peer)

    def start(self, path: str = "pool", user: str = "", **settings: Any) -> Feed:
        url = f"http://{user}127.0.0.1:{self.server.port}/{path}"
        self.settings = SourceSettings(url, **settings)
        source = self.source = http_source(self.settings, reactor=self.reactor, random=Random(1))
        source.start(self.lists.append, self.errors.append)
        self.reactor.advance(2)
        return source

    def then(self, says: Callable[[Peer], None], seconds: float = LONGEST_PAUSE + 6) -> None:
        """Have the server say something from now on, until it must have been heard."""
        self.says = says
        self.reactor.advance(seconds)

    @property
    def texts(self) -> list[str]:
        """What has been told, without the URL."""
        return [str(error).partition("/pool: ")[2] for error in self.errors]

    def close(self) -> None:
        if self.source:
            self.source.stop()
        self.reactor.advance(0)
        left = [str(call) for call in self.reactor.getDelayedCalls()]
        assert not [call for call in left if "_drip" not in call], left
        Deferred.fromCoroutine(self.server.stop())
        self.reactor.advance(2)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


@pytest.fixture
def tracebacks() -> Iterator[list[object]]:
    """What is logged of failures that nobody expected."""
    found: list[object] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event:
            found.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


REFUSED: dict[str, tuple[Callable[[Peer], None], str, Trouble]] = {
    "500": (saying(answer(PAGE, status=500)), "HTTP 500, wanted 200", Trouble.FAILED),
    "502 without end": (
        saying(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + PAGE * 100_000),
        "HTTP 502, wanted 200",
        Trouble.FAILED,
    ),
    "401": (saying(answer(PAGE, status=401)), "HTTP 401, wanted 200", Trouble.DENIED),
    "403": (saying(answer(PAGE, status=403)), "HTTP 403, wanted 200", Trouble.DENIED),
    "404": (saying(answer(PAGE, status=404)), "HTTP 404, wanted 200", Trouble.UNREACHABLE),
    "204": (saying(b"HTTP/1.1 204 No Content\r\n\r\n"), "HTTP 204, wanted 200", Trouble.FAILED),
    "206": (saying(answer(LIST, status=206)), "HTTP 206, wanted 200", Trouble.FAILED),
    "304 that nobody asked for": (
        saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        "HTTP 304, wanted 200",
        Trouble.FAILED,
    ),
    "redirect": (
        saying(answer(b"", "Location: https://u:secret@other.example/pool", status=301)),
        "HTTP 301 to 'https://***@other.example/pool', wanted 200: redirects are not followed",
        Trouble.FAILED,
    ),
    "HTML": (
        saying(answer(PAGE, "Content-Type: text/html; charset=utf-8")),
        "line 1: wanted { 'host': 'HOST', 'weight': INTEGER, 'enabled': True } (content-type text/html)",
        Trouble.MALFORMED,
    ),
    "gzip": (
        saying(answer(b"\x1f\x8b\x08", "Content-Encoding: gzip")),
        "content-encoding 'gzip', wanted none",
        Trouble.MALFORMED,
    ),
    "cut off": (closing(answer(LIST)[:-20]), "connection closed after 52 of 72 bytes", Trouble.SILENT),
    "cut off after a line, and no length": (
        closing(b"HTTP/1.0 200 OK\r\n\r\n" + LIST[:-1]),
        "no newline at the end of the last line: perhaps it is cut off",
        Trouble.MALFORMED,
    ),
    "length too short": (
        saying(answer(OTHER_LIST) + OTHER_LIST),
        "14 bytes after the end of the answer, wanted none",
        Trouble.MALFORMED,
    ),
    "length too long": (
        saying(answer(LIST).replace(b"72", b"73")),
        "less than 73 bytes of an answer within 5 s",
        Trouble.SILENT,
    ),
    "two lengths": (saying(answer(LIST, "Content-Length: 1")), "conflicting content-lengths", Trouble.MALFORMED),
    "announced too large": (
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n"),
        "more than 4194304 bytes",
        Trouble.MALFORMED,
    ),
    "without end": (
        saying(b"HTTP/1.0 200 OK\r\n\r\n", b"# a comment\n" * 400_000),
        "more than 4194304 bytes",
        Trouble.MALFORMED,
    ),
    "header without end": (
        saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 11_000),
        "more than 65536 bytes",
        Trouble.MALFORMED,
    ),
    "not HTTP": (closing(b"220 mail.example ESMTP\r\n"), "not HTTP/1: '220 mail.example ESM'", Trouble.MALFORMED),
    "reset": (Peer.reset, "connection lost: no answer", Trouble.SILENT),
    "closed": (closing(b""), "connection closed before a response", Trouble.SILENT),
    "silence": (saying(), "no answer within 5 s", Trouble.SILENT),
    "drip": (dripping, "less than 1000 bytes of an answer within 5 s", Trouble.SILENT),
    "from an old cache": (
        saying(answer(OTHER_LIST, "Age: 301")),
        "from a cache, 301 s old, wanted at most 300",
        Trouble.STALE,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_keeps_the_last_one_and_is_said_once(scene: Scene, name: str) -> None:
    """An empty, truncated or HTML answer emptied the pool."""
    says, text, trouble = REFUSED[name]
    source = scene.start()
    assert scene.lists == [ONE]
    scene.then(says, 20)
    assert scene.lists == [ONE]
    assert (scene.texts, scene.errors[0].trouble) == ([text], trouble)
    assert source.problem == str(scene.errors[0])
    good = source.last_success
    scene.reactor.advance(20)
    assert source.last_success == good
    scene.then(saying(answer(OTHER_LIST)))
    assert (scene.lists, len(scene.errors)) == ([ONE, OTHER], 1)
    assert source.problem is None


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"without end", "cut off after a line, and no length"}))
def test_what_is_no_list_is_none_at_the_start_either(scene: Scene, name: str) -> None:
    says, text, _ = REFUSED[name]
    scene.says = says
    scene.start()
    scene.reactor.advance(10)
    assert (scene.lists, scene.texts) == ([], [text])


def test_a_server_that_is_gone_is_said(scene: Scene) -> None:
    source = scene.start()
    Deferred.fromCoroutine(scene.server.stop())
    scene.reactor.advance(20)
    assert (scene.lists, scene.texts) == ([ONE], ["connection refused"])
    scene.server.listen(scene.reactor, "127.0.0.1")
    scene.then(saying(answer(OTHER_LIST)))
    assert (scene.lists, source.problem) == ([ONE, OTHER], None)


def test_a_change_is_known_within_the_interval(scene: Scene) -> None:
    scene.start()
    scene.then(saying(answer(OTHER_LIST)), 1.5)
    assert scene.lists == [ONE, OTHER]


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
def test_the_format_is_that_of_the_name_or_else_of_the_content_type(
    scene: Scene, path: str, fields: tuple[str, ...], body: bytes
) -> None:
    scene.says = saying(answer(body, *fields))
    scene.start(path)
    assert (scene.lists, scene.errors) == ([OTHER], [])


def test_a_list_in_chunks_over_http_1_1_is_read(scene: Scene) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    scene.says = saying(head, b"5\r\n" + LIST[:5] + b"\r\n", b"%x\r\n" % len(LIST[5:]) + LIST[5:] + b"\r\n0\r\n\r\n")
    scene.start()
    assert scene.lists == [ONE]


def test_one_connection_serves_all_requests_of_a_minute(scene: Scene) -> None:
    scene.start()
    scene.reactor.advance(LIFE - 3)
    assert len(scene.server.peers) == 1
    assert len(scene.requests) > 50
    scene.reactor.advance(5)
    assert len(scene.server.peers) == 2


def test_a_half_open_connection_is_no_trouble(scene: Scene) -> None:
    """T170847: what is sent over it is never answered."""
    scene.start()
    dead = scene.server.peers[0]
    scene.then(lambda peer: None if peer is dead else peer.say(answer(OTHER_LIST)), 4)
    assert (scene.lists, scene.errors) == ([ONE, OTHER], [])


def test_a_server_that_closes_after_each_answer_is_no_trouble(scene: Scene) -> None:
    scene.start()
    scene.then(closing(answer(OTHER_LIST)), 5)
    scene.then(closing(answer(LIST)), 5)
    assert (scene.lists, scene.errors) == ([ONE, OTHER, ONE], [])


def conditions(request: str) -> list[str]:
    return [line for line in request.split("\r\n") if line.startswith("If-")]


def test_a_list_that_has_not_changed_is_not_sent_again(scene: Scene) -> None:
    scene.says = saying(answer(LIST, 'ETag: "abc"', *DATES))
    source = scene.start()
    scene.then(saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 30)
    assert conditions(scene.requests[0]) == []
    wanted = ['If-None-Match: "abc"', "If-Modified-Since: Sat, 21 Nov 2026 12:00:00 GMT"]
    assert all(conditions(request) == wanted for request in scene.requests[1:])
    assert (scene.lists, scene.errors) == ([ONE], [])
    assert source.last_success is not None
    assert scene.reactor.seconds() - source.last_success < 2


def test_the_whole_list_is_read_every_minute_all_the_same(scene: Scene) -> None:
    """Servers and caches make mistakes: what they do not know to have changed is seen within a minute."""
    scene.says = saying(answer(LIST, 'ETag: "abc"'))
    scene.start()

    def mistaken(peer: Peer) -> None:
        known = conditions(scene.requests[-1])
        peer.say(b"HTTP/1.1 304 Not Modified\r\n\r\n" if known else answer(OTHER_LIST, 'ETag: "abc"'))

    scene.then(mistaken, FULL_READ - 5)
    assert scene.lists == [ONE]
    scene.reactor.advance(7)
    assert scene.lists == [ONE, OTHER]
    scene.reactor.advance(FULL_READ * 2)
    assert sum(1 for request in scene.requests if not conditions(request)) == 4


def test_a_server_without_validators_is_known_to_be_good_all_the_same(scene: Scene) -> None:
    source = scene.start()
    scene.reactor.advance(30)
    assert source.last_success is not None
    assert scene.reactor.seconds() - source.last_success < 2
    assert scene.lists == [ONE]


def test_a_list_that_is_refused_is_read_again_as_a_whole(scene: Scene) -> None:
    scene.start()
    scene.then(saying(answer(PAGE, 'ETag: "page"')), 5)
    assert [request for request in scene.requests if conditions(request)] == []


def test_after_trouble_the_whole_list_is_read(scene: Scene) -> None:
    """What was true before it need not be true after it: the server may be another one."""
    scene.says = saying(answer(LIST, 'ETag: "abc"'))
    scene.start()
    scene.then(saying(answer(PAGE, status=503)), 5)
    assert conditions(scene.requests[-1]) == []


def test_an_entry_that_is_wrong_stays_a_problem_while_nothing_changes(scene: Scene) -> None:
    scene.says = saying(answer(b'{"a": {}, "b": {"weight": "many"}}', 'ETag: "abc"'))
    source = scene.start("pool.json")
    scene.then(saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 5)
    assert scene.lists == [(Member("a"),)]
    assert len(scene.errors) == 1
    assert source.problem == str(scene.errors[0])


def test_while_there_is_no_answer_requests_become_fewer(scene: Scene) -> None:
    scene.start()
    before = len(scene.times)
    scene.then(saying(answer(PAGE, status=500)), 120)
    gaps = [later - earlier for earlier, later in pairwise(scene.times[before:])]
    assert all(0.7 < gap < LONGEST_PAUSE + 1 for gap in gaps)
    assert len(gaps) < 20
    assert max(gaps) > 7
    scene.then(saying(answer(LIST)))
    before = len(scene.times)
    scene.then(saying(answer(PAGE, status=500)), 10)
    assert scene.times[before + 1] - scene.times[before] < 2


def test_requests_go_by_the_interval(scene: Scene) -> None:
    scene.start(interval=5.0)
    scene.reactor.advance(60)
    assert 12 <= len(scene.requests) <= 14


class Many:
    """The sources of so many sections, all with one server."""

    def __init__(self, scene: Scene, count: int) -> None:
        random = Random(1)
        self.told: list[int] = []
        self.sources: list[Feed] = []
        for number in range(count):
            settings = SourceSettings(f"http://127.0.0.1:{scene.server.port}/pool/{number}")
            source = http_source(settings, reactor=scene.reactor, random=random)
            source.start(lambda _, number=number: self.told.append(number), scene.errors.append)  # type: ignore[misc]
            self.sources.append(source)

    def stop(self) -> None:
        for source in self.sources:
            source.stop()


def busiest(times: list[float], window: float = 0.1) -> int:
    """Return how many requests came within one window of time."""
    return max(Counter(int(time / window) for time in times).values())


def test_many_sections_of_one_server_begin_within_a_second_and_not_at_once(scene: Scene) -> None:
    many = Many(scene, 44)
    scene.reactor.advance(1.3)
    assert sorted(many.told) == list(range(44))
    assert busiest(scene.times) < 15
    many.stop()


def test_a_server_that_comes_back_is_not_stormed_by_many_sections(scene: Scene) -> None:
    many = Many(scene, 44)
    scene.reactor.advance(2)
    scene.then(saying(answer(PAGE, status=503)), 60)
    assert len(scene.errors) == 44
    many.told.clear()
    back = len(scene.times)
    scene.then(saying(answer(OTHER_LIST)), LONGEST_PAUSE + 1)
    assert sorted(many.told) == list(range(44))
    assert busiest(scene.times[back:]) < 15
    assert sum(1 for peer in scene.server.peers if not peer.closed) == 44
    many.stop()


def authorizations(scene: Scene) -> list[str]:
    """Return who we said we are, without repetitions."""
    lines = [line for request in scene.requests for line in request.split("\r\n") if line.startswith("Authorization:")]
    return list(dict.fromkeys(lines))


def test_who_we_are_is_said_and_not_shown(scene: Scene) -> None:
    scene.says = saying(answer(PAGE, status=403))
    source = scene.start(user="pybal:secret@")
    assert authorizations(scene) == [f"Authorization: Basic {b64encode(b'pybal:secret').decode()}"]
    assert source.problem is not None
    assert source.problem.startswith("http://***@127.0.0.1:")
    assert "secret" not in source.problem + repr(scene.settings)


def test_a_token_that_rotates_is_read_again(scene: Scene, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    source = scene.start(access=AccessSettings(token_file=str(token)))
    token.write_text("two\n")
    scene.reactor.advance(2)
    assert authorizations(scene) == ["Authorization: Bearer one", "Authorization: Bearer two"]
    token.unlink()
    scene.reactor.advance(2)
    assert scene.texts == [f"token-file: {token} (No such file or directory), wanted a file that can be read"]
    assert scene.lists == [ONE]
    token.write_text("three\n")
    scene.reactor.advance(LONGEST_PAUSE)
    assert source.problem is None


@pytest.mark.parametrize("says", [saying(), saying(answer(LIST)[:-5]), saying(answer(LIST))])
def test_after_stop_nothing_is_told_and_nothing_is_open(
    scene: Scene, says: Callable[[Peer], None], tracebacks: list[object]
) -> None:
    scene.says = says
    source = scene.start()
    scene.lists.clear()
    scene.errors.clear()
    source.stop()
    scene.reactor.advance(10)
    assert (scene.lists, scene.errors, tracebacks) == ([], [], [])
    assert all(peer.closed for peer in scene.server.peers)


def test_a_listener_may_stop_the_source_while_it_is_told(scene: Scene) -> None:
    source = http_source(
        SourceSettings(f"http://127.0.0.1:{scene.server.port}/pool"), reactor=scene.reactor, random=Random(1)
    )
    source.start(lambda _: source.stop(), scene.errors.append)
    scene.reactor.advance(10)
    assert (len(scene.requests), scene.errors) == (1, [])


def test_a_failure_of_ours_is_a_problem_of_the_source_and_the_end_of_nothing(
    scene: Scene, tracebacks: list[object]
) -> None:
    source = scene.start()
    source.stop()
    heard: list[tuple[Member, ...]] = []

    def break_once(members: tuple[Member, ...]) -> None:
        heard.append(members)
        if len(heard) == 1:
            raise ZeroDivisionError("told")

    source.start(break_once, scene.errors.append)
    scene.then(saying(answer(OTHER_LIST)))
    assert (heard[1:], source.problem) == ([OTHER], None)
    assert "ZeroDivisionError" in scene.texts[0]
    assert len(tracebacks) == 1
