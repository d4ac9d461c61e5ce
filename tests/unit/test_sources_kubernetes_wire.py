"""What a Kubernetes API server says of its nodes, and what of it counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.text import Listing
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.wire import Event, Expired, Node, Nodes, Page
from tests.harness.servers.kubernetes import node, status

A, B = Member("a", 1), Member("b", 1)


def versioned(document: dict[str, Any], version: int = 7) -> dict[str, Any]:
    document["metadata"]["resourceVersion"] = str(version)
    return document


def page(*documents: dict[str, Any], **metadata: str) -> Page:
    found = {"kind": "NodeList", "metadata": {"resourceVersion": "9", **metadata}, "items": list(documents)}
    return wire.page(json.dumps(found).encode())


def event(kind: str, document: object) -> Event:
    return wire.event(json.dumps({"type": kind, "object": document}).encode())


def only(document: dict[str, Any]) -> Node:
    (found,) = page(versioned(document)).nodes.values()
    return found


def error(of: bytes) -> SourceError:
    with pytest.raises(SourceError) as caught:
        wire.page(of)
    return caught.value


def test_a_page_has_nodes_a_version_and_where_the_next_begins() -> None:
    found = page(versioned(node("b"), 5), versioned(node("a"), 6), **{"continue": "abc"})
    assert found == Page({"b": Node("5", B), "a": Node("6", A)}, "9", "abc")
    assert page().rest == ""


def test_a_node_that_is_not_ready_is_disabled() -> None:
    assert only(node("a", "False")) == Node("7", Member("a", 1, enabled=False))


def test_a_node_that_is_not_heard_of_is_disabled() -> None:
    assert only(node("a", "Unknown")) == Node("7", Member("a", 1, enabled=False), reporting=False)


def test_a_node_without_the_condition_has_never_been_heard_of() -> None:
    new = node("a")
    del new["status"]["conditions"]
    assert only(new) == Node("7", Member("a", 1, enabled=False), reporting=False)


def test_a_node_that_is_unschedulable_is_no_member() -> None:
    assert only(node("a", unschedulable=True)) == Node("7", None)


def test_a_list_is_in_the_order_of_the_names() -> None:
    found = page(*(versioned(node(name)) for name in ("b", "c", "a")))
    assert [one.host for one in wire.listing(found.nodes).members] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("spec", 5, "host a: spec 5, wanted an object"),
        ("spec", {"unschedulable": "yes"}, "host a: unschedulable 'yes', wanted true or false"),
        ("status", None, "host a: status None, wanted an object"),
        ("status", {"conditions": {}}, "host a: conditions {}, wanted a list"),
        (
            "status",
            {"conditions": [7, {"type": "Ready", "status": True}]},
            "host a: condition Ready True, wanted True, False or Unknown",
        ),
        (
            "status",
            {"conditions": [{"type": "Ready", "status": ["True"]}]},
            "host a: condition Ready a list, wanted True, False or Unknown",
        ),
        ("metadata", {"name": "a b", "resourceVersion": "7"}, "host 'a b', wanted a name or an address"),
        ("metadata", {"resourceVersion": "7"}, "host None, wanted a name or an address"),
    ],
)
def test_what_is_wrong_with_a_node_is_its_own_problem(part: str, value: object, problem: str) -> None:
    found = page(versioned(node("a")) | {part: value}, versioned(node("b")))
    assert wire.listing(found.nodes) == Listing((B,), (problem,))


def test_a_node_with_a_problem_counts_as_it_did_before() -> None:
    known = page(versioned(node("a", "False")), versioned(node("b"))).nodes
    bad = versioned(node("a"), 8) | {"spec": 5}
    kept = Node("8", Member("a", 1, enabled=False), problem="host a: spec 5, wanted an object")
    assert wire.applied(known, event("MODIFIED", bad))["a"] == kept
    assert wire.relisted(known, page(bad).nodes) == {"a": kept}


def test_events_add_change_and_remove_nodes() -> None:
    known: Nodes = {}
    for kind, document in (
        ("ADDED", versioned(node("a"), 10)),
        ("ADDED", versioned(node("b"), 11)),
        ("MODIFIED", versioned(node("a", "False"), 12)),
        ("DELETED", versioned(node("b"), 13)),
    ):
        found = event(kind, document)
        known = wire.applied(known, found)
    assert known == {"a": Node("12", Member("a", 1, enabled=False))}
    assert found.version == "13"


def test_a_bookmark_changes_nothing_but_the_version() -> None:
    found = event("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "20", "creationTimestamp": None}})
    assert found == Event("20")
    assert wire.applied({"a": Node("7", A)}, found) == {"a": Node("7", A)}


def test_a_version_that_is_too_old_is_told_apart() -> None:
    with pytest.raises(Expired, match=r"^HTTP 410 \(too old resource version: 1 \(9\)\), wanted 200$"):
        event("ERROR", status(410, "too old resource version: 1 (9)"))
    assert isinstance(wire.error_response(410, b"gone"), Expired)
    with pytest.raises(SourceError, match=r"^HTTP 500 \(etcd is slow\), wanted 200$") as caught:
        event("ERROR", status(500, "etcd is slow"))
    assert not isinstance(caught.value, Expired)
    assert caught.value.trouble is Trouble.FAILED


@pytest.mark.parametrize(
    ("code", "body", "text", "trouble"),
    [
        (401, json.dumps(status(401, "Unauthorized")), "HTTP 401 (Unauthorized), wanted 200", Trouble.DENIED),
        (403, "<html>", "HTTP 403, wanted 200", Trouble.DENIED),
        (503, '{"message": "no Status"}', "HTTP 503, wanted 200", Trouble.FAILED),
        (429, json.dumps(status(429, "x" * 200)), f"HTTP 429 ({'x' * 160}…), wanted 200", Trouble.FAILED),
        (500, json.dumps({"kind": "Status", "message": 5}), "HTTP 500, wanted 200", Trouble.FAILED),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(code: int, body: str, text: str, trouble: Trouble) -> None:
    refused = wire.error_response(code, body.encode())
    assert (str(refused), refused.trouble) == (text, trouble)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        b'{"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": []}',
        b'{"kind": "NodeList", "metadata": {}, "items": []}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": 9}, "items": []}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9\\r\\nHost: x"}, "items": []}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": null}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": [5]}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "a"}}]}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9", "continue": 5}, "items": []}',
        b'{"kind": "NodeList", "metadata": {"resourceVersion": "9"}, "items": [',
        b"[" * 100_000,
    ],
)
def test_what_is_no_list_is_refused_as_a_whole(body: bytes) -> None:
    assert str(error(body)).startswith("not a Kubernetes node document: ")
    assert len(str(error(body))) < 250


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b'{"type": "ADDED"}',
        b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}',
        b'{"type": "MOVED", "object": {"metadata": {"name": "a", "resourceVersion": "1"}}}',
        b'{"type": "ERROR", "object": 5}',
        b'{"type": ["ADDED"], "object": {}}',
    ],
)
def test_what_is_no_event_ends_the_watch(line: bytes) -> None:
    with pytest.raises(SourceError, match=r"^not a Kubernetes node document"):
        wire.event(line)


def test_that_no_node_is_heard_of_is_not_believed() -> None:
    """When the control plane is cut off, each node becomes Unknown after 40 s, and all are at work."""
    cut_off = page(versioned(node("a", "Unknown")), versioned(node("b", "Unknown")), versioned(node("c", "False")))
    with pytest.raises(SourceError) as caught:
        wire.listing(cut_off.nodes)
    assert str(caught.value) == ("no node is Ready and 2 of 3 are Unknown; assuming a partitioned control plane")
    assert caught.value.trouble is Trouble.FLOOR


def test_that_all_nodes_say_themselves_they_are_not_ready_is_believed() -> None:
    said = page(versioned(node("a", "False")), versioned(node("b", "False")))
    assert [one.enabled for one in wire.listing(said.nodes).members] == [False, False]


def test_a_node_that_is_not_heard_of_counts_as_disabled_beside_one_that_is_ready() -> None:
    said = page(versioned(node("a", "Unknown")), versioned(node("b")))
    assert wire.listing(said.nodes).members == (Member("a", 1, enabled=False), B)


def test_nodes_left_out_say_nothing_about_the_control_plane() -> None:
    said = page(versioned(node("a", "Unknown", unschedulable=True)), versioned(node("b", "False")))
    assert wire.listing(said.nodes).members == (Member("b", 1, enabled=False),)


def test_differences_are_nodes_that_are_other_than_events_have_said() -> None:
    known = {"a": Node("5", A), "b": Node("6", B), "c": Node("6", Member("c", 1))}
    found = {"a": Node("5", None), "b": Node("7", B), "d": Node("6", Member("d", 1))}
    assert wire.differences(known, found, "8") == 3
    assert wire.differences(known, known, "8") == 0


def test_a_node_that_has_changed_since_is_no_difference() -> None:
    assert wire.differences({"a": Node("5", A)}, {"a": Node("9", None)}, "8") == 0


def test_versions_are_compared_as_numbers_where_they_are_such() -> None:
    assert wire.is_older("9", "10")
    assert not wire.is_older("10", "10")
    assert not wire.is_older("a", "b")
