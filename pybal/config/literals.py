"""Parser of lists written as Python literals: no evaluation, no nesting.

::

    list   = "[" items "]" | "(" items ")" | items
    items  = [ item { "," item } [ "," ] ]
    item   = text | number | name
    text   = [ "u" | "b" ] single or double quotes, with the escapes of a Python 2 str
    name   = letters, digits, underscores and dots

Comments are allowed between items: after ``#``, or after a blank and ``;``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from pybal.config.errors import InvalidValueError, shown


class LiteralKind(Enum):
    """The syntax of an item."""

    TEXT = "quoted text"
    NUMBER = "a number"
    NAME = "a name"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a list; ``value`` is the unescaped text, or the number or name as written."""

    kind: LiteralKind
    value: str


# Not every parenthesis: templates produce the text "(unspecified)".
_LITERAL = re.compile(r"\[|\(?\s*[uUbB]?['\"]|\(\s*\)")
# No possessive quantifier anywhere: Debian 12's Python 3.11.2 hangs in them (cpython#101955).
_GAP = re.compile(r"(?:\s|#[^\n]*|(?<=\s);[^\n]*)*")
_TOKEN = re.compile(
    r"""
      [uUbB]? (?: '(?P<single>[^'\\\n]*(?:\\.[^'\\\n]*)*)' | "(?P<double>[^"\\\n]*(?:\\.[^"\\\n]*)*)" )
    | (?P<number> -?[0-9]+(?:\.[0-9]*)? )
    | (?P<name> [^\W\d][\w.]* )
    | (?P<mark> [][(),] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {
    "\\": "\\", "'": "'", '"': '"', "\n": "",
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
_MOST_ITEMS = 1_000
_CLOSING: dict[Item | str, str] = {"[": "]", "(": ")"}


def is_literal(text: str) -> bool:
    """Return whether a value is a literal rather than bare text."""
    return bool(_LITERAL.match(text))


def items(text: str) -> tuple[Item, ...]:
    """Return the items of a list. Raises :class:`InvalidValueError`."""
    tokens = list(islice(_tokens(text), 2 * _MOST_ITEMS + 4))
    if tokens[-1] != "":
        raise InvalidValueError("a very long list", f"at most {_MOST_ITEMS} items")
    closing = _CLOSING.get(tokens[0], "")
    position = 1 if closing else 0
    found: list[Item] = []
    while (token := tokens[position]) != closing:
        if not isinstance(token, Item):
            raise _unexpected(token, "an item")
        found.append(token)
        position += 1
        if tokens[position] == ",":
            position += 1
        elif tokens[position] != closing:
            raise _unexpected(tokens[position], f"a comma or {closing or 'the end'}")
    if closing and tokens[position + 1] != "":
        raise _unexpected(tokens[position + 1], f"nothing after the {closing}")
    return tuple(found)


def unescaped(text: str) -> str:
    """Return a text with its escapes resolved."""
    return _ESCAPE.sub(_unescape, text)


def _tokens(text: str) -> Iterator[Item | str]:
    """Yield items, marks as text, and the empty text at the end."""
    position = _end_of_gap(text, 0)
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InvalidValueError(shown(text[position:]), "a list of quoted texts, separated by commas")
        yield _item(match)
        position = _end_of_gap(text, match.end())
    yield ""


def _end_of_gap(text: str, position: int) -> int:
    gap = _GAP.match(text, position)
    return gap.end() if gap else position


def _item(match: re.Match[str]) -> Item | str:
    match match.lastgroup:
        case "mark":
            return match[0]
        case "number":
            return Item(LiteralKind.NUMBER, match[0])
        case "name":
            return Item(LiteralKind.NAME, match[0])
        case quoted:
            return Item(LiteralKind.TEXT, unescaped(match[quoted or 0]))


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)  # like Python 2
    return _ESCAPED.get(code, match[0])


def _unexpected(token: Item | str, wanted: str) -> InvalidValueError:
    if isinstance(token, Item):
        return InvalidValueError(shown(token.value), wanted)
    return InvalidValueError(shown(token) if token else "the end", wanted)
