"""One entry of a pool list, in whatever format it was written: what makes a member of it, or why none can be made. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pybal.core.model import Member

#: IPVS keeps weights in an ``int``.
HIGHEST_WEIGHT = 2**31 - 1

_LONGEST_SHOWN = 60
_MOST_DIGITS = 18
_DEFAULT = Member("")
_KEYS = frozenset(("host", "weight", "enabled"))
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of one host, not looked at yet; ``fields`` is ``None`` where it is ``malformed``."""

    place: str
    host: object
    fields: Mapping[str, object] | None
    malformed: str


class Refused(ValueError):  # noqa: N818  # said of an entry, or of all
    """Why something is refused."""


def member(entry: Entry, members: Container[str]) -> Member:
    """Return the member that an entry stands for, one that is not in ``members`` yet. Raises :class:`Refused`."""
    host, fields = entry.host, entry.fields
    if fields is None:
        raise Refused(entry.malformed)
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise Refused(f"host {shown(host)}, wanted a name or an address")
    if host in members:
        raise Refused(f"host {host} is listed already")
    for key in fields.keys() - _KEYS:
        # Other keys are other tools' business; but a server that was to be disabled must not serve for a slip.
        if meant := get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.8):
            raise Refused(f"{shown(key)} of host {host}, wanted {meant[0]!r}")
    weight = fields.get("weight", _DEFAULT.weight)
    # A bool is an int for isinstance.
    if type(weight) is not int or not 0 <= weight <= HIGHEST_WEIGHT:
        raise Refused(f"weight {shown(weight)} of host {host}, wanted an integer from 0 to {HIGHEST_WEIGHT}")
    enabled = fields.get("enabled", _DEFAULT.enabled)
    if not isinstance(enabled, bool):
        raise Refused(f"enabled {shown(enabled)} of host {host}, wanted true or false")
    return Member(host, weight, enabled)


def integer(digits: str) -> int | float:
    """Return a number too large to be of use as a float: to convert it exactly takes long, or is refused."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def shown(value: object) -> str:
    """Return a value as it may stand in a message: shortened, objects as tuples of pairs."""
    if isinstance(value, list | tuple):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
