"""Parses pool files: the two formats of PyBal 1.15, and YAML.

::

    lines   { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }    # a comment
    JSON    { "HOST": { "weight": INTEGER, "enabled": true }, ... }
    YAML    the same as JSON, or a list of such mappings with a host in each; see :mod:`pybal.sources.formats.yaml`

The default of ``weight`` is 10, that of ``enabled`` is true; other keys are ignored. A line is a Python dictionary of
strings without escapes, numbers, True, False and None. A regular expression parses it; nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats import yaml as yaml_format
from pybal.sources.formats.entry import Entry, Refused, integer, member, shown

_MOST_SHOWN = 5

_TEXT = r"""[uU]?(?:'[^'\\]*'|"[^"\\]*")"""
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?"
_PAIR = re.compile(rf"({_TEXT})\s*:\s*({_TEXT}|{_NUMBER}|True|False|None)\s*")
# Each part includes the blanks after it: unambiguous, so that an invalid line cannot cause exponential backtracking.
_LINE = re.compile(rf"\{{\s*(?:{_PAIR.pattern}(?:,\s*{_PAIR.pattern})*(?:,\s*)?)?\}}\s*(?:#.*)?")
_NAMES = {"True": True, "False": False, "None": None}


class Format(Enum):
    """The format of a pool list."""

    LINES = "lines"
    JSON = "JSON"
    YAML = "YAML"


_FORMATS = {".json": Format.JSON, ".yaml": Format.YAML, ".yml": Format.YAML}


@dataclass(frozen=True, slots=True)
class Listing:
    """The members of a pool list in its order, and the problems of the invalid entries."""

    members: tuple[Member, ...]
    problems: tuple[str, ...] = ()


def format_of(name: str) -> Format | None:
    """Return the format of a file name extension, ``None`` if unknown."""
    return next((form for end, form in _FORMATS.items() if name.endswith(end)), None)


def parse(data: bytes, name: str, last: Sequence[Member] | None = None, form: Format | None = None) -> Listing:
    """Return the list in ``data``; its format defaults to that of ``name``, else lines.

    ``last`` is the last good list, ``None`` at the start. Invalid entries are omitted and reported. Two rules apply once
    there is a last good list:

    - JSON and YAML: a host with an invalid entry stays as in the last list. Lines: one invalid line refuses the list.
    - Lines, and YAML that does not end in a bracket, are refused without a final newline: the file may be truncated.

    The first of several entries for a host is used. A file without entries is an empty list.

    Raises :class:`SourceError`, with ``name`` in front, if the list is refused or all its entries are invalid.
    """
    form = form or format_of(name) or Format.LINES
    known = {before.host: before for before in last or ()}
    members: dict[str, Member] = {}
    problems: list[str] = []
    try:
        for entry in _ENTRIES[form](data):
            try:
                found = member(entry, members)
            except Refused as refused:
                problems.append(f"{entry.place}{refused}")
                if before := known.get(str(entry.host)):
                    members.setdefault(before.host, before)
            else:
                members[found.host] = found
    except Refused as refused:
        raise SourceError(f"{name}: {refused}") from None
    fatal = form is Format.LINES and bool(problems)
    if _may_be_truncated(data, form):
        problems.append("no newline at the end; the list may be truncated")
        fatal = True
    if problems and (not members or (fatal and last is not None)):
        raise SourceError(f"{name}: {summary(problems)}")
    return Listing(tuple(members.values()), tuple(problems))


def _may_be_truncated(data: bytes, form: Format) -> bool:
    if not data or data.endswith(b"\n") or form is Format.JSON:
        return False
    return form is Format.LINES or not yaml_format.is_delimited(data)


def summary(problems: Sequence[str]) -> str:
    """Return the first few problems, and the number of the others."""
    more = len(problems) - _MOST_SHOWN
    return "; ".join(problems[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _line_entries(data: bytes) -> Iterator[Entry]:
    # Bytes that are not UTF-8 are harmless in a comment; elsewhere their replacement is invalid in a host.
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            fields = _dictionary(text)
            host = fields.get("host") if fields else None
            yield Entry(
                f"line {number}: ", host, fields, "wanted { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }"
            )


def _dictionary(text: str) -> Mapping[str, object] | None:
    if not _LINE.fullmatch(text):
        return None
    return {str(_value(key)): _value(value) for key, value in _PAIR.findall(text)}


def _value(text: str) -> object:
    if text in _NAMES:
        return _NAMES[text]
    if text[-1] in "'\"":
        return text.lstrip("uU")[1:-1]
    return float(text) if "." in text else integer(text)


def _json_entries(data: bytes) -> Iterator[Entry]:
    try:
        # Objects become tuples of pairs: a dictionary would hide a duplicate host.
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=tuple, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    if not isinstance(document, tuple):
        raise Refused(f"{shown(document)}, wanted an object with a member for each host")
    for host, fields in document:
        known = dict(fields) if isinstance(fields, tuple) else None
        yield Entry("", host, known, f'host {shown(host)}: wanted {{"weight": INTEGER, "enabled": true}}')


_ENTRIES = {Format.LINES: _line_entries, Format.JSON: _json_entries, Format.YAML: yaml_format.entries}
