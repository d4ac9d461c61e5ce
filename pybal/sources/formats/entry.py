"""Validates one entry of a pool list, independent of the list's format. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pybal.core.model import Member
from pybal.core.text import printable

#: Largest IPVS weight, an ``int`` in the kernel.
HIGHEST_WEIGHT = 2**31 - 1

#: Largest number of hosts and of invalid entries in a list. Files are also limited in bytes.
MOST_ENTRIES = 40_000

#: Largest number of keys of one host.
MOST_KEYS = 100

_MOST_UNKNOWN = 100
_LONGEST_SHOWN = 60
_MOST_DIGITS = 18
_DEFAULT = Member("")
_KEYS = frozenset(("host", "weight", "enabled"))
_LONGEST_SIMILAR = 12
"""Longest key that can be similar to a known one."""
_HOST = re.compile(r"(?!-)[A-Za-z0-9._:-]{1,253}")  # RunCommand would pass a leading hyphen as an option


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry before validation; ``fields`` is ``None`` if it has the syntax error ``malformed``."""

    place: str
    host: object
    fields: Mapping[str, object] | None
    malformed: str

    @classmethod
    def of(cls, place: str, host: object, pairs: Iterable[tuple[str, object]]) -> Entry:
        """Return the entry with these fields, which is malformed if a key occurs twice."""
        try:
            return cls(place, host, unique(pairs, host), "")
        except Refused as refused:
            return cls(place, host, None, str(refused))


class Refused(ValueError):  # noqa: N818  # the outcome of a validation
    """An invalid entry, or an invalid list; the text gives the reason, on one line."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))  # hosts and keys of a source, in alerts


class UnknownKeys:
    """The unknown keys of one list, each compared once with the known ones, because that is slow."""

    def __init__(self) -> None:
        self._meant: dict[str, str] = {}

    def meant(self, key: str) -> str:
        """Return the known key that a similar one stands for, or an empty text. Raises :class:`Refused`."""
        if key not in self._meant:
            if len(self._meant) >= _MOST_UNKNOWN:
                raise Refused(f"key {shown(key)}: more than {_MOST_UNKNOWN} different unknown keys in the list")
            similar = get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.8) if len(key) <= _LONGEST_SIMILAR else []
            self._meant[key] = similar[0] if similar else ""
        return self._meant[key]


def member(entry: Entry, members: Container[str], unknown: UnknownKeys | None = None) -> Member:
    """Return the member of a valid entry whose host is not in ``members``. Raises :class:`Refused`.

    ``unknown`` has the unknown keys of the other entries of the list.
    """
    host, fields = entry.host, entry.fields
    if fields is None:
        raise Refused(entry.malformed)
    if not isinstance(host, str) or not is_host(host):
        raise Refused(f"host {shown(host)}, wanted a name or an address")
    if host in members:
        raise Refused(f"host {host} is listed already")
    if not fields.keys() <= _KEYS:
        unknown = unknown or UnknownKeys()
        for key in fields.keys() - _KEYS:
            # Other tools may add keys; but a misspelt `enabled` must not leave a disabled server in service.
            if meant := unknown.meant(key):
                raise Refused(f"unknown key {shown(key)} of host {host} (did you mean {meant!r}?)")
    weight = fields.get("weight", _DEFAULT.weight)
    # A bool is an int for isinstance.
    if type(weight) is not int or not 0 <= weight <= HIGHEST_WEIGHT:
        raise Refused(f"weight {shown(weight)} of host {host}, wanted an integer from 0 to {HIGHEST_WEIGHT}")
    enabled = fields.get("enabled", _DEFAULT.enabled)
    if not isinstance(enabled, bool):
        raise Refused(f"enabled {shown(enabled)} of host {host}, wanted true or false")
    return Member(host, weight, enabled)


def is_host(host: object) -> bool:
    """Return whether a value is a valid name or address of a host."""
    return isinstance(host, str) and _HOST.fullmatch(host) is not None


def unique(pairs: Iterable[tuple[str, object]], host: object) -> dict[str, object]:
    """Return the fields of an entry. Raises :class:`Refused` if a key occurs twice."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise Refused(f"duplicate key {shown(name)} of host {shown(host)}")
        fields[name] = value
    return fields


def integer(digits: str) -> int | float:
    """Return an integer, or a float if it has too many digits for a fast exact conversion."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def shown(value: object) -> str:
    """Return a value for a message, shortened; an object is a tuple of pairs here."""
    if isinstance(value, list | tuple | dict):
        return "a list" if isinstance(value, list) else "an object"
    # A text may have megabytes.
    text = repr(value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
