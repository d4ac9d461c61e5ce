"""The activities of a process, to find those that have stopped without an exception.

A reactor with a set of them, ``activities``, is their clock: each :class:`~pybal.runtime.activity.Activity` on it is a member for as
long as it exists. Members are asked when alerts are requested, so no further periodic call can stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol
from weakref import WeakSet

from pybal.core.model import Alert


class Stallable(Protocol):
    """An activity that can tell whether it goes on."""

    name: str

    def stalled(self) -> str:
        """Return why the activity does not go on, empty if it does."""


class Activities:
    """A set of activities that does not keep them alive."""

    def __init__(self) -> None:
        self._members: WeakSet[Stallable] = WeakSet()

    def __iter__(self) -> Iterator[Stallable]:
        return iter(tuple(self._members))

    def add(self, activity: Stallable) -> None:
        """Add an activity."""
        self._members.add(activity)

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each activity that has stopped."""
        for activity in self:
            if problem := activity.stalled():
                text = f"{activity.name}: {problem}; restart pybal if this lasts"
                yield Alert("", "stalled", text, subject=activity.name)
