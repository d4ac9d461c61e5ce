"""Documents of any content from a Kubernetes API, and events in any order."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pybal.sources.base import SourceError
from pybal.sources.kubernetes import wire
from pybal.sources.kubernetes.wire import Node
from tests.harness.servers.kubernetes import node

NAMES = st.sampled_from(["a", "b", "c", "d"])
READY = st.sampled_from(["True", "False", "Unknown"])
GOOD = st.builds(lambda name, ready, off: node(name, ready, unschedulable=off), NAMES, READY, st.booleans())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["True", "9"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "status", "conditions", "unschedulable", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ("metadata", "spec", "status", "kind", "items", "type", "object", "resourceVersion", "name", "continue")


@st.composite
def mangled(draw: st.DrawFn) -> dict[str, Any]:
    """Return a node with one part replaced at random."""
    document = draw(GOOD)
    part = draw(st.sampled_from(["spec", "status"]))
    return document | {part: draw(JSON)}


def versioned(document: dict[str, Any], version: int) -> dict[str, Any]:
    return document | {"metadata": document["metadata"] | {"resourceVersion": str(version)}}


def line(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode()


def body(documents: list[dict[str, Any]], version: int) -> bytes:
    found = {"kind": "NodeList", "metadata": {"resourceVersion": str(version)}, "items": documents}
    return json.dumps(found).encode()


@given(
    st.binary(max_size=30)
    | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4).map(lambda d: json.dumps(d).encode())
)
def test_arbitrary_bytes_are_parsed_or_refused(data: bytes) -> None:
    for read in (wire.page, wire.event):
        with suppress(SourceError):
            read(data)


@given(st.lists(GOOD | mangled(), max_size=5))
def test_node_is_a_member_or_omitted_or_a_problem(documents: list[dict[str, Any]]) -> None:
    found = wire.page(body([versioned(one, 5) for one in documents], 9)).nodes
    assert found.keys() == {one["metadata"]["name"] for one in documents}
    for name, one in found.items():
        assert one.member is None or (one.member.host == name and one.member.weight == 1)
        assert one.member is None or not one.problem
        assert one.problem == "" or f"host {name}: " in one.problem


@given(st.lists(st.tuples(st.booleans(), GOOD | mangled()), max_size=20), st.integers(0, 20))
def test_list_with_events_equals_a_later_list(history: list[tuple[bool, dict[str, Any]]], cut: int) -> None:
    """Only invalid nodes differ: with events they keep their last good values."""
    documents: dict[str, dict[str, Any]] = {}
    followed: dict[str, Node] = {}
    for version, (deletes, document) in enumerate(history, 1):
        name = document["metadata"]["name"]
        stated = versioned(document, version)
        if deletes and name in documents:
            del documents[name]
            wire.apply(followed, wire.event(line("DELETED", stated)))
        else:
            kind = "MODIFIED" if name in documents else "ADDED"
            documents[name] = stated
            wire.apply(followed, wire.event(line(kind, stated)))
        if version == cut:
            followed = wire.relisted(followed, wire.page(body(list(documents.values()), version)).nodes)
    listed = wire.page(body(list(documents.values()), len(history))).nodes
    assert wire.relisted(followed, listed) == followed
    assert wire.differences(followed, listed, str(len(history))) == 0
