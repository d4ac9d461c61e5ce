r"""Parser of the regular expressions over bytes that :mod:`pybal.config.pattern` supports.

alternatives = sequence { "|" sequence }
sequence     = { atom [ "*" | "+" | "?" | "{n}" | "{n,}" | "{n,m}" ] [ "?" ] }
atom         = "(" ["?:"] alternatives ")" | "[" ["^"] members "]" | "." | "\" escape | character
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DEEPEST = 50
NEWLINE = 10
_COUNTS = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{0,4}))?\}")


def _bits(members: Iterator[int] | bytes | range) -> int:
    found = 0
    for member in members:
        found |= 1 << member
    return found


_ALL = (1 << 256) - 1
_CLASSES = {
    "d": _bits(b"0123456789"),
    "s": _bits(b" \t\n\r\f\v"),
    "w": _bits(byte for byte in range(128) if chr(byte).isalnum() or byte == ord("_")),
}
_CLASSES |= {name.upper(): _ALL & ~members for name, members in _CLASSES.items()}
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "a": 7, "0": 0}


class PatternError(ValueError):
    """An unsupported or invalid expression; the message names the reason."""


@dataclass(frozen=True, slots=True)
class Set:
    """One byte of a set; bit n of ``members`` is byte n."""

    members: int


@dataclass(frozen=True, slots=True)
class All:
    """A sequence."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Alternatives."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repetition; ``most`` is ``None`` if unlimited."""

    part: Node
    least: int
    most: int | None


Node = Set | All | Any | Repeat

_EMPTY = All(())
"""The empty text; never a part of a sequence or a repetition, whose copies would have no limit."""


class Parser:
    """Parses an expression; ``from_start`` and ``to_end`` are set by ``^`` and ``$``."""

    def __init__(self, text: str) -> None:
        self._caseless = text.startswith("(?i)")
        self._text = text.removeprefix("(?i)")
        self.from_start = self._text.startswith("^")
        self.to_end = self._text.endswith("$") and not re.search(r"(?<!\\)(?:\\\\)*\\\$\Z", self._text)
        self._text = self._text[self.from_start : len(self._text) - self.to_end]
        self._at = 0
        self._depth = 0

    def read(self) -> Node:
        node = self._alternatives()
        if self._at < len(self._text):
            raise PatternError("an unmatched )")
        if (self.from_start or self.to_end) and isinstance(node, Any):
            raise PatternError("^ or $ next to a | without parentheses")
        return node

    def _peek(self, what: str) -> bool:
        return self._text.startswith(what, self._at)

    def _skip(self, what: str) -> bool:
        if self._peek(what):
            self._at += len(what)
            return True
        return False

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise PatternError("an incomplete expression")
        self._at += 1
        return self._text[self._at - 1]

    def _alternatives(self) -> Node:
        parts = [self._sequence()]
        while self._skip("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and not self._peek("|") and not self._peek(")"):
            part = self._repeated(self._atom())
            if part != _EMPTY:
                parts.append(part)
        return All(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        counts = self._counts()
        if counts is None:
            return node
        if self._skip("+"):
            raise PatternError("a possessive quantifier")
        self._skip("?")
        if self._counts() is not None:
            raise PatternError("a quantifier after a quantifier")
        return _EMPTY if node == _EMPTY or counts[1] == 0 else Repeat(node, *counts)

    def _counts(self) -> tuple[int, int | None] | None:
        for mark, counts in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(mark):
                return counts
        written = _COUNTS.match(self._text, self._at)
        if written is None:
            return None
        self._at = written.end()
        least = int(written[1])
        most = least if not written[2] else int(written[3]) if written[3] else None
        if most is not None and most < least:
            raise PatternError(f"{written[0]} with a maximum below the minimum")
        return least, most

    def _atom(self) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return Set(self._members())
            case ".":
                return Set(_ALL & ~(1 << NEWLINE))
            case "\\":
                return Set(self._folded(self._escape()))
            case "^" | "$":
                raise PatternError(f"{character} in the middle")
            case "*" | "+" | "?":
                raise PatternError(f"a {character} without an operand")
            case "{" if _COUNTS.match(self._text, self._at - 1) or self._peek(","):
                raise PatternError("a { without an operand")
        return Set(self._folded(_bit(character)))

    def _group(self) -> Node:
        if not self._skip("?:") and self._peek("?"):
            raise PatternError(f"({self._text[self._at : self._at + 2]}: no groups but ( ) and (?: )")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PatternError("too many parentheses")
        node = self._alternatives()
        if not self._skip(")"):
            raise PatternError("an unmatched (")
        self._depth -= 1
        if isinstance(node, Any):
            different = tuple(dict.fromkeys(node.parts))
            return Any(different) if len(different) > 1 else different[0]
        return node

    def _members(self) -> int:
        negated = self._skip("^")
        members = 0
        first = True
        while first or not self._peek("]"):
            members |= self._range()
            first = False
        self._skip("]")
        members = self._folded(members)
        return _ALL & ~members if negated else members

    def _range(self) -> int:
        low = self._member()
        if not self._peek("-") or self._peek("-]"):
            return low
        self._skip("-")
        high = self._member()
        if low.bit_count() != 1 or high.bit_count() != 1 or high < low:
            raise PatternError("an invalid range in [ ]")
        return (high << 1) - low

    def _member(self) -> int:
        character = self._next()
        return self._escape() if character == "\\" else _bit(character)

    def _escape(self) -> int:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return 1 << _CONTROLS[character]
        if character == "x":
            digits = self._text[self._at : self._at + 2]
            if not re.fullmatch(r"[0-9a-fA-F]{2}", digits):
                raise PatternError(r"\x without two hexadecimal digits")
            self._at += 2
            return 1 << int(digits, 16)
        if character.isalnum():
            raise PatternError(f"\\{character}")
        return _bit(character)

    def _folded(self, members: int) -> int:
        if self._caseless:
            for upper in range(ord("A"), ord("Z") + 1):
                both = 1 << upper | 1 << (upper + 32)
                if members & both:
                    members |= both
        return members


def _bit(character: str) -> int:
    if not character.isascii():
        raise PatternError(rf"{character!r}: write bytes beyond ASCII as \xff")
    return 1 << ord(character)
