r"""Regular expressions over bytes with a bounded time per byte, for any expression and any input.

Python's own backtrack: one unlucky response could stop all checks. These are Glushkov automata: a set of positions in the
expression, stepped once per byte. Features that need more are refused when the expression is parsed: back references,
look-around, possessive quantifiers, ``\b``, and ``^`` and ``$`` anywhere but at the ends. Lazy quantifiers mean the same as
greedy ones, because the only result is whether there is a match.

A step from all positions to those after them is a shift of bits; positions that lead elsewhere are grouped by the set they lead to.
States and their steps are stored as they are found, up to a limit; beyond it each byte is stepped. A stored step takes 0.1 µs, one
that is not about 1 µs, and :meth:`Search.work` limits both.
"""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import override

from pybal.config.expression import NEWLINE, All, Any, Node, Parser, PatternError, Repeat, Set

FOUND = -1
MOST_CHARACTERS = 4096
"""Length of an expression at most, as it is written."""
MOST_POSITIONS = 500
"""Characters of an expression at most, with repetitions written out."""

_MOST_STATES = 1000
_UNKNOWN: list[int | None] = [None] * 256
"""The steps of a state that is not stored; never written."""
_BYTES_AT_ONCE = 16 * 1024
_MICROSECONDS_AT_ONCE = 2000.0
_STEP, _JUMP = 1.5, 0.1
"""Microseconds of a step that is not stored: in any case, and for each group of positions."""


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
                return self._chain(self._unlimited(part, least) if most is None else self._limited(part, least, most))

    def _unlimited(self, part: Node, least: int) -> Iterator[tuple[bool, int, int]]:
        for number in range(max(1, least)):
            empty, first, last = self.add(part)
            if number + 1 >= least:
                self._join(last, first)
            yield empty or number >= least, first, last

    def _limited(self, part: Node, least: int, most: int) -> Iterator[tuple[bool, int, int]]:
        for _ in range(least):
            yield self.add(part)
        if most > least:
            yield self._optional([self.add(part) for _ in range(most - least)])

    def _optional(self, added: list[tuple[bool, int, int]]) -> tuple[bool, int, int]:
        """Join repeated parts as in ``(a(a(a)?)?)?``: each is followed by the next one only."""
        _, first, last = added.pop()
        for empty, before_first, before_last in reversed(added):
            self._join(before_last, first)
            first = before_first | (first if empty else 0)
            last |= before_last
        return True, first, last

    def _chain(self, parts: Iterator[tuple[bool, int, int]]) -> tuple[bool, int, int]:
        # From the last part on, so that each position is joined once.
        empty, first, last = True, 0, 0
        for before_empty, before_first, before_last in reversed(list(parts)):
            self._join(before_last, first)
            first = before_first | (first if before_empty else 0)
            last |= before_last if empty else 0
            empty = empty and before_empty
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
    digits = bin(bits)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def _grouped(follow: list[int]) -> tuple[int, list[tuple[int, int]]]:
    """Return the positions that the next one follows, and groups of those that others follow."""
    shifted = 0
    groups: dict[int, int] = {}
    for at, following in enumerate(follow):
        position = 1 << at
        if following & position << 1:
            shifted |= position
        if others := following & ~(position << 1):
            groups[others] = groups.get(others, 0) | position
    return shifted, [(positions, others) for others, positions in groups.items()]


class Pattern:
    """A compiled expression; equal if the text is. Raises :class:`PatternError`."""

    __slots__ = (
        "_always",
        "_empty",
        "_from_start",
        "_jumps",
        "_last",
        "_rows",
        "_shifted",
        "_taking",
        "_to_end",
        "share",
        "start",
        "text",
    )

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise PatternError(f"more than {MOST_CHARACTERS} characters")
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
        self._shifted, self._jumps = _grouped([*automaton.follow, first])
        self.share = int(_MICROSECONDS_AT_ONCE / (_STEP + _JUMP * len(self._jumps)))
        """Steps, not stored, that take about two milliseconds."""
        self._always, self.start = (0, 1 << len(automaton.follow)) if reader.from_start else (first, 0)
        alike: dict[int, int] = {}
        for at, members in enumerate(automaton.members):
            alike[members] = alike.get(members, 0) | 1 << at
        self._taking = [
            _union(positions for members, positions in alike.items() if members >> byte & 1) for byte in range(256)
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
        if len(self._rows) >= _MOST_STATES:
            self._rows.clear()  # those of other responses may be more useful
        return Search(self)

    def row(self, state: int) -> list[int | None]:
        """Return the stored states after each byte, ``None`` if not computed yet."""
        found = self._rows.get(state)
        if found is None:
            if len(self._rows) >= _MOST_STATES:
                return _UNKNOWN
            found = self._rows[state] = [None] * 256
        return found

    def step(self, row: list[int | None], state: int, byte: int) -> int:
        """Compute the state after a byte, ``FOUND`` if further bytes cannot change the match.

        Store it in ``row``.
        """
        candidates = self._always | (state & self._shifted) << 1
        for positions, following in self._jumps:
            if state & positions:
                candidates |= following
        state = candidates & self._taking[byte]
        if state & self._last and not self._to_end:
            state = FOUND
        if row is not _UNKNOWN:
            row[byte] = state
        return state

    def matches_nothing(self) -> bool:
        """Return whether the empty text is a match."""
        return self._empty and not self._to_end

    def matches_at_end(self, state: int) -> bool:
        """Return whether it is a match if the text ends here."""
        if not self._to_end:
            return False
        return bool(state & self._last) or (self._empty and (state == self.start or not self._from_start))


class Search:
    """A search in bytes fed in pieces; ``found`` is set once further bytes cannot change the match.

    :meth:`feed` only stores a piece; :meth:`work` searches.
    """

    __slots__ = ("_pieces", "_state", "found", "pattern")

    def __init__(self, pattern: Pattern) -> None:
        self.found = pattern.matches_nothing()
        self.pattern = pattern
        self._state = pattern.start
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        if not self.found:
            self._pieces.append(data)

    def work(self) -> bool:
        """Search for at most a few milliseconds; return whether all bytes fed so far were searched."""
        data = b"".join(self._pieces)
        rest = b"" if self.found else self._search(data[:_BYTES_AT_ONCE]) + data[_BYTES_AT_ONCE:]
        self._pieces = [rest] if rest and not self.found else []
        return not self._pieces

    def end(self) -> bool:
        """End the text; return whether there was a match."""
        while not self.work():
            pass
        return self.found or self.pattern.matches_at_end(self._state)

    def _search(self, data: bytes) -> bytes:
        """Search until a match, or the limit of steps; return the rest of the data."""
        pattern, state, left = self.pattern, self._state, self.pattern.share
        row = pattern.row(state)
        rest = iter(data)
        for byte in rest:
            following = row[byte]
            if following is None:
                following = pattern.step(row, state, byte)
                left -= 1
            if following != state:
                if following == FOUND:
                    self.found = True
                    return b""
                state = following
                row = pattern.row(state)
            if not left:
                break
        self._state = state
        return bytes(rest)
