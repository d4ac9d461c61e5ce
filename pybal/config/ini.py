"""Parser of pybal.conf: text to located sections, compatible with SafeConfigParser of Python 2.

Unlike ``configparser`` it records the line of every option, and continues after an error to find all of them.

==================  ====================================================================================
``[name]``          a section; text after the bracket is ignored; a repeated one continues the first
``[DEFAULT]``       options of every section that does not set them
``key = value``     or ``key: value``, from the first column; keys are lower-cased; the last one counts
indented            a further line of the value of the last option, even if it looks like an option
``#`` ``;`` ``rem``  in the first column: a comment
blank and ``;``     on the line of an option, if that is its first ``;``: the rest is a comment
``""``              as a whole value: the empty value
``%%``              a per cent sign
``%(key)s``         the value of an option of the same section or of DEFAULT; ``__name__`` is the section's
==================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Generator
from dataclasses import dataclass, field
from unicodedata import category

from pybal.config.errors import InvalidValueError, Problem, masked, shown
from pybal.core.steps import finish

DEFAULT = "DEFAULT"
BLANKS = " \t\r\v\f"
"""The blanks of a line, ASCII only: Python 2 took others for letters; here they are invalid."""

_HEADER = re.compile(r"\[([^]]+)\]")
_OPTION = re.compile(r"([^:=\s][^:=]*)[:=](.*)", re.ASCII)
_OWN_LINE = re.compile(r"[a-z][a-z0-9._-]*\s*(?:=|:\s)|\[[\w .:-]+\]\Z", re.ASCII | re.IGNORECASE)
_OTHER_HEADER = re.compile(r"[\[<({]+\s*([\w][\w .:-]*?)\s*[\])>}]*:?|([\w][\w.-]*)\]|([\w][\w.-]*):", re.ASCII)
_NAME_AND_VALUE = re.compile(r"([A-Za-z][\w.-]*)\s+([^\s=:].*)", re.ASCII)
_OTHER_COMMENT = re.compile(r"(?://+|--+|/\*+|<!--|!+|%+|\")\s*(\S.*?)\s*(?:\*+/|-->)?")
_REM = re.compile(r"rem(?!\S)", re.ASCII | re.IGNORECASE)
_PERCENT = re.compile(r"%(?:%|\(([^)]+)\)s)?")

_DEEPEST = 10
_MOST_PIECES = 1_000
_LONGEST_MEANT = 200
_LONGEST_VALUE = 1 << 14
_MOST_OPTIONS = 1_000
_MOST_PROBLEMS = 1_000
_LINES = 500
"""Lines of one step."""


@dataclass(slots=True)
class RawOption:
    """An option as written, with the line of its key. ``broken``: its problem has been reported."""

    section: str
    name: str
    line: int
    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    broken: bool = False
    size: int = 0

    @property
    def text(self) -> str:
        """The value before interpolation."""
        return "\n".join(self.lines)

    @property
    def swallowed(self) -> tuple[int, str] | None:
        """The first further line that looks like another option or a section, with its number."""
        further = zip(self.numbers[1:], self.lines[1:], strict=True)
        return next(((number, line) for number, line in further if _OWN_LINE.match(line)), None)


@dataclass(slots=True)
class Section:
    """A section with the line of its first header."""

    name: str
    line: int
    entries: dict[str, RawOption] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A section, or with a ``name`` an option, that the file has had before, in line ``first``."""

    section: str
    name: str
    line: int
    first: int


@dataclass(slots=True)
class Document:
    """A whole file: its sections in order, and DEFAULT apart from them.

    ``omitted`` counts further problems. ``repeats`` are legal: the last option counts.
    """

    defaults: Section
    sections: dict[str, Section]
    problems: list[Problem]
    omitted: int = 0
    repeats: list[Repeat] = field(default_factory=list)


def read(text: str | bytes, path: str) -> Document:
    """Return the sections and problems of any text; ``path`` is the file name in problems."""
    return finish(read_steps(text, path))


def read_steps(text: str | bytes, path: str, known: Container[str] = ()) -> Generator[None, None, Document]:
    """Do the same in small steps; ``known`` options without a sign of equality are suggested with one."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    reader = _IniReader(path, known)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.read(number, line)
        if number % _LINES == 0:
            yield
    return reader.document


def expand(text: str, value_of: Callable[[str], str | None], used: set[str]) -> str:
    """Return ``text`` with its references replaced by the results of ``value_of``.

    The names of all referenced options are added to ``used``. Raises :class:`InvalidValueError`.
    """
    if "%" not in text:
        return text
    expansion = _Expansion(value_of, used)
    expansion.add(text, 1)
    return "".join(expansion.pieces)


class _IniReader:
    """Reads a file line by line."""

    def __init__(self, path: str, known: Container[str]) -> None:
        self.document = Document(Section(DEFAULT, 0), {}, [])
        self._path = path
        self._known = known
        self._indentation = ""
        self._section: Section | None = None
        self._entry: RawOption | None = None

    def read(self, number: int, line: str) -> None:
        line = line.removeprefix(self._indentation)
        stripped = line.strip(BLANKS)
        if not stripped or line[0] in "#;" or _REM.match(line):
            return
        if line[0] in BLANKS and self._entry is not None:
            self._extend(number, self._entry, stripped)
        elif header := _HEADER.match(line):
            self._open(number, header[1])
        elif self._section is not None and (option := _OPTION.match(line)):
            self._add(number, self._section, option[1].rstrip(BLANKS).lower(), option[2])
        else:
            self._misunderstand(number, line)

    def _misunderstand(self, number: int, text: str) -> None:
        """Refuse a line that is neither a header nor an option; continue as if it were what it resembles."""
        if self._section is None and self._entry is not None:
            return  # One problem is enough for all lines before the first header.
        line = text.strip(BLANKS)
        comment, header = _OTHER_COMMENT.fullmatch(line), _OTHER_HEADER.fullmatch(line)
        wanted = "[section] or option = value, starting in the first column"
        if self._section is None:
            wanted = "a section header first, such as [web], in the first column"
        if comment:
            self._refuse(number, "", shown(line), wanted, f"# {comment[1]}")
        elif header:
            name = next(filter(None, header.groups()))
            self._refuse(number, "", shown(line), wanted, f"[{name}]")
            if self._section is None:
                self._indentation = text[: text.index(line)]
            self._open(number, name)
            return
        else:
            self._refuse(number, "", shown(line), wanted, self._without_sign(number, line))
        # Lines that continue this one belong to no option.
        self._entry = RawOption(self._section.name if self._section else "", "", number)

    def _without_sign(self, number: int, line: str) -> str:
        """Return the option that a line sets without a sign of equality, empty if none; it counts as present."""
        option = _NAME_AND_VALUE.fullmatch(line)
        if not option or option[1].lower() not in self._known or masked(line) != line:
            return ""
        if self._section:
            name = option[1].lower()
            self._section.entries.setdefault(name, RawOption(self._section.name, name, number, broken=True))
        return f"{option[1].lower()} = {option[2]}"

    def _open(self, number: int, name: str) -> None:
        self._entry = None
        if name == DEFAULT:
            self._section = self.document.defaults
        else:
            self._section = self.document.sections.setdefault(name, Section(name, number))
            if self._section.line != number:
                self._repeat(Repeat(name, "", number, self._section.line))
        if self._unprintable(name):
            self._refuse(number, "", f"the section {name!a}", "a name of printable characters")

    def _add(self, number: int, section: Section, name: str, rest: str) -> None:
        comment = rest.find(";")
        if comment > 0 and rest[comment - 1] in BLANKS:
            rest = rest[:comment]
        value = rest.strip(BLANKS)
        if self._unprintable(name):
            written, name = name, _printable(name)
            wanted, meant = "a name of printable characters", _meant(name, value)
            self._refuse(number, "", f"the option {written!a}", wanted, meant)
            section.entries[name] = self._entry = RawOption(section.name, name, number, broken=True)
            return
        self._entry = RawOption(section.name, name, number)
        if len(section.entries) > _MOST_OPTIONS and name not in section.entries:
            return
        if name in section.entries:
            self._repeat(Repeat(section.name, name, number, section.entries[name].line))
        section.entries[name] = self._entry
        if len(section.entries) > _MOST_OPTIONS:
            self._refuse(number, "", "too many options", f"at most {_MOST_OPTIONS} options in a section")
        self._extend(number, self._entry, "" if value == '""' else value)

    def _extend(self, number: int, entry: RawOption, value: str) -> None:
        if entry.size > _LONGEST_VALUE:
            return
        entry.size += len(value) + 1
        if entry.size > _LONGEST_VALUE:
            entry.broken = True
            self._refuse(number, entry.name, "a very long value", f"at most {_LONGEST_VALUE} characters")
            return
        entry.lines.append(value)
        entry.numbers.append(number)
        if bad := self._unprintable(value.replace("\t", " ")):
            entry.broken = True
            meant = _meant(entry.name, value) if len(entry.lines) == 1 else ""
            self._refuse(number, entry.name, bad, "printable text in UTF-8", meant)

    def _repeat(self, repeat: Repeat) -> None:
        if len(self.document.repeats) < _MOST_PROBLEMS:
            self.document.repeats.append(repeat)

    def _unprintable(self, text: str) -> str:
        """Return a phrase for the first invalid character, empty without one."""
        if text.isprintable():
            return ""
        bad = next(c for c in text if not c.isprintable())
        # surrogateescape maps an invalid byte to this range.
        return f"the byte 0x{ord(bad) - 0xDC00:02x}" if "\udc80" <= bad <= "\udcff" else f"the character {bad!a}"

    def _refuse(self, number: int, option: str, found: str, wanted: str, meant: str = "") -> None:
        if len(self.document.problems) >= _MOST_PROBLEMS:
            self.document.omitted += 1
            return
        section = self._section.name if self._section else ""
        self.document.problems.append(Problem(self._path, number, section, option, found, wanted, meant))


def _printable(text: str) -> str:
    """Return a text without invisible characters; blanks of other scripts become plain ones."""
    return "".join(" " if c.isspace() else "" if category(c) == "Cf" else c for c in text).strip()


def _meant(name: str, value: str) -> str:
    """Return the line of an option without invisible characters.

    Empty if that is not enough to make it valid, or if it holds credentials.
    """
    if "\r" in value:
        return ""
    value = _printable(value)
    return (
        f"{name} = {value}"
        if 0 < len(value) < _LONGEST_MEANT and value.isprintable() and masked(value) == value
        else ""
    )


class _Expansion:
    """One value under expansion. Its size is bounded: ten levels of references can grow without limit."""

    def __init__(self, value_of: Callable[[str], str | None], used: set[str]) -> None:
        self.pieces: list[str] = []
        self._value_of = value_of
        self._used = used
        self._size = 0

    def add(self, text: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise InvalidValueError(f"references nested more than {_DEEPEST} levels deep", "fewer levels and no cycle")
        position = 0
        for match in _PERCENT.finditer(text):
            self._keep(text[position : match.start()])
            position = match.end()
            if match[0] == "%%":
                self._keep("%")
            elif match[1]:
                self._refer(match[1], depth)
            else:
                raise InvalidValueError("a lone '%'", "%% or %(option)s")
        self._keep(text[position:])

    def _refer(self, name: str, depth: int) -> None:
        self._used.add(name.lower())
        value = self._value_of(name.lower())
        if value is None:
            raise InvalidValueError(
                shown(f"%({name})s"), f"the name of an option of the same section or of [{DEFAULT}]"
            )
        self.add(value, depth + 1)

    def _keep(self, piece: str) -> None:
        self.pieces.append(piece)
        self._size += len(piece)
        if self._size > _LONGEST_VALUE or len(self.pieces) > _MOST_PIECES:
            raise InvalidValueError(
                "references that expand to too much text", f"a value of at most {_LONGEST_VALUE} characters"
            )
