"""Parses pool lists in YAML into entries with their line numbers. Pure.

::

    HOST: { weight: INTEGER, enabled: true }        - host: HOST
    HOST:                                             weight: INTEGER
      weight: INTEGER                                 enabled: true

The parser's events are used, because the values that PyYAML constructs hide duplicate hosts and line numbers, and turn
``010`` into eight and ``2001:10:20`` into a number. Hosts are always strings. Integers are decimal digits; booleans are
those of YAML 1.1, as in PyYAML. An alias shares the node of its anchor and is never copied. Tags, ``<<``, further documents
and excessive depth or size are refused, because a list of servers does not need them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from pybal.sources.formats.entry import Entry, Refused, integer, shown

DEEPEST = 8
"""Deepest nesting of collections: entries need two levels, and values of other keys may need more."""

MOST_NODES = 100_000
"""Largest number of scalars and collections, six times that of a list of 3,000 servers."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_BOOLEANS = {
    form: value
    for words, value in (("true yes on", True), ("false no off", False))
    for word in words.split()
    for form in (word, word.capitalize(), word.upper())
}
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_WANTED = "wanted {weight: INTEGER, enabled: true}"


@dataclass(frozen=True, slots=True)
class _Node:
    """A scalar, a list of nodes, or a tuple of pairs of nodes, with its line number."""

    value: object
    line: int
    text: str | None = None
    """The source text of a scalar, ``None`` for collections and null."""


def entries(data: bytes) -> Iterator[Entry]:
    """Yield an entry for each host. Raises :class:`Refused` if the document is not a list of hosts."""
    root = _document(data)
    if isinstance(root.value, tuple):
        for key, node in root.value:
            yield _entry(key.text if key.text is not None else key.value, node, key.line)
    elif isinstance(root.value, list):
        for node in root.value:
            fields = node.value if isinstance(node.value, tuple) else ()
            host = next((value for key, value in fields if key.text == "host"), None)
            name = None if host is None else host.value if host.text is None else host.text
            yield _entry(name, node, node.line)
    else:
        raise Refused(f"line {root.line}: {shown(root.value)}, wanted a mapping of hosts, or a list")


def is_delimited(data: bytes) -> bool:
    """Return whether the document ends with a delimiter, so that truncation would be an error."""
    return data.rstrip().endswith((b"}", b"]", b"\n..."))


def _entry(host: object, node: _Node, line: int) -> Entry:
    place = f"line {line}: "
    if not isinstance(node.value, tuple):
        return Entry(place, host, None, f"host {shown(host)}: {_WANTED}")
    fields: dict[str, object] = {}
    for key, value in node.value:
        name = key.text
        if name is None or name == "<<":
            return Entry(place, host, None, f"{shown(name or key.value)} of host {shown(host)}, {_WANTED}")
        if name in fields:
            return Entry(place, host, None, f"duplicate key {shown(name)} of host {shown(host)}")
        fields[name] = value.value
    return Entry(place, host, fields, "")


def _document(data: bytes) -> _Node:
    """Return the only document."""
    try:
        return _Composer(data.decode("utf-8-sig")).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise Refused(f"{place}not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"not YAML: {str(error).splitlines()[0]}") from None


class _Composer:
    """Composes nodes from the parser's events, within the limits of number and depth."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, LOADER)
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0

    def document(self) -> _Node:
        next(self._events)
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise Refused("empty document, wanted {} for no servers")
        root = self._node(next(self._events), 0)
        next(self._events)
        if isinstance(event := next(self._events), yaml.DocumentStartEvent):
            raise Refused(f"line {_line(event)}: second document, wanted one")
        return root

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        line = _line(event)
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Refused(f"line {line}: more than {MOST_NODES} values")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise Refused(f"line {line}: alias {shown(event.anchor)} without an anchor before it")
            return self._anchors[event.anchor]
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)  # noqa: S101  # guaranteed by the parser
        if event.tag is not None:
            raise Refused(f"line {line}: tag {shown(event.tag)}, wanted none")
        node = _scalar(event) if isinstance(event, yaml.ScalarEvent) else self._collection(event, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: yaml.CollectionStartEvent, depth: int) -> _Node:
        if depth > DEEPEST:
            raise Refused(f"line {_line(event)}: nested more than {DEEPEST} levels deep")
        nodes = []
        while not isinstance(inner := next(self._events), yaml.CollectionEndEvent):
            nodes.append(self._node(inner, depth))
        if isinstance(event, yaml.MappingStartEvent):
            return _Node(tuple(zip(nodes[::2], nodes[1::2], strict=True)), _line(event))
        return _Node(nodes, _line(event))


def _scalar(event: yaml.ScalarEvent) -> _Node:
    text, line = event.value, _line(event)
    if event.style:  # quoted, or a block scalar
        return _Node(text, line, text)
    if text in _NULLS:
        return _Node(None, line)
    if _INTEGER.fullmatch(text):
        return _Node(integer(text), line, text)
    return _Node(_BOOLEANS.get(text, text), line, text)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark else 0
