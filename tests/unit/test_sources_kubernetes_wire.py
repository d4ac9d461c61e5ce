"""Documents of the Kubernetes API for nodes, and the members they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.wire import Event, Expired, Node, Page
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


def test_page_has_nodes_version_and_continuation() -> None:
    found = page(versioned(node("b"), 5), versioned(node("a"), 6), **{"continue": "abc"})
    assert found == Page({"b": Node("5", B), "a": Node("6", A)}, "9", "abc")
    assert page().rest == ""


def test_node_has_its_condition() -> None:
    assert only(node("a", "False")) == Node("7", A, ready=False)
    assert only(node("a", "Unknown")) == Node("7", A, ready=None)


def test_node_without_conditions_is_unknown() -> None:
    new = node("a")
    del new["status"]["conditions"]
    assert only(new) == Node("7", A, ready=None)


def test_unschedulable_node_is_cordoned() -> None:
    assert only(node("a", unschedulable=True)) == Node("7", A, cordoned=True)


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("spec", 5, "host a: spec 5, wanted an object"),
        ("spec", {"unschedulable": "yes"}, "host a: unschedulable 'yes', wanted true or false"),
        ("status", None, "host a: status None, wanted an object"),
        ("status", {"conditions": {}}, "host a: conditions an object, wanted a list"),
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
def test_invalid_node_is_reported_and_omits_no_other(part: str, value: object, problem: str) -> None:
    found = page(versioned(node("a")) | {part: value}, versioned(node("b")))
    assert [(one.member, one.problem) for one in found.nodes.values()] == [(None, problem), (B, "")]


def test_invalid_node_keeps_its_last_value() -> None:
    known = dict(page(versioned(node("a", "False")), versioned(node("b"))).nodes)
    bad = versioned(node("a"), 8) | {"spec": 5}
    kept = Node("8", A, ready=False, problem="host a: spec 5, wanted an object")
    assert wire.relisted(known, page(bad).nodes) == {"a": kept}
    assert wire.apply(known, event("MODIFIED", bad))
    assert known["a"] == kept


def test_events_add_change_and_remove_nodes() -> None:
    known: dict[str, Node] = {}
    for kind, document in (
        ("ADDED", versioned(node("a"), 10)),
        ("ADDED", versioned(node("b"), 11)),
        ("MODIFIED", versioned(node("a", "False"), 12)),
        ("DELETED", versioned(node("b"), 13)),
    ):
        found = event(kind, document)
        assert wire.apply(known, found)
        assert not wire.apply(known, found)
    assert known == {"a": Node("12", A, ready=False)}
    assert found.version == "13"


def test_bookmark_changes_only_the_version() -> None:
    found = event("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "20", "creationTimestamp": None}})
    assert found == Event("20")
    known = {"a": Node("7", A)}
    assert not wire.apply(known, found)
    assert known == {"a": Node("7", A)}


def test_expired_version_has_its_own_exception() -> None:
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
def test_error_response_contains_the_message_of_the_server(code: int, body: str, text: str, trouble: Trouble) -> None:
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
def test_invalid_page_is_refused(body: bytes) -> None:
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
def test_invalid_event_is_refused(line: bytes) -> None:
    with pytest.raises(SourceError, match=r"^not a Kubernetes node document"):
        wire.event(line)


def test_differences_counts_nodes_that_events_have_missed() -> None:
    known = {"a": Node("5", A), "b": Node("6", B), "c": Node("6", Member("c", 1))}
    found = {"a": Node("5", None), "b": Node("7", B), "d": Node("6", Member("d", 1))}
    assert wire.differences(known, found, "8") == 3
    assert wire.differences(known, known, "8") == 0


def test_node_changed_after_the_last_event_is_not_a_difference() -> None:
    assert wire.differences({"a": Node("5", A)}, {"a": Node("9", None)}, "8") == 0


def test_versions_are_compared_as_numbers() -> None:
    assert wire.is_older("9", "10")
    assert not wire.is_older("10", "10")
    assert not wire.is_older("a", "b")
