"""Parses pool files: the two formats of PyBal 1.15, and YAML.

::

    lines   { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }    # a comment
    JSON    { "HOST": { "weight": INTEGER, "enabled": true }, ... }
    YAML    the same as JSON, or a list of such mappings with a host in each; see :mod:`pybal.sources.formats.yaml`

The default of ``weight`` is 10, that of ``enabled`` is true; other keys are ignored. A line is a Python dictionary of
strings without escapes, numbers, True, False and None. A regular expression parses it; nothing is evaluated.

Parsing is a generator of short steps, because a list of 10,000 hosts takes longer than the loop may be held. The limits on
lines, values and keys bound each step.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats import yaml as yaml_format
from pybal.sources.formats.correction import corrected
from pybal.sources.formats.entry import (
    MOST_ENTRIES,
    MOST_KEYS,
    Entry,
    Refused,
    UnknownKeys,
    integer,
    is_host,
    member,
    shown,
)

codecs.lookup("utf-8-sig")  # Python would read its module at the first use, in the loop.

_MOST_SHOWN = 5
_STEP = 32
"""Entries of one step: about 1 ms."""
_LINES_OF_A_STEP = 1000
_BLOCK = 2**16
_LONGEST_LINE = 8192
_LONGEST_ENCODED = 4 * (_LONGEST_LINE + 1)
_LONGEST_VALUE = 2**14
_LONGEST_WORD = 300

_TEXT = r"""[uU]?(?:'[^'\\]*'|"[^"\\]*")"""
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?"
_PAIR = re.compile(rf"({_TEXT})\s*:\s*({_TEXT}|{_NUMBER}|True|False|None)\s*")
# Each part includes the blanks after it: unambiguous, so that an invalid line cannot cause exponential backtracking.
_LINE = re.compile(rf"\{{\s*(?:{_PAIR.pattern}(?:,\s*{_PAIR.pattern})*(?:,\s*)?)?\}}\s*(?:#.*)?")
_BLANKS = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=integer)
_EXPECTED = "expected { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }"
_NAMES = {"True": True, "False": False, "None": None}


class Format(Enum):
    """The format of a pool list."""

    LINES = "lines"
    JSON = "JSON"
    YAML = "YAML"


_FORMATS = {".json": Format.JSON, ".yaml": Format.YAML, ".yml": Format.YAML}


@dataclass(frozen=True, slots=True)
class Listing:
    """The members of a pool list in its order, and the problems of the invalid entries.

    ``removed`` are hosts that the list declares out of the pool. Hosts that are ``unsure`` stay as they are in the pool. An ``incomplete``
    list has entries that may be of any host.
    """

    members: tuple[Member, ...]
    problems: tuple[str, ...] = ()
    removed: frozenset[str] = frozenset()
    incomplete: bool = False
    unsure: frozenset[str] = frozenset()


def format_of(name: str) -> Format | None:
    """Return the format of a file name extension, ``None`` if unknown."""
    return next((form for end, form in _FORMATS.items() if name.endswith(end)), None)


def parse(data: bytes, name: str, last: Sequence[Member] | None = None, form: Format | None = None) -> Listing:
    """Return the list in ``data`` in one step; see :func:`parsing`."""
    steps = parsing(data, name, last, form)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            listing: Listing = end.value
            return listing


def parsing(
    data: bytes, name: str, last: Sequence[Member] | None = None, form: Format | None = None
) -> Generator[None, None, Listing]:
    """Return the list in ``data`` after many steps; its format defaults to that of ``name``, else lines.

    ``last`` is the last good list, ``None`` at the start. Invalid entries are reported, and the others used; a host with an
    invalid entry stays as in the last list. The list is incomplete if a line is invalid, or an entry has no valid host.

    Once there is a last good list, a file that may be truncated is refused: one without a final newline whose last line is invalid,
    or one in YAML that does not end in a bracket.

    The first of several entries for a host is used. A file without entries is an empty list.

    Raises :class:`SourceError`, with ``name`` in front, if the list is refused or all its entries are invalid.
    """
    form = form or format_of(name) or Format.LINES
    known = {before.host: before for before in last or ()}
    members: dict[str, Member] = {}
    problems: list[str] = []
    unsure: set[str] = set()
    incomplete = False
    unknown = UnknownKeys()
    count = 0
    try:
        for entry in _ENTRIES[form](data):
            if entry is None:
                yield
                continue
            count += 1
            _limit(count, entry)
            if not count % _STEP:
                yield
            if problem := _add(entry, members, known, unknown):
                problems.append(problem)
                incomplete = incomplete or form is Format.LINES or not is_host(entry.host)
                unsure.add(str(entry.host))
    except Refused as refused:
        raise SourceError(f"{name}: {refused}") from None
    truncated = _may_be_truncated(data, form)
    if truncated:
        problems.append("no newline at the end; the list may be truncated")
    if problems and (not members or (truncated and last is not None)):
        raise SourceError(f"{name}: {summary(problems)}")
    unsure -= {host for host, found in members.items() if found is not known.get(host)}
    return Listing(tuple(members.values()), tuple(problems), frozenset(), incomplete or truncated, frozenset(unsure))


def _add(entry: Entry, members: dict[str, Member], known: Mapping[str, Member], unknown: UnknownKeys) -> str:
    """Add an entry to the members; return its problem. A host with an invalid entry keeps its known one."""
    try:
        found = member(entry, members, unknown)
    except Refused as refused:
        if before := known.get(str(entry.host)):
            members.setdefault(before.host, before)
        return f"{entry.place}{refused}"
    members[found.host] = found
    return ""


def _limit(count: int, entry: Entry) -> None:
    if count > MOST_ENTRIES:
        raise Refused(f"{entry.place}more than {MOST_ENTRIES} entries")


def _may_be_truncated(data: bytes, form: Format) -> bool:
    """Return whether the last line has no end and is invalid. JSON is never valid without its end."""
    if not data or data.endswith(b"\n") or form is Format.JSON:
        return False
    if form is Format.YAML:
        return not yaml_format.is_delimited(data)
    # A longer line is invalid: to decode 4 MiB that are not UTF-8 a second time would take 20 ms.
    text = data.rpartition(b"\n")[2].strip()[:_LONGEST_ENCODED].decode("utf-8-sig", "replace").strip()
    return _is_entry(text) and _pairs(text) is None


def summary(problems: Sequence[str]) -> str:
    """Return the first few problems, and the number of the others."""
    more = len(problems) - _MOST_SHOWN
    return "; ".join(problems[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _line_entries(data: bytes) -> Iterator[Entry | None]:
    invalid = 0
    for number, line in enumerate(_lines(data), 1):
        if not number % _LINES_OF_A_STEP:
            yield None
        text = line.strip()
        if _is_entry(text):
            pairs = _pairs(text)
            invalid += pairs is None
            place = f"line {number}: "
            host = next((value for name, value in pairs or () if name == "host"), None)
            if pairs is None:
                yield Entry(place, host, None, _why_invalid(text, suggest=invalid <= _MOST_SHOWN))
            else:
                yield Entry.of(place, host, pairs)


def _why_invalid(line: str, *, suggest: bool) -> str:
    if len(line) > _LONGEST_LINE:
        return f"found {len(line)} characters; {_EXPECTED} in at most {_LONGEST_LINE} characters"
    meant = corrected(line.partition("#")[0].strip()) if suggest else ""
    return f"found {shown(line)}; {_EXPECTED}" + (f". Did you mean: {meant}" if meant else "")


def _is_entry(line: str) -> bool:
    return line != "" and not line.startswith("#")


def _lines(data: bytes) -> Iterator[str]:
    # Bytes that are not UTF-8 are harmless in a comment; elsewhere their replacement is invalid in a host.
    text = data.decode("utf-8-sig", "replace")
    start = 0
    while start <= len(text):
        end = text.find("\n", start + _BLOCK)
        end = len(text) if end < 0 else end
        yield from text[start:end].split("\n")
        start = end + 1


def _pairs(text: str) -> Sequence[tuple[str, object]] | None:
    if len(text) > _LONGEST_LINE or not _LINE.fullmatch(text):
        return None
    return [(str(_value(key)), _value(value)) for key, value in _PAIR.findall(text)]


def _value(text: str) -> object:
    if text in _NAMES:
        return _NAMES[text]
    if text[-1] in "'\"":
        return text.lstrip("uU")[1:-1]
    return float(text) if "." in text else integer(text)


def _json_entries(data: bytes) -> Iterator[Entry]:
    try:
        for host, fields in _json_members(data.decode("utf-8-sig")):
            if isinstance(fields, tuple) and len(fields) <= MOST_KEYS:
                yield Entry.of("", host, fields)
            else:
                yield Entry("", host, None, f'host {shown(host)}: wanted {{"weight": INTEGER, "enabled": true}}')
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None


def _json_members(text: str) -> Iterator[tuple[str, object]]:
    """Yield the members of the object ``text``, one after the other; objects in it are tuples of pairs."""
    at = _after_blanks(text, 0)
    if text[at : at + 1] != "{":
        value, at = _value_at(text, at)
        if (end := _after_blanks(text, at)) != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        raise Refused(f"{shown(value)}, wanted an object with a member for each host")
    at = _after_blanks(text, at + 1)
    more = text[at : at + 1] != "}"
    while more:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        name, at = _value_at(text, at)
        at = _after_blanks(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        value, at = _value_at(text, _after_blanks(text, at + 1))
        yield str(name), value
        at = _after_blanks(text, at)
        more = text[at : at + 1] == ","
        if more:
            at = _after_blanks(text, at + 1)
    if text[at : at + 1] != "}":
        raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    if (end := _after_blanks(text, at + 1)) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _value_at(text: str, at: int) -> tuple[object, int]:
    """Return a short value and the position after it."""
    part = text[at : at + _LONGEST_VALUE]
    try:
        value, length = _DECODER.raw_decode(part)
    except json.JSONDecodeError as error:
        if at + len(part) < len(text) and error.pos > len(part) - _LONGEST_WORD:
            line = text.count("\n", 0, at) + 1
            raise Refused(f"line {line}: a value has more than {_LONGEST_VALUE} characters") from None
        raise json.JSONDecodeError(error.msg, text, at + error.pos) from None
    return value, at + length


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


_ENTRIES: Mapping[Format, Callable[[bytes], Iterator[Entry | None]]] = {
    Format.LINES: _line_entries,
    Format.JSON: _json_entries,
    Format.YAML: yaml_format.entries,
}
