"""JSON documents of the Kubernetes API for nodes: list pages, watch events, errors. Pure.

A response is one object; that of a watch is one object per line until the requested time has passed.

=========  ================================================================================================
document   fields
=========  ================================================================================================
NodeList   kind, metadata: resourceVersion, continue; items: nodes. ``continue`` selects the next page
node       metadata: name, resourceVersion; spec: unschedulable; status: conditions: type, status
event      type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; object: a node (of a BOOKMARK its resourceVersion only), or
           a Status
Status     kind, code, message. 410: the requested version has expired; list again
=========  ================================================================================================

As in PyBal 1.15 a node is a member with its name as host and weight 1; see :mod:`pybal.sources.kubernetes.members`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats import bounded_json
from pybal.sources.formats.entry import Entry, Refused, member, shown

WEIGHT = 1

_GONE = 410
_DENIED = frozenset((401, 403))
_READY = {"True": True, "False": False, "Unknown": None}
_LONGEST_SHOWN = 160
_LONGEST_VERSION, _LONGEST_CONTINUE = 64, 8192
_Part = TypeVar("_Part", dict[str, Any], list[Any])


class Expired(SourceError):  # noqa: N818  # the term of the API
    """The server no longer has the version to continue or to watch from."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node at its ``version``.

    ``member`` is ``None`` if the node was never valid. ``ready`` is its condition Ready, ``None`` if that is Unknown: its kubelet does
    not report. ``cordoned`` is whether it is unschedulable. A node with a ``problem`` has the last good values.
    """

    version: str = field(compare=False)
    member: Member | None
    ready: bool | None = True
    cordoned: bool = False
    problem: str = ""


Nodes = Mapping[str, Node]
"""Nodes by their names."""


@dataclass(frozen=True, slots=True)
class Page:
    """Nodes at a ``version`` of the list; ``rest`` selects the next page, empty on the last one."""

    nodes: Nodes
    version: str
    rest: str


@dataclass(frozen=True, slots=True)
class Event:
    """A change at ``version``: the new state of a node, ``None`` if deleted; a bookmark has no name."""

    version: str
    name: str = ""
    node: Node | None = None


def page(body: bytes) -> Page:
    """Return a page of the node list. Raises :class:`SourceError`."""
    document = _object(body)
    try:
        metadata, items = document["metadata"], document["items"]
        if document["kind"] != "NodeList" or not isinstance(items, list):
            raise ValueError  # noqa: TRY301  # one text for every invalid document
        nodes = dict(_node(item) for item in items)
        return Page(nodes, _text(metadata["resourceVersion"], _LONGEST_VERSION), _rest(metadata))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(body) from None


def event(line: bytes) -> Event:
    """Return the event in a line of a watch. Raises :class:`SourceError`, or :class:`Expired`."""
    document = _object(line)
    try:
        kind, item = document["type"], document["object"]
        if kind == "ERROR":
            raise _refusal(item.get("code"), item.get("message"))
        if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise ValueError  # noqa: TRY301  # as above
        version = _text(item["metadata"]["resourceVersion"], _LONGEST_VERSION)
        if kind == "BOOKMARK":
            return Event(version)
        name, node = _node(item)
        return Event(version, name, None if kind == "DELETED" else node)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(line) from None


def error_response(status: int, body: bytes) -> SourceError:
    """Return the error of a response whose status is not 200."""
    try:
        document = _object(body)
    except SourceError:
        return _refusal(status, "")
    return _refusal(status, document.get("message") if document.get("kind") == "Status" else "")


def apply(known: dict[str, Node], found: Event) -> bool:
    """Change the nodes by an event; return whether it differs from what is known."""
    before = known.get(found.name)
    node = found.node and _with_last_good(found.node, before)
    if node == before:
        return False
    if node:
        known[found.name] = node
    else:
        del known[found.name]
    return True


def relisted(known: Nodes, found: Nodes) -> dict[str, Node]:
    """Return the nodes of a new list; invalid nodes keep their last good values."""
    return {name: _with_last_good(node, known.get(name)) for name, node in found.items()}


def differences(known: Nodes, found: Nodes, version: str) -> int:
    """Return how many nodes of a new list differ from ``known``, except nodes changed after ``version``."""
    return sum(1 for _ in _differing(known, found, version)) + len(known.keys() - found.keys())


def is_older(version: str, other: str) -> bool:
    """Return whether a version is older than another; False unless both are numbers."""
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)


def _differing(known: Nodes, found: Nodes, version: str) -> Iterator[str]:
    for name, node in found.items():
        if known.get(name) != node and not node.problem and not is_older(version, node.version):
            yield name


def _with_last_good(node: Node, before: Node | None) -> Node:
    if not node.problem or before is None:
        return node
    return replace(node, member=before.member, ready=before.ready, cordoned=before.cordoned)


def _node(item: Mapping[str, Any]) -> tuple[str, Node]:
    """Return the name and the state of a node."""
    metadata = item["metadata"]
    name, version = metadata.get("name"), _text(metadata["resourceVersion"], _LONGEST_VERSION)
    try:
        found = member(Entry("", name, {"weight": WEIGHT}, ""), ())
    except Refused as refused:
        return shown(name), Node(version, None, None, problem=str(refused))
    try:
        return name, _validated(item, found, version)
    except Refused as refused:
        return name, Node(version, None, None, problem=f"host {name}: {refused}")


def _validated(item: Mapping[str, Any], found: Member, version: str) -> Node:
    unschedulable = _part(item, "spec", {}).get("unschedulable", False)
    if not isinstance(unschedulable, bool):
        raise Refused(f"unschedulable {shown(unschedulable)}, wanted true or false")
    conditions = _part(_part(item, "status", {}), "conditions", [])
    ready = [one.get("status") for one in conditions if isinstance(one, dict) and one.get("type") == "Ready"]
    # A new node has no conditions until its kubelet reports.
    condition = ready[0] if ready else "Unknown"
    if not isinstance(condition, str) or condition not in _READY:
        raise Refused(f"condition Ready {shown(condition)}, wanted True, False or Unknown")
    return Node(version, found, _READY[condition], unschedulable)


def _part(item: Mapping[str, Any], name: str, default: _Part) -> _Part:
    part = item.get(name, default)
    if not isinstance(part, type(default)):
        raise Refused(f"{name} {shown(part)}, wanted {'an object' if isinstance(default, dict) else 'a list'}")
    return part


def _rest(metadata: Mapping[str, Any]) -> str:
    rest = metadata.get("continue", "")
    return _text(rest, _LONGEST_CONTINUE) if rest != "" else ""


def _text(value: object, longest: int) -> str:
    # It becomes part of the next request.
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isascii() or not value.isprintable():
        raise ValueError(value)
    return value


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = bounded_json.load(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed(body)
    return document


def _malformed(body: bytes) -> SourceError:
    found = _shortened(body[: 2 * _LONGEST_SHOWN].decode("utf-8", "replace"))
    return SourceError(f"not a Kubernetes node document: {found!r}", Trouble.MALFORMED)


def _refusal(code: object, message: object) -> SourceError:
    detail = f" ({_shortened(message)})" if isinstance(message, str) and message else ""
    text = f"HTTP {shown(code)}{detail}, wanted 200"
    if code == _GONE:
        return Expired(text, Trouble.FAILED)
    return SourceError(text, Trouble.DENIED if code in _DENIED else Trouble.FAILED)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
