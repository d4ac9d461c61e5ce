"""An API server that dies, hangs, lies, drips, forgets and comes back: over TLS, in stepped time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.base import Trouble
from pybal.sources.kubernetes import source as kubernetes
from tests.harness.kubernetes_pool import ABC, SILENCE, Reading
from tests.harness.servers.kubernetes import TOKEN, node, status
from tests.harness.servers.kubernetes_wire import Asked, Connection, Document


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    made = Reading(tmp_path)
    yield made
    made.close()


def instead_of(verb: str, code: int, document: Document | bytes) -> Callable[[Connection, Asked], bool]:
    """Return what gives this answer to that."""

    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == verb:
            connection.answer(code, document)
        return asked.verb == verb

    return instead


def test_versions_that_are_too_old_for_ever_are_told_and_are_no_storm(reading: Reading) -> None:
    reading.started()
    reading.server.instead = instead_of("watch", 410, b"{}")
    reading.server.requests.clear()
    reading.advance(300)
    assert reading.texts == ["HTTP 410, wanted 200"]
    assert len(reading.server.requests) < 50
    reading.server.delete("b")
    reading.advance(kubernetes.LAST_RETRY + 1)
    assert reading.lists[-1] == (ABC[0], ABC[2])


def test_an_error_in_a_watch_has_all_listed_again(reading: Reading) -> None:
    reading.started()
    (watch,) = reading.server.watches
    watch.event("ERROR", status(500, "etcd: leader changed"))
    watch.watching = False
    reading.server.delete("b")
    reading.advance(kubernetes.FIRST_RETRY + 1)
    assert reading.texts == ["HTTP 500 (etcd: leader changed), wanted 200"]
    assert reading.lists[-1] == (ABC[0], ABC[2])
    reading.advance(SILENCE)
    assert reading.source.problem is None


def test_a_token_that_is_not_accepted_is_told_without_it_and_tried_again(reading: Reading) -> None:
    reading.server.tokens = set()
    reading.start()
    reading.advance(2)
    assert reading.texts == [f"HTTP 401 (Unauthorized), wanted 200, with the token of {reading.token_file}"]
    assert reading.errors[0].trouble is Trouble.DENIED
    reading.server.tokens = {TOKEN}
    reading.advance(kubernetes.LAST_RETRY)
    assert reading.lists == [ABC]
    assert reading.source.problem is None


def test_a_server_that_says_our_token_back_does_not_put_it_into_the_log(reading: Reading) -> None:
    reading.server.instead = instead_of("list", 500, status(500, f"bad header: Bearer {TOKEN}"))
    reading.start()
    reading.advance(2)
    assert reading.texts == ["HTTP 500 (bad header: Bearer ***), wanted 200"]


def test_a_token_file_that_is_gone_is_told_and_the_list_stays(reading: Reading) -> None:
    reading.started()
    reading.token_file.unlink()
    reading.advance(SILENCE)
    assert reading.texts == [
        f"token-file: {reading.token_file} (No such file or directory), wanted a file that can be read"
    ]
    assert reading.lists == [ABC]


def test_who_may_list_but_not_watch_is_told_so_and_lists(reading: Reading) -> None:
    reading.server.forbidden = {"watch"}
    reading.start()
    reading.advance(100)
    assert len(reading.errors) == 1
    assert reading.texts[0].startswith('HTTP 403 (nodes is forbidden: User "pybal" cannot watch resource "nodes"')
    reading.server.delete("b")
    reading.advance(kubernetes.LAST_RETRY + 1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert len(reading.errors) == 1
    assert reading.source.problem == str(reading.errors[0])
    reading.server.forbidden = set()
    reading.advance(2 * kubernetes.LAST_RETRY)
    assert reading.source.problem is None


def test_a_watch_over_a_connection_that_is_dead_is_given_up(reading: Reading) -> None:
    """T170847: half-open connections. Nothing comes over it, and nobody says that it has ended."""
    reading.started()
    (watch,) = reading.server.watches
    watch.watching = False
    reading.server.delete("b")
    reading.advance(kubernetes.WATCH + kubernetes.GRACE + 1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.errors == []


def test_a_server_that_hangs_is_told_and_followed_again_when_it_wakes(reading: Reading) -> None:
    reading.started()
    reading.server.instead = lambda _connection, _asked: True
    for connection in reading.server.watches:
        connection.watching = False
    reading.advance(kubernetes.WATCH + kubernetes.GRACE + 6)
    assert reading.texts == ["no answer within 5 s"]
    assert reading.errors[0].trouble is Trouble.SILENT
    reading.advance(300)
    assert len(reading.errors) == 1
    assert reading.lists == [ABC]
    reading.server.delete("b")
    reading.server.instead = lambda _connection, _asked: False
    reading.advance(kubernetes.LAST_RETRY + 5)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.source.problem is None


def test_a_server_that_is_started_again_is_followed_again(reading: Reading) -> None:
    """T134893, T169893: no reconnect after a restart; a node that went meanwhile goes."""
    reading.started()
    reading.server.stop()
    reading.advance(60)
    assert reading.texts == ["connection refused"]
    reading.server.delete("b")
    reading.server.listen()
    reading.advance(kubernetes.LAST_RETRY + 1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.source.problem is None
    reading.server.put(node("b"))
    reading.advance(0.1)
    assert reading.lists[-1] == ABC


def test_a_watch_that_is_cut_off_is_gone_on_with_at_once(reading: Reading) -> None:
    reading.started()
    reading.advance(5)
    reading.server.cut()
    reading.server.delete("b")
    reading.advance(0.3)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.errors == []


def test_watches_that_end_at_once_are_told_and_are_no_storm(reading: Reading) -> None:
    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == "watch":
            connection.begin()
            connection.end()
            return True
        return False

    reading.server.instead = instead
    reading.start()
    reading.advance(300)
    assert reading.texts == ["a watch has ended within 1 s, wanted 8 to 10"]
    assert len(reading.server.requests) < 50
    reading.server.delete("b")
    reading.advance(kubernetes.LAST_RETRY + 1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]


def test_a_list_that_drips_is_given_up(reading: Reading) -> None:
    reading.started()
    dripping: list[Connection] = []

    def instead(connection: Connection, _: Asked) -> bool:
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        dripping.append(connection)
        return True

    reading.server.instead = instead
    reading.server.cut()
    for _ in range(30):
        reading.advance(1)
        for connection in dripping:
            connection.transport.write(b"{")
    assert reading.texts == ["less than 5000 bytes of an answer within 5 s"]
    assert reading.lists == [ABC]


def test_an_event_that_drips_does_not_hold_up_the_others(reading: Reading) -> None:
    reading.started()
    (watch,) = reading.server.watches
    watch.watching = False
    reading.server.delete("b")
    for _ in range(14):
        watch.chunk(b"{")
        reading.advance(1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]


def test_pages_without_end_are_given_up(reading: Reading) -> None:
    reading.started()

    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == "watch":
            return False
        listed = {"kind": "NodeList", "metadata": {"resourceVersion": "2000", "continue": "more"}, "items": []}
        connection.answer(200, listed)
        return True

    reading.server.forget()
    reading.server.bookmarks = False
    reading.server.oldest = 1500
    reading.server.instead = instead
    reading.server.cut()
    reading.advance(kubernetes.LISTING + 10)
    assert reading.texts == ["no whole list within 60 s, 0 nodes of it"]
    assert reading.lists == [ABC]


def test_an_event_without_end_is_given_up(reading: Reading) -> None:
    reading.started()
    (watch,) = reading.server.watches
    for _ in range(36):
        watch.chunk(b"x" * 2**16)
        reading.advance(0.1)
    assert reading.texts == [f"a message of more than {2**21} bytes"]
    assert reading.lists == [ABC]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "no answer of a Kubernetes API server about nodes: '<html>'",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "no answer of a Kubernetes API server about nodes: ''"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", "HTTP 502, wanted 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "HTTP 302, wanted 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1: 'SSH-2.0-OpenSSH_9.2'"),
    ],
)
def test_an_answer_that_is_no_list_keeps_the_last_one(reading: Reading, answer: bytes, text: str) -> None:
    """An empty, truncated or HTML answer emptied the pool."""
    reading.started()
    reading.server.instead = lambda connection, _: not connection.transport.write(answer)
    reading.server.cut()
    reading.advance(100)
    assert reading.texts == [text]
    assert reading.lists == [ABC]
    reading.server.instead = lambda _connection, _asked: False
    reading.server.delete("b")
    reading.advance(kubernetes.LAST_RETRY + 1)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.source.problem is None


def test_half_an_answer_is_no_list(reading: Reading) -> None:
    def instead(connection: Connection, _: Asked) -> bool:
        whole = json.dumps({"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": []}).encode()
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(whole) + 1) + whole)
        connection.transport.loseConnection()
        return True

    reading.server.instead = instead
    reading.start()
    reading.advance(3)
    assert reading.lists == []
    assert len(reading.errors) == 1
    assert reading.errors[0].trouble is Trouble.SILENT


def test_a_certificate_of_an_unknown_authority_is_told(reading: Reading) -> None:
    reading.start(ca="")
    reading.advance(3)
    assert reading.texts == ["the server's certificate has expired, or is up to no authority that we trust"]
    assert reading.asked("list") == []


def test_after_a_long_outage_the_next_begins_with_a_short_pause(reading: Reading) -> None:
    reading.started()
    reading.server.stop()
    reading.advance(200)
    reading.server.listen()
    reading.advance(kubernetes.LAST_RETRY + kubernetes.WATCH + kubernetes.GRACE + 5)
    assert reading.source.problem is None
    reading.server.instead = instead_of("list", 503, b"")
    reading.server.cut()
    reading.advance(0.3)
    assert reading.source.problem is not None
    reading.server.instead = lambda _connection, _asked: False
    reading.advance(kubernetes.FIRST_RETRY)
    assert reading.source.problem is None


def test_a_server_that_comes_back_is_not_stormed_by_many_sources(reading: Reading) -> None:
    reading.started()
    reading.others(30)
    reading.advance(5)
    reading.server.stop()
    reading.advance(120)
    reading.server.listen()
    counts = reading.lists_in_each_second(40)
    assert sum(counts) == 31
    assert max(counts) < 8


def test_a_bug_in_a_listener_does_not_end_the_watch(reading: Reading) -> None:
    bugs = iter((True, False, True))

    def listed(members: tuple[Member, ...]) -> None:
        if next(bugs, False):
            raise ZeroDivisionError
        reading.lists.append(members)

    reading.start(listed=listed)
    reading.advance(3)
    assert reading.texts == ["internal error: ZeroDivisionError (see the log for its traceback)"]
    assert reading.lists == [ABC]
    reading.server.delete("b")
    reading.advance(3)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
