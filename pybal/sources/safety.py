"""Sanity checks on a new list: which pooled hosts may leave with it. Pure.

Operators disable servers, at any number, and remove one or a few; hosts that a list itself declares out of the pool leave at
any number, too. A truncated file, a deleted directory, the list of another cluster or a changing part of a list make pooled
hosts vanish. Such a list is refused: its values count for the hosts that the pool has already, its other changes wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.core.text import numbered
from pybal.sources.base import PoolState, SourceError, Trouble

SMALLEST = 4
"""Smallest number of pooled hosts to which the share ``max-depool-step`` applies."""


@dataclass(frozen=True, slots=True)
class NewList:
    """A list as its source read it.

    ``removed`` are hosts that the source declares out of the pool; those that are ``unsure`` stay as they are in the pool. An
    ``incomplete`` list has entries that may be of any host, so no host leaves with it.
    """

    members: tuple[Member, ...]
    removed: frozenset[str] = frozenset()
    incomplete: bool = False
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SafeList:
    """The members to use: the whole list, or with a ``refusal`` the part of it that cannot do harm.

    ``kept`` has the hosts that stay enabled although the list disables them. ``departed`` are the pooled hosts that vanish with the list,
    ``obeyed`` those that it declares out of the pool.
    """

    members: tuple[Member, ...]
    kept: tuple[str, ...] = ()
    departed: frozenset[str] = frozenset()
    obeyed: frozenset[str] = frozenset()
    refusal: SourceError | None = None


class _Refusal(NamedTuple):
    """The reason of a refusal, and the setting that accepts the list."""

    text: str
    setting: str
    trouble: Trouble


def safe_list(
    pool: PoolState,
    new: NewList,
    settings: SourceSettings,
    gone: Collection[str] = (),
    remedy: str = "",
    *,
    accepted: bool = False,
) -> SafeList:
    """Return what to use of the list ``new`` in the present ``pool``.

    ``gone`` are the hosts that vanished within the last ``max-depool-window``; ``remedy`` is a further way to accept a refused list.
    A list that the operator has ``accepted`` is not refused; hosts that it has with invalid values stay nevertheless.
    """
    new = _with_unsure(pool, new)
    listed = hosts_of(new.members)
    missing = pool.pooled - listed
    departed = missing - new.removed
    refusal = None
    if not accepted:
        refusal = _refused_length(pool, new, settings) or _refused_loss(
            len(new.members), settings, pool.pooled - new.removed, departed, frozenset(gone) - listed
        )
    members = _merged(pool.members or (), new) if refusal else new.members
    floored, kept = _floored(pool.members or (), members, settings.admin_floor)
    error = SourceError(f"refused {refusal.text} ({refusal.setting}{remedy})", refusal.trouble) if refusal else None
    return SafeList(floored, kept, frozenset() if refusal else departed, missing & new.removed, error)


def hosts_of(members: Iterable[Member]) -> frozenset[str]:
    """Return the hosts of members; no loop in Python visits them."""
    return frozenset(map(attrgetter("host"), members))


def enabled_number(members: Iterable[Member], most: int) -> int:
    """Return the number of enabled members, at most ``most``."""
    return len(tuple(islice(filter(attrgetter("enabled"), members), max(0, most))))


def _refused_length(pool: PoolState, new: NewList, settings: SourceSettings) -> _Refusal | None:
    was_empty = pool.members is not None and not pool.members
    if not new.members and not new.removed and not settings.allow_empty and not was_empty:
        step = " and max-depool-step = 1" if len(pool.pooled) >= SMALLEST and settings.max_step < 1 else ""
        return _Refusal("an empty server list", f"set allow-empty = yes{step} to accept it", Trouble.EMPTY)
    if len(new.members) > settings.max_pool_size:
        text = f"a list of {len(new.members)} servers: more than max-pool-size = {settings.max_pool_size}"
        return _Refusal(text, "raise max-pool-size to accept it", Trouble.GROWN)
    return None


def _refused_loss(
    length: int,
    settings: SourceSettings,
    present: AbstractSet[str],
    departed: AbstractSet[str],
    gone: AbstractSet[str],
) -> _Refusal | None:
    """Judge the loss of the hosts ``departed``, of those ``present``, after that of the hosts ``gone``."""
    before, leaving, earlier = len(present | gone), len(departed | gone), len(gone - departed)
    share = Decimal(str(settings.max_step))
    allowed = int(share * before) if before >= SMALLEST else before
    if departed == present and share < 1 and (length or not settings.allow_empty):
        allowed = min(allowed, before - 1)
    if not departed or leaving <= allowed:
        return None
    within = f" ({earlier} of them left within the last {settings.window:g} s)" if earlier else ""
    text = f"a list of {numbered(length, 'server')}: it lacks {leaving} of {numbered(before, 'pooled server')}{within}, at most {allowed} may leave"
    return _Refusal(text, "set max-depool-step = 1 to accept any list", Trouble.SHRUNK)


def _with_unsure(pool: PoolState, new: NewList) -> NewList:
    """Return the list with the present values of the hosts about which it is inconclusive."""
    if not new.incomplete and not new.unsure:
        return new
    if not new.incomplete and new.unsure.isdisjoint(hosts_of(pool.members or ())):
        return new
    present = {member.host: member for member in pool.members or ()}
    members = [present.get(m.host, m) if m.host in new.unsure else m for m in new.members]
    absent = present.keys() - {m.host for m in members} - new.removed
    staying = [m for m in present.values() if m.host in absent and (new.incomplete or m.host in new.unsure)]
    return replace(new, members=(*members, *staying))


def _merged(before: Sequence[Member], new: NewList) -> tuple[Member, ...]:
    """Return ``before`` with the values of the new list, without the hosts that it declares out."""
    found: Mapping[str, Member] = {member.host: member for member in new.members}
    return tuple(found.get(member.host, member) for member in before if member.host not in new.removed)


def _floored(
    before: Sequence[Member], after: tuple[Member, ...], floor: int
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Keep enabled servers enabled, in list order, until they reach the floor; return also their hosts."""
    missing = floor - enabled_number(after, floor)
    if missing <= 0:
        return after, ()
    enabled = {member.host for member in before if member.enabled}
    kept = tuple(member.host for member in after if member.host in enabled and not member.enabled)[:missing]
    reenabled = frozenset(kept)
    return tuple(replace(m, enabled=True) if m.host in reenabled else m for m in after), kept
