"""Parser of keepalived.conf: text to nested statements with their places. Pure.

============================  ============================================================================
``word word …``               a statement, ended by the line or a brace
``{`` ``}``                   the block of the statement before it, on the same line or on a line before
``#`` ``!``                   outside quotes: a comment
``"…"`` ``'…'``               one word, or a part of one; blanks and comment characters count
``include FILE``              the statements of other files; FILE may be a pattern, relative to its own file
``$NAME=…``                   a definition, continued by lines that end in a backslash; not expanded
============================  ============================================================================

Like keepalived, the parser accepts a file with a missing or an extra brace; each is a remark. The limits bound the work for
any input: only nesting and size beyond them are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from typing_extensions import override

from pybal.core.text import printable

FileReader = Callable[[str, str], Sequence[tuple[str, str]]]
"""Returns name and text of each file that a pattern in a file names. Raises OSError."""

INCLUDES = frozenset(("include", "includer", "includem", "includew", "includeb", "includea"))

LARGEST = 1 << 22
"""Characters of all files together."""
_DEEPEST = 32
_DEEPEST_INCLUDE = 10
_MOST_FILES = 1_000
_LONGEST_LINE = 8_192
_LONGEST_SHOWN = 80
_SECRETS = frozenset(("username", "password", "auth_pass", "key"))

_TOKEN = re.compile(
    r"""
      (?P<comment> [#!].* )
    | (?P<brace> [{}] )
    | (?P<word> (?: \$\{[^\s{}]*\} | "(?:[^"\\]|\\.)*" | '[^']*' | \\. | [^\s{}"'\#!\\] )+ )
    | (?P<lone> ["'\\] )
    | \s+
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'([^']*)'""")
_ESCAPED_QUOTE = re.compile(r"""\\(["'])""")
_DEFINITION = re.compile(r"\s*(\$[A-Za-z0-9_]+)=")
_UNEXPANDED = re.compile(r"\$\{?[A-Za-z_][A-Za-z0-9_]*|~(?:SEQ|LST)\b")


class SyntaxLimitError(Exception):
    """A file beyond the limits of the parser; the text has its place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    @override
    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Remark:
    """A part of a file that could not be carried over, with the reason and a remedy."""

    place: Place
    text: str

    @override
    def __str__(self) -> str:
        return printable(f"{self.place}: {self.text}")


@dataclass(slots=True)
class Statement:
    """A statement; ``block`` is ``None`` without braces. Words are without their quotes."""

    words: tuple[str, ...]
    place: Place
    block: list[Statement] | None = None

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""

    @property
    def value(self) -> str:
        """The second word, empty without one."""
        return self.words[1] if len(self.words) > 1 else ""

    @property
    def statements(self) -> Sequence[Statement]:
        """The statements of its block."""
        return self.block or ()

    @override
    def __str__(self) -> str:
        text = self.name if self.name in _SECRETS else " ".join(self.words)
        return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."

    def unexpanded(self) -> str:
        """Return why the statement depends on the preprocessor of keepalived, empty if it does not."""
        if self.name.startswith("@"):
            return "a condition on the configuration id (keep the line or delete it)"
        found = next(filter(None, map(_UNEXPANDED.search, self.words)), None)
        return f"{found[0].replace('{', '')} is not expanded (write its value in its place)" if found else ""


@dataclass(slots=True)
class Parsed:
    """The statements of a file and of all files it includes, and the remarks about its syntax."""

    statements: list[Statement] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def parse(name: str, text: str, read: FileReader) -> Parsed:
    """Return the statements of a file; ``read`` reads included files. Raises :class:`SyntaxLimitError`."""
    reader = _Reader(read)
    reader.read_file(name, text, 0)
    reader.finish()
    return reader.parsed


class _Reader:
    """Reads files line by line."""

    def __init__(self, read: FileReader) -> None:
        self.parsed = Parsed()
        self._read = read
        self._open: list[Statement] = []
        self._blocks = [self.parsed.statements]
        self._files = 0
        self._size = 0
        self._continued = False

    def read_file(self, name: str, text: str, depth: int) -> None:
        self._files += 1
        self._size += len(text)
        if self._size > LARGEST or self._files > _MOST_FILES:
            raise SyntaxLimitError(
                f"{name}: more than {LARGEST} characters, or {_MOST_FILES} files with those included"
            )
        for number, line in enumerate(text.split("\n"), 1):
            self._read_line(Place(name, number), line.rstrip("\r"), depth)
        self._continued = False

    def finish(self) -> None:
        """Remark on blocks without an end."""
        for statement in self._open:
            self._remark(statement.place, f"{statement}: its block has no closing brace")

    def _read_line(self, place: Place, line: str, depth: int) -> None:
        definition = _DEFINITION.match(line)
        if definition:
            self._remark(place, f"{definition[1]}: definitions are not expanded (write the value where it is used)")
        if definition or self._continued:
            self._continued = line.endswith("\\")
            return
        if len(line) > _LONGEST_LINE:
            self._remark(place, f"a line of {len(line)} characters (write at most {_LONGEST_LINE})")
            return
        words: list[str] = []
        for token in _tokens(line):
            if token in ("{", "}"):
                self._end(words, place, depth)
                self._brace(token, place)
            else:
                words.append(token[1:])
        self._end(words, place, depth)

    def _end(self, words: list[str], place: Place, depth: int) -> None:
        """End a statement, if it has words."""
        if not words:
            return
        statement = Statement(tuple(words), place)
        words.clear()
        if statement.name in INCLUDES:
            self._include(statement, depth)
        else:
            self._blocks[-1].append(statement)

    def _brace(self, brace: str, place: Place) -> None:
        if brace == "{":
            block = self._blocks[-1]
            if not block or block[-1].block is not None:
                self._remark(place, "a brace without a name before it")
                block.append(Statement((), place))
            if len(self._open) >= _DEEPEST:
                raise SyntaxLimitError(f"{place}: blocks nested more than {_DEEPEST} levels deep")
            opened = block[-1]
            opened.block = []
            self._open.append(opened)
            self._blocks.append(opened.block)
        elif self._open:
            self._open.pop()
            self._blocks.pop()
        else:
            self._remark(place, "a closing brace without a block")

    def _include(self, statement: Statement, depth: int) -> None:
        if depth >= _DEEPEST_INCLUDE:
            self._remark(statement.place, f"{statement}: files included more than {_DEEPEST_INCLUDE} levels deep")
            return
        try:
            files = self._read(statement.value, statement.place.file)
        except OSError as error:
            self._remark(statement.place, f"{statement}: cannot be read: {error.strerror or error}")
            return
        if not files:
            self._remark(statement.place, f"{statement}: no such file")
        for name, text in files:
            self.read_file(name, text, depth + 1)

    def _remark(self, place: Place, text: str) -> None:
        self.parsed.remarks.append(Remark(place, text))


def _tokens(line: str) -> Iterator[str]:
    """Yield braces as they are, and words without their quotes after a blank."""
    position = 0
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None:  # a line break of another kind
            return
        position = match.end()
        if match["brace"]:
            yield match["brace"]
        elif match["word"]:
            yield f" {_QUOTED.sub(_unquoted, match['word'])}"
        elif match["lone"]:
            yield f" {match['lone']}"


def _unquoted(match: re.Match[str]) -> str:
    return match[2] if match[1] is None else _ESCAPED_QUOTE.sub(r"\1", match[1])
