"""What is believed of a list: operators are obeyed at any size, but half a list that is gone at once is nobody's word.

An operator disables servers, and removes one or a few. A truncated file, a directory that vanished and a page of HTML
look like a list of nobody, or of too few. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError, Trouble

SMALLEST = 4
"""A list of fewer members may lose any number in one step."""


@dataclass(frozen=True, slots=True)
class SafeList:
    """What is believed: ``kept`` are the hosts that count as enabled although the list says otherwise."""

    members: tuple[Member, ...]
    kept: tuple[str, ...] = ()


def guarded(before: Sequence[Member] | None, after: tuple[Member, ...], settings: SourceSettings) -> SafeList:
    """Return what is believed of the list ``after``, which follows upon ``before``, ``None`` if it is the first.

    Raises :class:`SourceError` if it is refused.
    """
    if not after and not settings.allow_empty:
        raise SourceError("lists no servers; allow-empty = yes would let it", Trouble.EMPTY)
    gone = len(before or ()) - len(after)
    if before and len(before) >= SMALLEST and gone > settings.max_step * len(before):
        raise SourceError(
            f"lists {len(after)} servers where there were {len(before)}, wanted at most {settings.max_step:g} of them "
            "gone at once; "
            "max-depool-step = 1 would let it",
            Trouble.SHRUNK,
        )
    return _floored(before or (), after, settings.admin_floor)


def _floored(before: Sequence[Member], after: tuple[Member, ...], floor: int) -> SafeList:
    """Keep servers enabled that were, in the order of the list, until there are as many as the floor."""
    missing = floor - sum(member.enabled for member in after)
    if missing <= 0:
        return SafeList(after)
    enabled = {member.host for member in before if member.enabled}
    kept = tuple(member.host for member in after if member.host in enabled and not member.enabled)[:missing]
    return SafeList(tuple(replace(m, enabled=True) if m.host in kept else m for m in after), kept)
