"""Parses pool lists in YAML into entries with their line numbers. Pure.

::

    HOST: { weight: INTEGER, enabled: true }        - host: HOST
    HOST:                                             weight: INTEGER
      weight: INTEGER                                 enabled: true

The parser's events are used, because the values that PyYAML constructs hide duplicate hosts and line numbers, and turn
``010`` into eight and ``2001:10:20`` into a number, and because they take short steps. Hosts are always strings. Integers are decimal digits; booleans are
those of YAML 1.1, as in PyYAML. An alias shares the node of its anchor and is never copied. Tags, ``<<``, further documents
and excessive depth or size are refused, because a list of servers does not need them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import yaml

from pybal.sources.formats.entry import MOST_KEYS, Entry, Refused, integer, shown

DEEPEST = 8
"""Deepest nesting of collections: entries need two levels, and values of other keys may need more."""

MOST_NODES = 240_000
"""Largest number of scalars and collections: six for a host with a weight and a state."""

MOST_NODES_OF_A_HOST = 10 * MOST_KEYS
"""Largest number of scalars and collections of one host."""

LARGEST = 640 * 2**10
"""Largest document, in bytes: 12,000 servers.

A single text of this size of empty lines takes 47 ms on a slow machine.
"""

MOST_DIRECTIVES = 8
"""Largest number of lines that begin with ``%``: the parser compares each directive with the others."""

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


_DIRECTIVE = re.compile(r"(?:^|[\r\n\x85\u2028\u2029])%")


class _Node(NamedTuple):
    """A scalar, a list of nodes, or a tuple of pairs of nodes, with its line number."""

    value: object
    line: int
    text: str | None = None
    """The source text of a scalar, ``None`` for collections and null."""


def entries(data: bytes) -> Iterator[Entry]:
    """Yield an entry for each host. Raises :class:`Refused` if the document is not a list of hosts."""
    try:
        text = _text(data)
        yield from _entries(_Composer(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        if mark and _is_indented_with_tab(text, mark.line):
            raise Refused(f"{place}not YAML: found a tab in the indentation; expected blanks") from None
        raise Refused(f"{place}not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused(f"not YAML: {str(error).splitlines()[0]}") from None


def _is_indented_with_tab(text: str, line: int) -> bool:
    found = next(islice(text.splitlines(), line, None), "")
    return "\t" in found[: len(found) - len(found.lstrip())]


def _text(data: bytes) -> str:
    if len(data) > LARGEST:
        raise Refused(f"{len(data)} bytes, wanted at most {LARGEST} in YAML")
    text = data.decode("utf-8-sig")
    for number, _ in enumerate(_DIRECTIVE.finditer(text), 1):
        if number > MOST_DIRECTIVES:
            raise Refused(f"more than {MOST_DIRECTIVES} directives, wanted none")
    return text


def _entries(composer: _Composer) -> Iterator[Entry]:
    root = composer.root()
    if isinstance(root, yaml.MappingStartEvent):
        while key := composer.child():
            node = composer.child()
            assert node  # noqa: S101  # guaranteed by the parser
            yield _entry(key.text if key.text is not None else key.value, node, key.line)
    elif isinstance(root, yaml.SequenceStartEvent):
        while node := composer.child():
            fields = node.value if isinstance(node.value, tuple) else ()
            host = next((value for key, value in fields if key.text == "host"), None)
            name = None if host is None else host.value if host.text is None else host.text
            yield _entry(name, node, node.line)
    composer.end()
    if isinstance(root, _Node):
        raise Refused(f"line {root.line}: {shown(root.value)}, wanted a mapping of hosts, or a list")


def is_delimited(data: bytes) -> bool:
    """Return whether the document ends with a delimiter, so that truncation would be an error."""
    return data.rstrip().endswith((b"}", b"]", b"\n..."))


def _entry(host: object, node: _Node, line: int) -> Entry:
    place = f"line {line}: "
    if not isinstance(node.value, tuple):
        return Entry(place, host, None, f"host {shown(host)}: {_WANTED}")
    pairs: list[tuple[str, object]] = []
    for key, value in node.value:
        name = key.text
        if name is None or name == "<<":
            return Entry(place, host, None, f"{shown(name or key.value)} of host {shown(host)}, {_WANTED}")
        pairs.append((name, value.value))
    return Entry.of(place, host, pairs)


class _Composer:
    """Composes the children of the root from the parser's events, within the limits of number and depth."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, LOADER)
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0
        self._nodes_before = 0

    def root(self) -> yaml.CollectionStartEvent | _Node:
        """Return the start of the root, or the root itself if it is no collection."""
        next(self._events)
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise Refused("empty document, wanted {} for no servers")
        event = next(self._events)
        if not isinstance(event, yaml.CollectionStartEvent):
            return self._node(event, 0)
        if event.tag is not None:
            raise Refused(f"line {_line(event)}: tag {shown(event.tag)}, wanted none")
        return event

    def child(self) -> _Node | None:
        """Return the next child of the root, ``None`` after the last."""
        self._nodes_before = self._nodes
        event = next(self._events)
        return None if isinstance(event, yaml.CollectionEndEvent) else self._node(event, 1)

    def end(self) -> None:
        """Refuse a second document."""
        next(self._events)
        if isinstance(event := next(self._events), yaml.DocumentStartEvent):
            raise Refused(f"line {_line(event)}: second document, wanted one")

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        line = _line(event)
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Refused(f"line {line}: more than {MOST_NODES} values")
        if self._nodes - self._nodes_before > MOST_NODES_OF_A_HOST:
            raise Refused(f"line {line}: more than {MOST_NODES_OF_A_HOST} values of one host")
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
