"""What a Kubernetes API server says of its nodes: lists in pages, the events of a watch, refusals. Pure.

Each answer is one object; that of a watch is one object on each line, for as long as it was asked for.

=========  ================================================================================================
document   fields
=========  ================================================================================================
NodeList   kind, metadata: resourceVersion, continue; items: nodes. ``continue`` is to be sent for the next page
node       metadata: name, resourceVersion; spec: unschedulable; status: conditions: type, status
event      type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; object: a node (of a BOOKMARK its resourceVersion only), or
           a Status
Status     kind, code, message. 410 means that what was asked for is no longer known: to be listed again
=========  ================================================================================================

As in PyBal 1.15 a node is a member by its name, with weight 1, enabled if its condition Ready is True; one that is
unschedulable is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble
from pybal.sources.formats.entry import Entry, Refused, integer, member, shown
from pybal.sources.formats.text import Listing

WEIGHT = 1

_GONE = 410
_DENIED = frozenset((401, 403))
_READY = {"True": True, "False": False, "Unknown": False}
_LONGEST_SHOWN = 160
_LONGEST_VERSION, _LONGEST_CONTINUE = 64, 8192
_Part = TypeVar("_Part", dict[str, Any], list[Any])


class Expired(SourceError):  # noqa: N818  # it is told by this name
    """What was to be continued, or watched from, is no longer known to the server."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a node counts for, at a ``version`` of it.

    ``member`` is ``None`` where it takes no part in the pool. ``heard`` tells whether its condition is the word of its own
    kubelet. With a ``problem`` the rest is what was last good.
    """

    version: str = field(compare=False)
    member: Member | None
    heard: bool = True
    problem: str = ""


Nodes = Mapping[str, Node]
"""Nodes by their names."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some nodes at a ``version`` of all; ``rest`` is what the next page is asked for with, empty for the last one."""

    nodes: Nodes
    version: str
    rest: str


@dataclass(frozen=True, slots=True)
class Event:
    """All that happened until ``version``: what became of a node, ``None`` if it is gone; or of none, without a ``name``."""

    version: str
    name: str = ""
    node: Node | None = None


def page(body: bytes) -> Page:
    """Return what an answer to the question for nodes says. Raises :class:`SourceError`."""
    document = _object(body)
    try:
        metadata, items = document["metadata"], document["items"]
        if document["kind"] != "NodeList" or not isinstance(items, list):
            raise ValueError  # noqa: TRY301  # one wording for all that is no list
        nodes = dict(_node(item) for item in items)
        return Page(nodes, _text(metadata["resourceVersion"], _LONGEST_VERSION), _rest(metadata))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _malformed(body) from None


def event(line: bytes) -> Event:
    """Return what a line of a watch says. Raises :class:`SourceError`, :class:`Expired` if all is to be listed again."""
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


def refused(status: int, body: bytes) -> SourceError:
    """Return what an answer means whose status is not 200."""
    try:
        document = _object(body)
    except SourceError:
        return _refusal(status, "")
    return _refusal(status, document.get("message") if document.get("kind") == "Status" else "")


def applied(known: Nodes, found: Event) -> Nodes:
    """Return the nodes after an event: the same ones, if it makes no difference."""
    before = known.get(found.name)
    node = found.node and _with_last_good(found.node, before)
    if node == before:
        return known
    others = {name: other for name, other in known.items() if name != found.name}
    return {**others, found.name: node} if node else others


def relisted(known: Nodes, found: Nodes) -> Nodes:
    """Return the nodes of a new list, those with a problem as they were before."""
    return {name: _with_last_good(node, known.get(name)) for name, node in found.items()}


def listing(nodes: Nodes) -> Listing:
    """Return the members that nodes make, in the order of their names.

    Raises :class:`SourceError` where none is ready and some are not heard of: it is not that all have failed at once, but
    that the control plane is cut off from them.
    """
    members = tuple(node.member for _, node in sorted(nodes.items()) if node.member)
    unheard = sum(not node.heard for node in nodes.values() if node.member)
    if unheard and not any(one.enabled for one in members):
        raise SourceError(
            f"of {len(members)} nodes none is ready and {unheard} are not heard of (Ready is Unknown), "
            "wanted one that is ready",
            Trouble.FLOOR,
        )
    return Listing(members, tuple(node.problem for _, node in sorted(nodes.items()) if node.problem))


def differences(known: Nodes, found: Nodes, version: str) -> int:
    """Return how many nodes of a new list are other than ``known`` as of ``version``, without those changed since."""
    return sum(1 for _ in _differing(known, found, version)) + len(known.keys() - found.keys())


def is_older(version: str, other: str) -> bool:
    """Tell whether one version is certainly before another: numbers they are by custom only."""
    return version.isdecimal() and other.isdecimal() and int(version) < int(other)


def _differing(known: Nodes, found: Nodes, version: str) -> Iterator[str]:
    for name, node in found.items():
        if known.get(name) != node and not node.problem and not is_older(version, node.version):
            yield name


def _with_last_good(node: Node, before: Node | None) -> Node:
    if not node.problem or before is None:
        return node
    return replace(node, member=before.member, heard=before.heard)


def _node(item: Mapping[str, Any]) -> tuple[str, Node]:
    """Return the name of a node, and what a document says of it."""
    metadata = item["metadata"]
    name, version = metadata.get("name"), _text(metadata["resourceVersion"], _LONGEST_VERSION)
    try:
        found = member(Entry("", name, {"weight": WEIGHT}, ""), ())
    except Refused as refused:
        return shown(name), Node(version, None, problem=str(refused))
    try:
        return name, _judged(item, found, version)
    except Refused as refused:
        return name, Node(version, None, problem=f"host {name}: {refused}")


def _judged(item: Mapping[str, Any], found: Member, version: str) -> Node:
    unschedulable = _part(item, "spec", {}).get("unschedulable", False)
    if not isinstance(unschedulable, bool):
        raise Refused(f"unschedulable {shown(unschedulable)}, wanted true or false")
    conditions = _part(_part(item, "status", {}), "conditions", [])
    ready = [one.get("status") for one in conditions if isinstance(one, dict) and one.get("type") == "Ready"]
    # A node is without until its kubelet has said something.
    said = ready[0] if ready else "Unknown"
    if not isinstance(said, str) or said not in _READY:
        raise Refused(f"condition Ready {shown(said)}, wanted True, False or Unknown")
    return Node(version, None if unschedulable else replace(found, enabled=_READY[said]), said != "Unknown")


def _part(item: Mapping[str, Any], name: str, default: _Part) -> _Part:
    part = item.get(name, default)
    if not isinstance(part, type(default)):
        raise Refused(f"{name} {shown(part)}, wanted {'an object' if isinstance(default, dict) else 'a list'}")
    return part


def _rest(metadata: Mapping[str, Any]) -> str:
    rest = metadata.get("continue", "")
    return _text(rest, _LONGEST_CONTINUE) if rest != "" else ""


def _text(value: object, longest: int) -> str:
    # It goes into the next request.
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isascii() or not value.isprintable():
        raise ValueError(value)
    return value


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body, parse_int=integer)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _malformed(body)
    return document


def _malformed(body: bytes) -> SourceError:
    said = _shortened(body[: 2 * _LONGEST_SHOWN].decode("utf-8", "replace"))
    return SourceError(f"no answer of a Kubernetes API server about nodes: {said!r}", Trouble.MALFORMED)


def _refusal(code: object, message: object) -> SourceError:
    said = f" ({_shortened(message)})" if isinstance(message, str) and message else ""
    text = f"HTTP {shown(code)}{said}, wanted 200"
    if code == _GONE:
        return Expired(text, Trouble.FAILED)
    return SourceError(text, Trouble.DENIED if code in _DENIED else Trouble.FAILED)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
