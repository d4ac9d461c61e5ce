"""Sanity checks on a new list: refuse it if it is empty, too long or lost too many servers. Pure.

Operators disable servers, at any number, and remove one or a few. A truncated file, a deleted directory or an HTML page
looks like a list with no servers, or too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble

SMALLEST = 4
"""Smallest list to which ``max-depool-step`` applies."""


@dataclass(frozen=True, slots=True)
class SafeList:
    """An accepted list; ``kept`` has the hosts that stay enabled although the list disables them."""

    members: tuple[Member, ...]
    kept: tuple[str, ...] = ()


def safe_list(before: Sequence[Member] | None, after: tuple[Member, ...], settings: SourceSettings) -> SafeList:
    """Return the list ``after`` with the admin floor applied; ``before`` is the last accepted list.

    Raises :class:`SourceError` if the list is refused.
    """
    if not after and not settings.allow_empty:
        raise SourceError("refused an empty server list (set allow-empty = yes to accept it)", Trouble.EMPTY)
    if len(after) > settings.max_pool_size:
        raise SourceError(
            f"refused a list of {len(after)} servers: more than max-pool-size = {settings.max_pool_size} "
            "(raise max-pool-size to accept it)",
            Trouble.GROWN,
        )
    gone = len(before or ()) - len(after)
    if before and len(before) >= SMALLEST and gone > settings.max_step * len(before):
        raise SourceError(
            f"refused a list of {len(after)} servers after one of {len(before)}: more than {settings.max_step:g} of them "
            "removed in one step (set max-depool-step = 1 to accept it)",
            Trouble.SHRUNK,
        )
    return _floored(before or (), after, settings.admin_floor)


def _floored(before: Sequence[Member], after: tuple[Member, ...], floor: int) -> SafeList:
    """Keep servers enabled that were enabled, in list order, until their number reaches the floor."""
    missing = floor - sum(member.enabled for member in after)
    if missing <= 0:
        return SafeList(after)
    enabled = {member.host for member in before if member.enabled}
    kept = tuple(member.host for member in after if member.host in enabled and not member.enabled)[:missing]
    reenabled = frozenset(kept)
    return SafeList(tuple(replace(m, enabled=True) if m.host in reenabled else m for m in after), kept)
