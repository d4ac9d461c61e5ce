"""Nodes of a Kubernetes cluster, listed and watched over TLS in stepped time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.kubernetes import source as kubernetes
from tests.harness.kubernetes_pool import ABC, SILENCE, KubernetesRecorder
from tests.harness.servers.kubernetes import SELECTOR, APIServer, node, status
from tests.harness.servers.kubernetes_wire import Asked, Connection


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[KubernetesRecorder]:
    recorder = KubernetesRecorder(tmp_path)
    yield recorder
    recorder.close()


def test_source_lists_selected_nodes_sorted_by_name(recorder: KubernetesRecorder) -> None:
    recorder.server.put(node("d", labels="pybal=no"))
    recorder.started()
    assert {asked.query["labelSelector"] for asked in recorder.server.requests} == {SELECTOR}
    assert recorder.source.problem is None


def test_source_delivers_each_change_immediately(recorder: KubernetesRecorder) -> None:
    recorder.started()
    changes: list[tuple[Callable[[APIServer], None], tuple[Member, ...]]] = [
        (lambda server: server.cordon("b"), (ABC[0], Member("b", 0), ABC[2])),
        (lambda server: server.cordon("b", unschedulable=False), ABC),
        (lambda server: server.put(node("a", "False")), (Member("a", 1, enabled=False), *ABC[1:])),
        (lambda server: server.put(node("a", "True")), ABC),
        (lambda server: server.put(node("c", labels="pybal=no")), ABC[:2]),
        (lambda server: server.put(node("c")), ABC),
        (lambda server: server.put(node("aa")), (ABC[0], Member("aa", 1), *ABC[1:])),
        (lambda server: server.delete("aa"), ABC),
    ]
    for change, _ in changes:
        change(recorder.server)
        recorder.advance(0.1)
    assert recorder.lists[1:] == [wanted for _, wanted in changes]
    assert recorder.errors == []
    assert len(recorder.asked("watch")) == 1


def test_source_ignores_irrelevant_changes(recorder: KubernetesRecorder) -> None:
    recorder.started()
    for pressure in ("True", "False"):
        changed = node("a")
        changed["status"]["conditions"][0]["status"] = pressure
        recorder.server.put(changed)
        recorder.advance(0.1)
    assert recorder.lists == [ABC]


def test_watch_continues_from_the_last_version_or_bookmark(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.server.version += 50
    recorder.advance(2 * kubernetes.WATCH)
    assert [asked.query["resourceVersion"] for asked in recorder.asked("watch")][:2] == ["1003", "1053"]
    assert {asked.query["allowWatchBookmarks"] for asked in recorder.asked("watch")} == {"true"}


def test_source_delivers_changes_between_two_watches(recorder: KubernetesRecorder) -> None:
    """T264362: changes waited for the next connection."""
    recorder.started()

    def between(_: Connection, asked: Asked) -> bool:
        if asked.query.get("limit") == "1" and "b" in recorder.server.nodes:
            recorder.server.delete("b")
        return False

    recorder.server.instead = between
    recorder.advance(kubernetes.WATCH)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert len(recorder.asked("watch")) == 2


def test_last_success_advances_while_the_cluster_is_idle(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.advance(100)
    assert recorder.source.last_success is not None
    assert recorder.reactor.seconds() - recorder.source.last_success <= kubernetes.WATCH + 1
    assert recorder.errors == []
    assert 10 <= len(recorder.asked("watch")) <= 13
    assert {asked.query["timeoutSeconds"] for asked in recorder.asked("watch")} == {"8", "9", "10"}


def test_watches_are_shorter_than_a_small_max_age(recorder: KubernetesRecorder) -> None:
    recorder.start(max_age=6.0)
    ages = []
    for _ in range(40):
        recorder.advance(1)
        ages.append(recorder.reactor.seconds() - (recorder.source.last_success or 0.0))
    assert max(ages[2:]) < 6
    assert recorder.errors == []


def test_source_reads_a_long_list_in_pages(recorder: KubernetesRecorder) -> None:
    for number in range(120):
        recorder.server.put(node(f"n{number:03}"))
    recorder.start()
    recorder.advance(2)
    assert [len(found) for found in recorder.lists] == [123]
    assert [asked.query.get("limit") for asked in recorder.asked("list")] == ["50", "50", "50"]
    assert ["continue" in asked.query for asked in recorder.asked("list")] == [False, True, True]


def test_source_restarts_a_list_when_its_rest_expires(recorder: KubernetesRecorder) -> None:
    for number in range(120):
        recorder.server.put(node(f"n{number:03}"))
    forgets = iter((True,))

    def instead(_: Connection, asked: Asked) -> bool:
        if "continue" in asked.query and next(forgets, False):
            recorder.server.forget()
        return False

    recorder.server.instead = instead
    recorder.start()
    recorder.advance(2)
    assert [len(found) for found in recorder.lists] == [123]
    assert recorder.errors == []


@pytest.mark.parametrize("by_status", [False, True])
def test_source_lists_again_when_the_version_expires(recorder: KubernetesRecorder, *, by_status: bool) -> None:
    """T169765: an outdated index was retried forever."""
    recorder.started()

    def instead(connection: Connection, asked: Asked) -> bool:
        if by_status and asked.verb == "watch" and asked.query["resourceVersion"] == "1003":
            connection.answer(410, status(410, "too old resource version: 1003 (1004)"))
            return True
        return False

    recorder.server.instead = instead
    recorder.server.bookmarks = False
    for connection in recorder.server.watches:
        connection.watching = False  # no event is sent
    recorder.server.delete("b")
    recorder.server.forget()
    recorder.advance(SILENCE)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.errors == []


def test_source_lists_again_when_etcd_was_restored(recorder: KubernetesRecorder) -> None:
    """A watch from a future version would be silent until the cluster reaches it."""
    recorder.started()
    for connection in recorder.server.watches:
        connection.watching = False
    del recorder.server.nodes["b"]
    recorder.server.restore(500)
    recorder.server.bookmarks = False
    recorder.advance(SILENCE)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.errors == []


def test_source_reads_a_renewed_token_for_each_request(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.token_file.write_text("another.t0ken\n")
    recorder.server.tokens = {"another.t0ken"}
    recorder.advance(SILENCE)
    assert recorder.errors == []
    assert recorder.server.requests[-1].fields["authorization"] == "Bearer another.t0ken"


def test_source_uses_the_token_of_the_url_without_a_file(recorder: KubernetesRecorder) -> None:
    recorder.server.tokens = {"unused"}
    recorder.start(token_file="")
    recorder.advance(2)
    assert recorder.lists == [ABC]


def test_full_read_delivers_and_counts_a_missed_change(recorder: KubernetesRecorder) -> None:
    """T134893: depooled in the source but not in LVS."""
    recorder.started()
    del recorder.server.nodes["b"]
    recorder.advance(kubernetes.FULL_READ * (1 - kubernetes.JITTER) - 10)
    assert recorder.lists == [ABC]
    recorder.advance(kubernetes.FULL_READ * kubernetes.JITTER + 30)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.source.differences == 1
    recorder.advance(kubernetes.FULL_READ)
    assert recorder.source.differences == 1


def test_changes_during_an_outage_are_not_differences(recorder: KubernetesRecorder) -> None:
    recorder.started()
    recorder.server.stop()
    recorder.server.delete("b")
    recorder.server.forget()
    recorder.advance(0.1)
    recorder.server.listen()
    recorder.advance(kubernetes.LAST_RETRY)
    assert recorder.lists == [ABC, (ABC[0], ABC[2])]
    assert recorder.source.differences == 0


def test_source_keeps_the_last_state_of_unknown_nodes(recorder: KubernetesRecorder) -> None:
    recorder.started()
    for name in "abc":
        recorder.server.put(node(name, "Unknown"))
        recorder.advance(0.1)
    recorder.advance(400)
    assert recorder.lists == [ABC]
    assert recorder.texts[-1] == "3 of 3 nodes are Unknown (a, b, c); keeping their last state"
    for name in "abc":
        recorder.server.put(node(name))
    recorder.advance(0.1)
    assert recorder.source.problem is None


def test_source_declares_deleted_nodes_out_of_the_pool(recorder: KubernetesRecorder) -> None:
    """An event names the node; absence from a list may be a fault."""
    recorder.started()
    recorder.server.put(node("c", labels="pybal=no"))
    recorder.server.delete("b")
    recorder.advance(0.1)
    assert recorder.lists[-1] == ABC[:1]
    assert recorder.source.removed == {"b", "c"}
    recorder.server.put(node("c"))
    recorder.advance(0.1)
    assert recorder.source.removed == {"b"}


def test_full_reads_of_many_sources_drift_apart(recorder: KubernetesRecorder) -> None:
    recorder.start()
    recorder.others(10)
    recorder.advance(230)
    counts = recorder.lists_in_each_second(90)
    assert sum(counts) == 11
    assert max(counts) < 5


def test_first_reads_of_many_sources_are_spread(recorder: KubernetesRecorder) -> None:
    recorder.start()
    recorder.others(50)
    times = sorted(call.getTime() for call in recorder.reactor.getDelayedCalls())
    assert times[0] < 0.1
    assert times[-1] > 0.9
