r"""Regular expressions over bytes with a bounded time per byte, for any expression and any input.

Python's own backtrack: one unlucky response could stop all checks. These are Glushkov automata: a set of positions in the
expression, stepped once per byte. Features that need more are refused when the expression is parsed: back references,
look-around, possessive quantifiers, ``\b``, and ``^`` and ``$`` anywhere but at the ends. Lazy quantifiers mean the same as
greedy ones, because the only result is whether there is a match.
"""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import override

from pybal.config.expression import NEWLINE, All, Any, Node, Parser, PatternError, Repeat, Set

FOUND = -1
MOST_POSITIONS = 500
"""Characters of an expression at most, with repetitions written out."""

_MOST_STATES = 1000


def _size(node: Node) -> int:
    match node:
        case Set():
            return 1
        case Repeat(part, least, most):
            return _size(part) * max(1, least if most is None else most)
        case All(parts) | Any(parts):
            return sum(map(_size, parts))


class _Automaton:
    """The positions of an expression, each a bit, and the positions that may follow each."""

    def __init__(self) -> None:
        self.members: list[int] = []
        self.follow: list[int] = []

    def add(self, node: Node) -> tuple[bool, int, int]:
        """Add the positions of a node; return whether it matches the empty text, and its first and last ones."""
        match node:
            case Set(members):
                position = 1 << len(self.members)
                self.members.append(members)
                self.follow.append(0)
                return False, position, position
            case All(parts):
                return self._chain(self.add(part) for part in parts)
            case Any(parts):
                added = [self.add(part) for part in parts]
                return any(e for e, _, _ in added), _union(f for _, f, _ in added), _union(z for _, _, z in added)
            case Repeat(part, least, most):
                return self._chain(self._times(part, least, most))

    def _times(self, part: Node, least: int, most: int | None) -> Iterator[tuple[bool, int, int]]:
        loops = most is None
        for number in range(max(1, least) if most is None else most):
            empty, first, last = self.add(part)
            if loops and number + 1 >= least:
                self._join(last, first)
            yield empty or number >= least, first, last

    def _chain(self, parts: Iterator[tuple[bool, int, int]]) -> tuple[bool, int, int]:
        empty, first, last = True, 0, 0
        for then_empty, then_first, then_last in parts:
            self._join(last, then_first)
            first |= then_first if empty else 0
            last = then_last | (last if then_empty else 0)
            empty = empty and then_empty
        return empty, first, last

    def _join(self, last: int, first: int) -> None:
        for position in _positions(last):
            self.follow[position] |= first


def _union(sets: Iterator[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found


def _positions(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


class Pattern:
    """A compiled expression; equal if the text is. Raises :class:`PatternError`."""

    __slots__ = ("_always", "_empty", "_follow", "_from_start", "_last", "_rows", "_taking", "_to_end", "start", "text")

    def __init__(self, text: str) -> None:
        reader = Parser(text)
        node = reader.read()
        if reader.to_end:
            node = All((node, Repeat(Set(1 << NEWLINE), 0, 1)))  # like Python
        if _size(node) > MOST_POSITIONS:
            raise PatternError(f"more than {MOST_POSITIONS} characters, repeated ones counted")
        automaton = _Automaton()
        self.text = text
        self._from_start, self._to_end = reader.from_start, reader.to_end
        self._empty, first, self._last = automaton.add(node)
        self._follow = [*automaton.follow, first]
        self._always, self.start = (0, 1 << len(automaton.follow)) if reader.from_start else (first, 0)
        self._taking = [
            _union(1 << at for at, members in enumerate(automaton.members) if members >> byte & 1)
            for byte in range(256)
        ]
        self._rows: dict[int, list[int | None]] = {}

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    @override
    def __hash__(self) -> int:
        return hash(self.text)

    @override
    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def search(self) -> Search:
        """Return a new search."""
        return Search(self)

    def row(self, state: int) -> list[int | None]:
        """Return the state after each byte, ``None`` if not computed yet."""
        found = self._rows.get(state)
        if found is None:
            if len(self._rows) >= _MOST_STATES:
                self._rows.clear()
            found = self._rows[state] = [None] * 256
        return found

    def step(self, state: int, byte: int) -> int:
        """Return the state after a byte, ``FOUND`` if further bytes cannot change the match."""
        candidates = self._always
        for position in _positions(state):
            candidates |= self._follow[position]
        following = candidates & self._taking[byte]
        return FOUND if following & self._last and not self._to_end else following

    def matches_nothing(self) -> bool:
        """Return whether the empty text is a match."""
        return self._empty and not self._to_end

    def matches_at_end(self, state: int) -> bool:
        """Return whether it is a match if the text ends here."""
        if not self._to_end:
            return False
        return bool(state & self._last) or (self._empty and (state == self.start or not self._from_start))


class Search:
    """A search in bytes fed in pieces; ``found`` is set once further bytes cannot change the match."""

    __slots__ = ("_state", "found", "pattern")

    def __init__(self, pattern: Pattern) -> None:
        self.found = pattern.matches_nothing()
        self.pattern = pattern
        self._state = pattern.start

    def feed(self, data: bytes) -> None:
        if self.found:
            return
        pattern, state = self.pattern, self._state
        row = pattern.row(state)
        for byte in data:
            following = row[byte]
            if following is None:
                following = row[byte] = pattern.step(state, byte)
            if following != state:
                if following == FOUND:
                    self.found = True
                    return
                state = following
                row = pattern.row(state)
        self._state = state

    def end(self) -> bool:
        """End the text; return whether there was a match."""
        return self.found or self.pattern.matches_at_end(self._state)
