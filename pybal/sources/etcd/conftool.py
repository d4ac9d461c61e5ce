"""Values written by conftool: one key for each server, with the host as its name. Pure.

::

    /conftool/v1/pools/DC/CLUSTER/SERVICE/HOST    {"weight": INTEGER, "pooled": "yes" | "no" | "inactive"}

``yes`` is enabled, ``no`` is disabled. A server that is ``inactive`` or has no key is not in the pool; ``inactive`` is the
operator's decision and applied at any number, a loss of keys is not (:mod:`pybal.sources.safety`). Other members of the object
are ignored. Both versions of etcd's API return the same values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pybal.core.model import Member
from pybal.core.steps import Steps, parts
from pybal.core.text import printable
from pybal.sources.etcd.responses import size
from pybal.sources.formats.entry import Entry, Refused, integer, is_host, member, shown, unique
from pybal.sources.formats.text import Listing
from pybal.sources.ordered import in_order, put

Text = str | bytes | None
"""A value; ``None`` if it is not a string."""

WANTED = '{"weight": INTEGER, "pooled": "yes", "no" or "inactive"}'
LONGEST_VALUE = 4096
"""Longest value, in characters; conftool writes 50. A longer one is cut, hence invalid."""
_STEP = 64
_POOLED = {"yes": True, "no": False}


class NotPooled(Refused):
    """A value that is ``no``, without a valid weight."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A parsed value; ``member`` is that of the last valid text of the key, ``None`` if not in the pool.

    ``inactive`` is whether that text has this value; false without a valid text.
    """

    text: Text
    member: Member | None
    inactive: bool
    problem: str = ""


class Values:
    """The parsed values of the keys of ``directory``, which are relative to it.

    An invalid value keeps the member of the last valid one, but disabled if it is ``no`` and only its weight is invalid. ``size`` has
    the bytes that count for all keys. A change of one key and a list cost the parser of one value and some copies of tables: no loop
    in Python visits the other keys.
    """

    def __init__(self, directory: str) -> None:
        self.size = 0
        self._directory = directory
        self._known: dict[str, _Value] = {}
        self._members: dict[str, Member] = {}
        self._problems: dict[str, str] = {}
        self._inactive: dict[str, bool] = {}
        self._unsure: dict[str, bool] = {}

    def put(self, key: str, text: Text) -> bool:
        """Set the value of a key; return whether it differs from the last one."""
        before = self._known.get(key)
        if before is not None and before.text == text:
            return False
        self._replace(key, self._parsed(key, text, before))
        return True

    def remove(self, key: str) -> None:
        """Forget a key, also its last valid value."""
        self._replace(key, None)

    def replacing(self, texts: Iterable[tuple[str, Text]]) -> Steps[int]:
        """Set all keys with their values in short steps; return the number of differences."""
        differences, found = 0, set[str]()
        for number, (key, text) in enumerate(texts, 1):
            if not number % _STEP:
                yield
            found.add(key)
            differences += self.put(key, text)
        for part in parts(self._known.keys() - found):
            yield
            differences += len(part)
            for key in part:
                self.remove(key)
        return differences

    def listing(self) -> Listing:
        """Return the members and the problems, in the order of their keys."""
        self._members, self._problems = in_order(self._members), in_order(self._problems)
        members, problems = tuple(self._members.values()), tuple(self._problems.values())
        return Listing(members, problems, frozenset(self._inactive), unsure=frozenset(self._unsure))

    def _replace(self, key: str, value: _Value | None) -> None:
        put(self._members, key, value.member if value else None)
        put(self._problems, key, value.problem if value else "")
        put(self._inactive, key, value is not None and value.inactive)
        put(self._unsure, key, value is not None and not value.inactive and not value.member)
        before = self._known.get(key)
        self.size += (size(key, value.text) if value else 0) - (size(key, before.text) if before else 0)
        # Last: after an exception, the same value is set again.
        put(self._known, key, value)

    def _parsed(self, key: str, text: Text, before: _Value | None) -> _Value:
        try:
            member = parse_value(key, text)
        except Refused as refused:
            problem = f"key {printable(f'{self._directory}/{key}')}: {refused}"
            known, inactive = (before.member, before.inactive) if before else (None, False)
            if isinstance(refused, NotPooled):
                known, inactive = replace(known or Member(key), enabled=False), False
            return _Value(text, known, inactive, problem)
        return _Value(text, member, member is None)


def parse_value(host: str, text: Text) -> Member | None:
    """Return the member that a value defines, ``None`` if it is inactive. Raises :class:`Refused`.

    The exception is a :class:`NotPooled` if the value is ``no`` and only its weight is invalid.
    """
    if text is None:
        raise Refused(f"value of host {shown(host)} is not a string, wanted {WANTED}")
    try:
        pairs = json.loads(text[: LONGEST_VALUE + 1], parse_int=integer, object_pairs_hook=tuple)
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"value of host {shown(host)} is not JSON ({error}), wanted {WANTED}") from None
    fields = unique(pairs, host) if isinstance(pairs, tuple) else {}
    if "pooled" not in fields:
        raise Refused(f"value of host {shown(host)} has no pooled, wanted {WANTED}")
    pooled = fields["pooled"]
    if pooled == "inactive":
        return None
    if not isinstance(pooled, str) or pooled not in _POOLED:
        raise Refused(f"pooled {shown(pooled)} of host {host}, wanted yes, no or inactive")
    malformed = "" if "weight" in fields else f"value of host {shown(host)} has no weight, wanted {WANTED}"
    values = None if malformed else {"weight": fields["weight"], "enabled": _POOLED[pooled]}
    try:
        return member(Entry("", host, values, malformed), ())
    except Refused as refused:
        if _POOLED[pooled] or not is_host(host):
            raise
        raise NotPooled(str(refused)) from None
