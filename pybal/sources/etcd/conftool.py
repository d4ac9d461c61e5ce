"""The values that conftool writes: one key for each server, its name the host, read alike from both versions of etcd.

::

    /conftool/v1/pools/DC/CLUSTER/SERVICE/HOST    {"weight": INTEGER, "pooled": "yes" | "no" | "inactive"}

``yes`` is enabled and ``no`` disabled; a server that is ``inactive``, or has no key, is not in the pool. Other members of
the object are not looked at. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pybal.core.model import Member
from pybal.sources.formats.entry import Entry, Refused, integer, member, shown
from pybal.sources.formats.text import Listing

WANTED = '{"weight": INTEGER, "pooled": "yes", "no" or "inactive"}'
_POOLED = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class _Value:
    """What one key says: ``member`` is the last good word about the host, ``None`` if it is not in the pool."""

    text: str | bytes
    member: Member | None
    problem: str = ""


class Values:
    """The values below ``directory``, the last good one of each key for those that are wrong now.

    A value that has not changed is not parsed again: of a thousand changes, each makes a list of all.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[str, _Value] = {}

    def listing(self, texts: Mapping[str, str | bytes]) -> Listing:
        """Return the members that ``texts``, by their keys without the directory, stand for, in the order of the keys."""
        self._known = {key: self._value(key, texts[key]) for key in sorted(texts)}
        members = tuple(value.member for value in self._known.values() if value.member)
        return Listing(members, tuple(value.problem for value in self._known.values() if value.problem))

    def _value(self, key: str, text: str | bytes) -> _Value:
        before = self._known.get(key)
        if before is not None and before.text == text:
            return before
        try:
            return _Value(text, parsed(key, text))
        except Refused as refused:
            return _Value(text, before.member if before else None, f"key {self._directory}/{key}: {refused}")


def parsed(host: str, text: str | bytes) -> Member | None:
    """Return the member that a value makes of a host, ``None`` if it is inactive. Raises :class:`Refused`."""
    try:
        fields = json.loads(text, parse_int=integer)
    except (ValueError, RecursionError) as error:
        raise Refused(f"value of host {shown(host)} is not JSON ({error}), wanted {WANTED}") from None
    if not isinstance(fields, dict) or "pooled" not in fields:
        raise Refused(f"value of host {shown(host)}, wanted {WANTED}")
    pooled = fields["pooled"]
    if pooled == "inactive":
        return None
    if not isinstance(pooled, str) or pooled not in _POOLED:
        raise Refused(f"pooled {shown(pooled)} of host {host}, wanted yes, no or inactive")
    if "weight" not in fields:
        raise Refused(f"value of host {shown(host)} without weight, wanted {WANTED}")
    return member(Entry("", host, {"weight": fields["weight"], "enabled": _POOLED[pooled]}, WANTED), ())
