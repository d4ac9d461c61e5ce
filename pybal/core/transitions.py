"""The last transitions of one monitor, packed. Pure.

An entry takes 15 bytes and its reasons, of at most :data:`LONGEST_REASON` bytes each, so that :data:`KEPT_TRANSITIONS` take less than
6 KB. A monitor that was always up has no log.

    offset  bytes  field
         0      8  at: monotonic time, seconds
         8      1  1 if up, else 0
         9      1  length of the first reason
        10      1  length of the last reason
        11      4  seconds from the first to the last reason
        15         first reason, last reason
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pybal.core.text import ascii_of

KEPT_TRANSITIONS = 50
"""Transitions per monitor."""
LONGEST_REASON = 95
"""ASCII characters."""

_HEAD = struct.Struct("<d?BBf")


class Transition(NamedTuple):
    """A change of a server between up and down according to one monitor.

    ``at`` is its monotonic time, in seconds; ``reason`` is empty if up. If the reason changed while the server was down,
    ``last_reason`` is the last one, of the time ``changed_at``.
    """

    at: float
    up: bool
    reason: str = ""
    changed_at: float | None = None
    last_reason: str = ""


class TransitionLog:
    """The last :data:`KEPT_TRANSITIONS` transitions of one monitor, the oldest first."""

    __slots__ = ("_count", "_last", "_packed")

    def __init__(self) -> None:
        self._packed = b""
        self._count = 0
        self._last = 0
        """The offset of the last entry."""

    def add(self, at: float, reason: str, *, up: bool) -> None:
        """Add a report: a transition, another reason of the last one, or neither.

        The first report is a transition only if it is down.
        """
        reason = ascii_of(reason, LONGEST_REASON)
        last = self._entry(self._last)[0] if self._count else Transition(at, up=True)
        if last.up is not up:
            self._append(Transition(at, up, reason))
        elif not up and reason != (last.last_reason or last.reason):
            self._packed = self._packed[: self._last] + _packed(last._replace(changed_at=at, last_reason=reason))

    def extend(self, later: Iterable[Transition]) -> None:
        """Add the transitions of a later log."""
        for at, up, reason, changed_at, last_reason in later:
            self.add(at, reason, up=up)
            if changed_at is not None:
                self.add(changed_at, last_reason, up=False)

    def shifted(self, seconds: float) -> TransitionLog:
        """Return the log with later times."""
        log = TransitionLog()
        log.extend(
            one._replace(at=one.at + seconds, changed_at=None if one.changed_at is None else one.changed_at + seconds)
            for one in self
        )
        return log

    def __iter__(self) -> Iterator[Transition]:
        place = 0
        while place < len(self._packed):
            transition, place = self._entry(place)
            yield transition

    def _append(self, transition: Transition) -> None:
        if self._count == KEPT_TRANSITIONS:
            _, start = self._entry(0)
            self._packed = self._packed[start:]
            self._count -= 1
        self._last = len(self._packed)
        self._packed += _packed(transition)
        self._count += 1

    def _entry(self, place: int) -> tuple[Transition, int]:
        """Return the entry at an offset, and the offset of the next one."""
        at, up, first, last, seconds = _HEAD.unpack_from(self._packed, place)
        start = place + _HEAD.size
        reason = self._packed[start : start + first].decode("ascii")
        end = start + first + last
        if not last:
            return Transition(at, up, reason), end
        return Transition(at, up, reason, at + seconds, self._packed[start + first : end].decode("ascii")), end


def _packed(transition: Transition) -> bytes:
    at, up, reason, changed_at, last_reason = transition
    seconds = 0.0 if changed_at is None else changed_at - at
    head = _HEAD.pack(at, up, len(reason), len(last_reason), seconds)
    return head + reason.encode("ascii") + last_reason.encode("ascii")
