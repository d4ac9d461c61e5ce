"""Kubernetes API servers that die, hang, send garbage, respond slowly and come back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.base import Trouble
from pybal.sources.kubernetes import source as kubernetes
from tests.harness.kubernetes_pool import ABC, SILENCE, KubernetesRecorder
from tests.harness.servers.kubernetes import TOKEN, node, status
from tests.harness.servers.kubernetes_wire import Asked, Connection, Document


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[KubernetesRecorder]:
    recorder = KubernetesRecorder(tmp_path)
    yield recorder
    recorder.close()


def instead_of(verb: str, code: int, document: Document | bytes) -> Callable[[Connection, Asked], bool]:
    """Return a handler that responds to a verb with this document."""

    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == verb:
            connection.answer(code, document)
        return asked.verb == verb

    return instead


def test_source_backs_off_when_every_version_expires(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.server.instead = instead_of("watch", 410, b"{}")
    recorder.server.requests.clear()
    recorder.advance(300)
    assert recorder.texts == ["HTTP 410, wanted 200"]
    assert len(recorder.server.requests) < 50
    recorder.server.delete("b")
    recorder.advance(kubernetes.LAST_RETRY + 1)
    assert recorder.lists[-1] == (ABC[0], ABC[2])


def test_source_lists_again_after_an_error_event(recorder: KubernetesRecorder) -> None:
    recorder.started()
    (watch,) = recorder.server.watches
    watch.event("ERROR", status(500, "etcd: leader changed"))
    watch.watching = False
    recorder.server.delete("b")
    recorder.advance(kubernetes.FIRST_RETRY + 1)
    assert recorder.texts == ["HTTP 500 (etcd: leader changed), wanted 200"]
    assert recorder.lists[-1] == (ABC[0], ABC[2])
    recorder.advance(SILENCE)
    assert recorder.source.problem is None


def test_source_reports_a_refused_token_without_showing_it(recorder: KubernetesRecorder) -> None:
    recorder.server.tokens = set()
    recorder.start()
    recorder.advance(2)
    assert recorder.texts == [f"HTTP 401 (Unauthorized), wanted 200 (token from {recorder.token_file})"]
    assert recorder.errors[0].trouble is Trouble.DENIED
    recorder.server.tokens = {TOKEN}
    recorder.advance(kubernetes.LAST_RETRY)
    assert recorder.lists == [ABC]
    assert recorder.source.problem is None


def test_source_refuses_a_response_that_repeats_the_token(recorder: KubernetesRecorder) -> None:
    recorder.server.instead = instead_of("list", 500, status(500, f"bad header: Bearer {TOKEN}"))
    recorder.start()
    recorder.advance(2)
    assert recorder.texts == ["response repeats the credentials of the request; refusing it"]


def test_source_keeps_its_list_when_the_token_file_is_gone(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.token_file.unlink()
    recorder.advance(SILENCE)
    assert recorder.texts == [
        f"token-file: {recorder.token_file} (No such file or directory), wanted a file that can be read"
    ]
    assert recorder.lists == [ABC]


def test_source_lists_and_reports_when_watch_is_forbidden(recorder: KubernetesRecorder) -> None:
    recorder.server.forbidden = {"watch"}
    recorder.start()
    recorder.advance(100)
    assert len(recorder.errors) == 1
    assert recorder.texts[0].startswith('HTTP 403 (nodes is forbidden: User "pybal" cannot watch resource "nodes"')
    recorder.server.delete("b")
    recorder.advance(kubernetes.LAST_RETRY + 1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert len(recorder.errors) == 1
    assert recorder.source.problem == str(recorder.errors[0])
    recorder.server.forbidden = set()
    recorder.advance(2 * kubernetes.LAST_RETRY)
    assert recorder.source.problem is None


def test_source_aborts_a_watch_over_a_dead_connection(recorder: KubernetesRecorder) -> None:
    """T170847: half-open connections, over which nothing arrives, not even the end."""
    recorder.started()
    (watch,) = recorder.server.watches
    watch.watching = False
    recorder.server.delete("b")
    recorder.advance(kubernetes.WATCH + kubernetes.GRACE + 1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.errors == []


def test_source_reports_a_hung_server_and_follows_it_again(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.server.instead = lambda _connection, _asked: True
    for connection in recorder.server.watches:
        connection.watching = False
    recorder.advance(kubernetes.WATCH + kubernetes.GRACE + 6)
    assert recorder.texts == ["no response within 5 s"]
    assert recorder.errors[0].trouble is Trouble.SILENT
    recorder.advance(300)
    assert len(recorder.errors) == 1
    assert recorder.lists == [ABC]
    recorder.server.delete("b")
    recorder.server.instead = lambda _connection, _asked: False
    recorder.advance(kubernetes.LAST_RETRY + 5)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.source.problem is None


def test_source_follows_a_restarted_server(recorder: KubernetesRecorder) -> None:
    """T134893, T169893: no reconnection after a restart, and changes during the outage were lost."""
    recorder.started()
    recorder.server.stop()
    recorder.advance(60)
    assert recorder.texts == ["connection refused"]
    recorder.server.delete("b")
    recorder.server.listen()
    recorder.advance(kubernetes.LAST_RETRY + 1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.source.problem is None
    recorder.server.put(node("b"))
    recorder.advance(0.1)
    assert recorder.lists[-1] == ABC


def test_source_continues_an_interrupted_watch_immediately(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.advance(5)
    recorder.server.cut()
    recorder.server.delete("b")
    recorder.advance(0.3)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.errors == []


def test_source_backs_off_when_watches_end_immediately(recorder: KubernetesRecorder) -> None:
    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == "watch":
            connection.begin()
            connection.end()
            return True
        return False

    recorder.server.instead = instead
    recorder.start()
    recorder.advance(300)
    assert recorder.texts == ["watch ended within 1 s, wanted 8 to 10 s"]
    assert len(recorder.server.requests) < 50
    recorder.server.delete("b")
    recorder.advance(kubernetes.LAST_RETRY + 1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]


def test_source_aborts_a_list_that_arrives_too_slowly(recorder: KubernetesRecorder) -> None:
    recorder.started()
    dripping: list[Connection] = []

    def instead(connection: Connection, _: Asked) -> bool:
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        dripping.append(connection)
        return True

    recorder.server.instead = instead
    recorder.server.cut()
    for _ in range(30):
        recorder.advance(1)
        for connection in dripping:
            connection.transport.write(b"{")
    assert recorder.texts == ["no complete body of 5000 bytes within 5 s"]
    assert recorder.lists == [ABC]


def test_source_aborts_an_event_that_arrives_too_slowly(recorder: KubernetesRecorder) -> None:
    recorder.started()
    (watch,) = recorder.server.watches
    watch.watching = False
    recorder.server.delete("b")
    for _ in range(14):
        watch.chunk(b"{")
        recorder.advance(1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]


def test_source_aborts_an_endless_list(recorder: KubernetesRecorder) -> None:
    recorder.started()

    def instead(connection: Connection, asked: Asked) -> bool:
        if asked.verb == "watch":
            return False
        listed = {"kind": "NodeList", "metadata": {"resourceVersion": "2000", "continue": "more"}, "items": []}
        connection.answer(200, listed)
        return True

    recorder.server.forget()
    recorder.server.bookmarks = False
    recorder.server.oldest = 1500
    recorder.server.instead = instead
    recorder.server.cut()
    recorder.advance(kubernetes.LISTING + 10)
    assert recorder.texts == ["incomplete list after 60 s (0 nodes)"]
    assert recorder.lists == [ABC]


def test_source_aborts_an_endless_event(recorder: KubernetesRecorder) -> None:
    recorder.started()
    (watch,) = recorder.server.watches
    for _ in range(36):
        watch.chunk(b"x" * 2**16)
        recorder.advance(0.1)
    assert recorder.texts == [f"line longer than {2**21} bytes"]
    assert recorder.lists == [ABC]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            "not a Kubernetes node document: '<html>'",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "not a Kubernetes node document: ''"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", "HTTP 502, wanted 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "HTTP 302, wanted 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP/1: 'SSH-2.0-OpenSSH_9.2'"),
    ],
)
def test_source_keeps_its_list_after_an_invalid_response(
    recorder: KubernetesRecorder, answer: bytes, text: str
) -> None:
    """An empty, truncated or HTML answer emptied the pool."""
    recorder.started()
    recorder.server.instead = lambda connection, _: not connection.transport.write(answer)
    recorder.server.cut()
    recorder.advance(100)
    assert recorder.texts == [text]
    assert recorder.lists == [ABC]
    recorder.server.instead = lambda _connection, _asked: False
    recorder.server.delete("b")
    recorder.advance(kubernetes.LAST_RETRY + 1)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.source.problem is None


def test_source_refuses_a_truncated_response(recorder: KubernetesRecorder) -> None:
    def instead(connection: Connection, _: Asked) -> bool:
        whole = json.dumps({"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": []}).encode()
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(whole) + 1) + whole)
        connection.transport.loseConnection()
        return True

    recorder.server.instead = instead
    recorder.start()
    recorder.advance(3)
    assert recorder.lists == []
    assert len(recorder.errors) == 1
    assert recorder.errors[0].trouble is Trouble.SILENT


def test_source_reports_an_untrusted_certificate(recorder: KubernetesRecorder) -> None:
    recorder.start(ca="")
    recorder.advance(3)
    assert recorder.texts == ["TLS: certificate expired or not signed by a trusted CA"]
    assert recorder.asked("list") == []


def test_backoff_is_reset_after_an_outage(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.server.stop()
    recorder.advance(200)
    recorder.server.listen()
    recorder.advance(kubernetes.LAST_RETRY + kubernetes.WATCH + kubernetes.GRACE + 5)
    assert recorder.source.problem is None
    recorder.server.instead = instead_of("list", 503, b"")
    recorder.server.cut()
    recorder.advance(0.3)
    assert recorder.source.problem is not None
    recorder.server.instead = lambda _connection, _asked: False
    recorder.advance(kubernetes.FIRST_RETRY)
    assert recorder.source.problem is None


def test_reads_of_many_sources_stay_spread_after_an_outage(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.others(30)
    recorder.advance(5)
    recorder.server.stop()
    recorder.advance(120)
    recorder.server.listen()
    counts = recorder.lists_in_each_second(40)
    assert sum(counts) == 31
    assert max(counts) < 8


def test_source_continues_when_a_listener_raises(recorder: KubernetesRecorder) -> None:
    bugs = iter((True, False, True))

    def listed(members: tuple[Member, ...]) -> None:
        if next(bugs, False):
            raise ZeroDivisionError
        recorder.lists.append(members)

    recorder.start(listed=listed)
    recorder.advance(3)
    assert recorder.texts == ["internal error: ZeroDivisionError (see the log for its traceback)"]
    assert recorder.lists == [ABC]
    recorder.server.delete("b")
    recorder.advance(3)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]


MORE_THAN_3 = "more than max-pool-size = 3 nodes (raise max-pool-size, or select nodes by a label)"


def test_source_refuses_more_nodes_than_a_list_may_have(recorder: KubernetesRecorder) -> None:
    recorder.server.put(node("d"))
    recorder.start(max_pool_size=3)
    recorder.advance(2)
    assert recorder.texts == [MORE_THAN_3]
    assert recorder.lists == []
    recorder.server.delete("d")
    recorder.advance(kubernetes.LAST_RETRY)
    assert recorder.lists == [ABC]
    assert recorder.source.problem is None


def test_source_ends_a_watch_of_more_nodes_than_a_list_may_have(recorder: KubernetesRecorder) -> None:
    recorder.start(max_pool_size=3)
    recorder.advance(2)
    recorder.server.put(node("d"))
    recorder.advance(0.5)
    assert recorder.texts == [MORE_THAN_3]
    assert recorder.server.watches == []
    recorder.server.delete("d")
    recorder.advance(kubernetes.LAST_RETRY + SILENCE)
    assert recorder.source.problem is None


def test_source_remembers_deleted_nodes_up_to_the_size_of_a_list(recorder: KubernetesRecorder) -> None:
    recorder.start(max_pool_size=4)
    recorder.advance(2)
    for name in ("d", "e", "f", "g", "h"):
        recorder.server.put(node(name))
        recorder.advance(0.5)
        recorder.server.delete(name)
        recorder.advance(0.5)
    assert recorder.source.removed == {"e", "f", "g", "h"}
