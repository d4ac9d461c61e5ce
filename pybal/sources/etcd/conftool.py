"""Values written by conftool: one key for each server, with the host as its name. Pure.

::

    /conftool/v1/pools/DC/CLUSTER/SERVICE/HOST    {"weight": INTEGER, "pooled": "yes" | "no" | "inactive"}

``yes`` is enabled, ``no`` is disabled. A server that is ``inactive`` or has no key is not in the pool; ``inactive`` is the
operator's decision and applied at any number, a loss of keys is not (:mod:`pybal.sources.safety`). Other members of the object
are ignored. Both versions of etcd's API return the same values.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

from pybal.core.model import Member
from pybal.core.text import printable
from pybal.sources.formats.entry import Entry, Refused, integer, is_host, member, shown, unique
from pybal.sources.formats.text import Listing

Text = str | bytes | None
"""A value; ``None`` if it is not a string."""

WANTED = '{"weight": INTEGER, "pooled": "yes", "no" or "inactive"}'
LONGEST_VALUE = 4096
"""Longest value, in characters; conftool writes 50. A longer one is cut, hence invalid."""
MANY = 500
"""Number of new values from which parsing takes more than one step."""
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
    """A cache of the parsed values of ``directory``.

    An invalid value keeps the member of the last valid one, but disabled if it is ``no`` and only its weight is invalid. Unchanged values are not parsed again, because every single change results in a list of all members.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[str, _Value] = {}

    def listing(self, texts: Mapping[str, Text]) -> Listing:
        """Return the members in ``texts``, in the order of their keys, which are relative to the directory."""
        self._known = {key: self._value(key, texts[key]) for key in sorted(texts)}
        members = tuple(value.member for value in self._known.values() if value.member)
        problems = tuple(value.problem for value in self._known.values() if value.problem)
        inactive = frozenset(key for key, value in self._known.items() if value.inactive)
        unsure = frozenset(key for key, value in self._known.items() if not value.inactive and not value.member)
        return Listing(members, problems, inactive, unsure=unsure)

    def parsing(self, texts: Mapping[str, Text]) -> Generator[None, None, None]:
        """Parse the new values before :meth:`listing`, in short steps."""
        for number, key in enumerate(texts, 1):
            if not number % _STEP:
                yield
            self._known[key] = self._value(key, texts[key])

    def _value(self, key: str, text: Text) -> _Value:
        before = self._known.get(key)
        if before is not None and before.text == text:
            return before
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
