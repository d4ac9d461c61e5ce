"""The activities of a process, to find those that have stopped without an exception.

A reactor with a set of them, ``activities``, is their clock: each :class:`~pybal.runtime.activity.Activity` on it is a member for as
long as it exists. Members are asked when alerts are requested, so no further periodic call can stop.

After a pause of the process or the host every call is due, and alerts may be requested before the loop makes them. Therefore an activity
is late only against the calls that the loop has made; a late loop has its own alert.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol
from weakref import WeakSet

from pybal.core.model import Alert


class _Activity(Protocol):
    name: str

    def stalled(self, reached: float) -> str:
        """Return why the activity does not go on, empty if it does."""


class Activities:
    """A set of activities that does not keep them alive."""

    def __init__(self) -> None:
        self.reached = math.inf
        """The loop has made all calls that were due before this monotonic time, in seconds."""
        self._members: WeakSet[_Activity] = WeakSet()

    def __iter__(self) -> Iterator[_Activity]:
        return iter(tuple(self._members))

    def add(self, activity: _Activity) -> None:
        """Add an activity."""
        self._members.add(activity)

    def stalled(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each activity that has stopped, and why."""
        for activity in self:
            if problem := activity.stalled(self.reached):
                yield activity.name, problem

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each activity that has stopped."""
        for name, problem in self.stalled():
            yield Alert("", "stalled", f"{name}: {problem}; restart pybal if this lasts", subject=name)
