"""Pool files: bytes to members, in the two formats of PyBal 1.15.

::

    lines   { 'host': 'HOST', 'weight': INTEGER, 'enabled': True }    # a comment
    JSON    { "HOST": { "weight": INTEGER, "enabled": true }, ... }

Without ``weight`` it is 10, without ``enabled`` it is true; other keys are not looked at. A line is a Python dictionary
of texts without escapes, numbers, True, False and None, read by a grammar of its own: nothing is evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pybal.model import Member
from pybal.sources.base import SourceError

#: IPVS keeps weights in an ``int``.
HIGHEST_WEIGHT = 2**31 - 1

_LONGEST_SHOWN = 60
_MOST_SHOWN = 5
_MOST_DIGITS = 18
_DEFAULT = Member("")
_KEYS = frozenset(("host", "weight", "enabled"))

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_TEXT = r"""[uU]?(?:'[^'\\]*'|"[^"\\]*")"""
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?"
_PAIR = re.compile(rf"({_TEXT})\s*:\s*({_TEXT}|{_NUMBER}|True|False|None)\s*")
# Each part ends in its blanks, so that a line can be read in one way only and a bad one is refused soon.
_LINE = re.compile(rf"\{{\s*(?:{_PAIR.pattern}(?:,\s*{_PAIR.pattern})*(?:,\s*)?)?\}}\s*(?:#.*)?")
_NAMES = {"True": True, "False": False, "None": None}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a pool file says: its members, in its order, and what is wrong with the entries that are left out."""

    members: tuple[Member, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is said of one host, not looked at yet; ``fields`` is ``None`` where it is ``malformed``."""

    place: str
    host: object
    fields: Mapping[str, object] | None
    malformed: str


class _Refused(ValueError):  # noqa: N818  # said of an entry, or of all
    """Why something is refused."""


def parse(data: bytes, name: str, last: Sequence[Member] | None = None) -> Listing:
    """Return what ``data`` says: JSON if ``name`` ends in ``.json``, else lines.

    ``last`` is the last good list, ``None`` at the start. An entry that is wrong is left out and the others count, with
    two differences once there is a last good list. In JSON, which is whole or nothing, a wrong entry leaves its host
    as it was in the last list. Lines are refused all together for one that is wrong or has no newline at its end, as half a file
    looks no different. Of two entries for a host the first counts.

    Raises :class:`SourceError`, naming ``name``, where all is refused: also when there are entries and all are wrong.
    No entries at all are an empty list.
    """
    as_json = name.endswith(".json")
    known = {member.host: member for member in last or ()}
    members: dict[str, Member] = {}
    problems: list[str] = []
    try:
        for entry in _json_entries(data) if as_json else _line_entries(data):
            try:
                member = _member(entry, members)
            except _Refused as refused:
                problems.append(f"{entry.place}{refused}")
                if before := known.get(str(entry.host)):
                    members.setdefault(before.host, before)
            else:
                members[member.host] = member
    except _Refused as refused:
        raise SourceError(f"{name}: {refused}") from None
    if not as_json and data and not data.endswith(b"\n"):
        problems.append("no newline at the end of the last line: perhaps it is cut off")
    if problems and (not members or (not as_json and last is not None)):
        raise SourceError(f"{name}: {summary(problems)}")
    return Listing(tuple(members.values()), tuple(problems))


def summary(problems: Sequence[str]) -> str:
    """Return the first few problems in one sentence."""
    more = len(problems) - _MOST_SHOWN
    return "; ".join(problems[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _line_entries(data: bytes) -> Iterator[_Entry]:
    # Bytes that are no UTF-8 do no harm in a comment, and elsewhere no host has their replacement.
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            fields = _dictionary(text)
            host = fields.get("host") if fields else None
            yield _Entry(
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
    return float(text) if "." in text else _integer(text)


def _json_entries(data: bytes) -> Iterator[_Entry]:
    try:
        # Objects become tuples of pairs: as dictionaries they would hide that a host is there twice.
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=tuple, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"not JSON: {error}") from None
    if not isinstance(document, tuple):
        raise _Refused(f"{_shown(document)}, wanted an object with a member for each host")
    for host, fields in document:
        known = dict(fields) if isinstance(fields, tuple) else None
        yield _Entry("", host, known, f'host {_shown(host)}: wanted {{"weight": INTEGER, "enabled": true}}')


def _integer(digits: str) -> int | float:
    """Return a number too large to be of use as a float: to convert it exactly takes long, or is refused."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _member(entry: _Entry, members: Mapping[str, Member]) -> Member:
    host, fields = entry.host, entry.fields
    if fields is None:
        raise _Refused(entry.malformed)
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise _Refused(f"host {_shown(host)}, wanted a name or an address")
    if host in members:
        raise _Refused(f"host {host} is listed already")
    for key in fields.keys() - _KEYS:
        # Other keys are other tools' business; but a server that was to be disabled must not serve for a slip.
        if meant := get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.8):
            raise _Refused(f"{_shown(key)} of host {host}, wanted {meant[0]!r}")
    weight = fields.get("weight", _DEFAULT.weight)
    # A bool is an int for isinstance.
    if type(weight) is not int or not 0 <= weight <= HIGHEST_WEIGHT:
        raise _Refused(f"weight {_shown(weight)} of host {host}, wanted an integer from 0 to {HIGHEST_WEIGHT}")
    enabled = fields.get("enabled", _DEFAULT.enabled)
    if not isinstance(enabled, bool):
        raise _Refused(f"enabled {_shown(enabled)} of host {host}, wanted true or false")
    return Member(host, weight, enabled)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
