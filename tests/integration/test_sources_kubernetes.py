"""The nodes of a cluster, listed and watched: over TLS, in stepped time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybal.core.model import Member
from pybal.sources.kubernetes import source as kubernetes
from tests.harness.kubernetes_pool import ABC, SILENCE, Reading
from tests.harness.servers.kubernetes import SELECTOR, APIServer, node, status
from tests.harness.servers.kubernetes_wire import Asked, Connection


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    made = Reading(tmp_path)
    yield made
    made.close()


def test_nodes_are_listed_by_name_and_with_the_selector(reading: Reading) -> None:
    reading.server.put(node("d", labels="pybal=no"))
    reading.started()
    assert {asked.query["labelSelector"] for asked in reading.server.requests} == {SELECTOR}
    assert reading.source.problem is None


def test_what_becomes_of_nodes_is_heard_at_once(reading: Reading) -> None:
    reading.started()
    changes: list[tuple[Callable[[APIServer], None], tuple[Member, ...]]] = [
        (lambda server: server.cordon("b"), (ABC[0], ABC[2])),
        (lambda server: server.cordon("b", unschedulable=False), ABC),
        (lambda server: server.put(node("a", "False")), (Member("a", 1, enabled=False), *ABC[1:])),
        (lambda server: server.put(node("a", "True")), ABC),
        (lambda server: server.put(node("c", labels="pybal=no")), ABC[:2]),
        (lambda server: server.put(node("c")), ABC),
        (lambda server: server.put(node("aa")), (ABC[0], Member("aa", 1), *ABC[1:])),
        (lambda server: server.delete("aa"), ABC),
    ]
    for change, _ in changes:
        change(reading.server)
        reading.advance(0.1)
    assert reading.lists[1:] == [wanted for _, wanted in changes]
    assert reading.errors == []
    assert len(reading.asked("watch")) == 1


def test_what_is_of_no_interest_is_no_news(reading: Reading) -> None:
    reading.started()
    for pressure in ("True", "False"):
        changed = node("a")
        changed["status"]["conditions"][0]["status"] = pressure
        reading.server.put(changed)
        reading.advance(0.1)
    assert reading.lists == [ABC]


def test_a_watch_goes_on_from_the_last_version_seen_bookmarks_too(reading: Reading) -> None:
    reading.started()
    reading.server.version += 50
    reading.advance(2 * kubernetes.WATCH)
    assert [asked.query["resourceVersion"] for asked in reading.asked("watch")][:2] == ["1003", "1053"]
    assert {asked.query["allowWatchBookmarks"] for asked in reading.asked("watch")} == {"true"}


def test_what_happens_between_two_watches_is_not_missed(reading: Reading) -> None:
    """T264362: changes waited for the next connection."""
    reading.started()

    def between(_: Connection, asked: Asked) -> bool:
        if asked.query.get("limit") == "1" and "b" in reading.server.nodes:
            reading.server.delete("b")
        return False

    reading.server.instead = between
    reading.advance(kubernetes.WATCH)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert len(reading.asked("watch")) == 2


def test_a_quiet_cluster_is_known_to_be_good(reading: Reading) -> None:
    reading.started()
    reading.advance(100)
    assert reading.source.last_success is not None
    assert reading.reactor.seconds() - reading.source.last_success <= kubernetes.WATCH + 1
    assert reading.errors == []
    assert 10 <= len(reading.asked("watch")) <= 13
    assert {asked.query["timeoutSeconds"] for asked in reading.asked("watch")} == {"8", "9", "10"}


def test_watches_are_so_short_that_a_quiet_cluster_is_no_alert(reading: Reading) -> None:
    reading.start(max_age=6.0)
    ages = []
    for _ in range(40):
        reading.advance(1)
        ages.append(reading.reactor.seconds() - (reading.source.last_success or 0.0))
    assert max(ages[2:]) < 6
    assert reading.errors == []


def test_long_lists_come_in_pages(reading: Reading) -> None:
    for number in range(120):
        reading.server.put(node(f"n{number:03}"))
    reading.start()
    reading.advance(2)
    assert [len(found) for found in reading.lists] == [123]
    assert [asked.query.get("limit") for asked in reading.asked("list")] == ["50", "50", "50"]
    assert ["continue" in asked.query for asked in reading.asked("list")] == [False, True, True]


def test_a_list_whose_rest_is_gone_is_begun_again(reading: Reading) -> None:
    for number in range(120):
        reading.server.put(node(f"n{number:03}"))
    forgets = iter((True,))

    def instead(_: Connection, asked: Asked) -> bool:
        if "continue" in asked.query and next(forgets, False):
            reading.server.forget()
        return False

    reading.server.instead = instead
    reading.start()
    reading.advance(2)
    assert [len(found) for found in reading.lists] == [123]
    assert reading.errors == []


@pytest.mark.parametrize("by_status", [False, True])
def test_a_version_that_is_too_old_has_all_listed_again(reading: Reading, *, by_status: bool) -> None:
    """T169765: an outdated index was retried for ever."""
    reading.started()

    def instead(connection: Connection, asked: Asked) -> bool:
        if by_status and asked.verb == "watch" and asked.query["resourceVersion"] == "1003":
            connection.answer(410, status(410, "too old resource version: 1003 (1004)"))
            return True
        return False

    reading.server.instead = instead
    reading.server.bookmarks = False
    for connection in reading.server.watches:
        connection.watching = False  # it hears nothing of this
    reading.server.delete("b")
    reading.server.forget()
    reading.advance(SILENCE)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.errors == []


def test_a_store_that_was_restored_is_listed_again(reading: Reading) -> None:
    """A watch from a version of the future would be silent until that came."""
    reading.started()
    for connection in reading.server.watches:
        connection.watching = False
    del reading.server.nodes["b"]
    reading.server.restore(500)
    reading.server.bookmarks = False
    reading.advance(SILENCE)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.errors == []


def test_a_token_that_is_renewed_is_used_from_the_next_request_on(reading: Reading) -> None:
    reading.started()
    reading.token_file.write_text("another.t0ken\n")
    reading.server.tokens = {"another.t0ken"}
    reading.advance(SILENCE)
    assert reading.errors == []
    assert reading.server.requests[-1].fields["authorization"] == "Bearer another.t0ken"


def test_a_token_in_the_url_is_used_where_there_is_no_file(reading: Reading) -> None:
    reading.server.tokens = {"unused"}
    reading.start(token_file="")
    reading.advance(2)
    assert reading.lists == [ABC]


def test_what_no_watch_has_told_is_found_by_the_full_read_and_counted(reading: Reading) -> None:
    """T134893: depooled in the source but not in LVS."""
    reading.started()
    del reading.server.nodes["b"]
    reading.advance(kubernetes.FULL_READ * (1 - kubernetes.JITTER) - 10)
    assert reading.lists == [ABC]
    reading.advance(kubernetes.FULL_READ * kubernetes.JITTER + 30)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.source.differences == 1
    reading.advance(kubernetes.FULL_READ)
    assert reading.source.differences == 1


def test_what_went_while_nobody_watched_is_no_difference(reading: Reading) -> None:
    reading.started()
    reading.server.stop()
    reading.server.delete("b")
    reading.server.forget()
    reading.advance(0.1)
    reading.server.listen()
    reading.advance(kubernetes.LAST_RETRY)
    assert reading.lists == [ABC, (ABC[0], ABC[2])]
    assert reading.source.differences == 0


def test_a_control_plane_that_is_cut_off_from_all_nodes_disables_nobody(reading: Reading) -> None:
    reading.started()
    for name in "abc":
        reading.server.put(node(name, "Unknown"))
        reading.advance(0.1)
    assert [member.enabled for member in reading.lists[-1]] == [False, False, True]
    assert reading.texts == ["no node is Ready and 3 of 3 are Unknown; assuming a partitioned control plane"]
    reading.server.put(node("a"))
    reading.advance(0.1)
    assert [member.enabled for member in reading.lists[-1]] == [True, False, False]
    assert reading.source.problem is None


def test_sources_that_began_together_do_not_list_together(reading: Reading) -> None:
    reading.start()
    reading.others(10)
    reading.advance(230)
    counts = reading.lists_in_each_second(90)
    assert sum(counts) == 11
    assert max(counts) < 5


def test_many_sources_do_not_begin_in_the_same_moment(reading: Reading) -> None:
    reading.start()
    reading.others(50)
    times = sorted(call.getTime() for call in reading.reactor.getDelayedCalls())
    assert times[0] < 0.1
    assert times[-1] > 0.9
