"""Pool files: bytes to members, in the two formats of PyBal 1.15 and in YAML.

::

    lines   { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }    # a comment
    JSON    { "HOST": { "weight": INTEGER, "enabled": true }, ... }
    YAML    the same as JSON, or a list of such mappings with a host in each; see :mod:`pybal.sources.formats.yaml`

Without ``weight`` it is 10, without ``enabled`` it is true; other keys are not looked at. A line is a Python dictionary
of texts without escapes, numbers, True, False and None, read by a grammar of its own: nothing is evaluated.
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
# Each part ends in its blanks, so that a line can be read in one way only and a bad one is refused soon.
_LINE = re.compile(rf"\{{\s*(?:{_PAIR.pattern}(?:,\s*{_PAIR.pattern})*(?:,\s*)?)?\}}\s*(?:#.*)?")
_NAMES = {"True": True, "False": False, "None": None}


class Format(Enum):
    """How a list is written."""

    LINES = "lines"
    JSON = "JSON"
    YAML = "YAML"


_FORMATS = {".json": Format.JSON, ".yaml": Format.YAML, ".yml": Format.YAML}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a pool file says: its members, in its order, and what is wrong with the entries that are left out."""

    members: tuple[Member, ...]
    problems: tuple[str, ...] = ()


def format_of(name: str) -> Format | None:
    """Return the format that the end of a name says, ``None`` if it says nothing."""
    return next((form for end, form in _FORMATS.items() if name.endswith(end)), None)


def parse(data: bytes, name: str, last: Sequence[Member] | None = None, form: Format | None = None) -> Listing:
    """Return what ``data`` says, in a format that is that of ``name`` unless it is given: lines if it says nothing.

    ``last`` is the last good list, ``None`` at the start. An entry that is wrong is left out and the others count, with
    two differences once there is a last good list. In JSON and YAML a wrong entry leaves its host as it was in the last
    list. Lines are refused all together for one that is wrong. Lines, and YAML but for what ends in a bracket, are refused
    without a newline at their end, as half a file looks no different. Of two entries for a host the first counts.

    Raises :class:`SourceError`, naming ``name``, where all is refused: also when there are entries and all are wrong.
    No entries at all are an empty list.
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
    if _may_be_cut_off(data, form):
        problems.append("no newline at the end of the last line: perhaps it is cut off")
        fatal = True
    if problems and (not members or (fatal and last is not None)):
        raise SourceError(f"{name}: {summary(problems)}")
    return Listing(tuple(members.values()), tuple(problems))


def _may_be_cut_off(data: bytes, form: Format) -> bool:
    if not data or data.endswith(b"\n") or form is Format.JSON:
        return False
    return form is Format.LINES or not yaml_format.is_delimited(data)


def summary(problems: Sequence[str]) -> str:
    """Return the first few problems in one sentence."""
    more = len(problems) - _MOST_SHOWN
    return "; ".join(problems[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _line_entries(data: bytes) -> Iterator[Entry]:
    # Bytes that are no UTF-8 do no harm in a comment, and elsewhere no host has their replacement.
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
        # Objects become tuples of pairs: as dictionaries they would hide that a host is there twice.
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=tuple, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    if not isinstance(document, tuple):
        raise Refused(f"{shown(document)}, wanted an object with a member for each host")
    for host, fields in document:
        known = dict(fields) if isinstance(fields, tuple) else None
        yield Entry("", host, known, f'host {shown(host)}: wanted {{"weight": INTEGER, "enabled": true}}')


_ENTRIES = {Format.LINES: _line_entries, Format.JSON: _json_entries, Format.YAML: yaml_format.entries}
