"""Units shared fairly between owners: no owner can keep the others from working."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable

AMBITION = 4
"""An owner takes further units while it holds fewer than this many times the free ones.

Alone, it takes up to four fifths.
"""


class _Owner:
    __slots__ = ("held", "since", "waiting")

    def __init__(self, since: float) -> None:
        self.held = 0
        self.waiting: deque[tuple[Callable[[], None], float]] = deque()
        self.since = since
        """The time since which its queue has not been empty."""


class Shares:
    """A semaphore of about ``most`` units; ``begin`` is called with each acquired unit.

    * The first unit of each owner is always available, even beyond ``most``.
    * Further units are available while the owner holds fewer than :data:`AMBITION` times the free ones.
    * The owner with the fewest units is first; the units of one owner are given in order of arrival.
    """

    __slots__ = ("_owners", "_running", "most", "taken")

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._owners: dict[Hashable, _Owner] = {}
        self._running = False

    @property
    def waiting(self) -> int:
        """The number of waiters."""
        return sum(len(owner.waiting) for owner in self._owners.values())

    def delay(self, owner: Hashable, now: float) -> tuple[float, float]:
        """Return the age of the first waiter and of the queue of an owner, in seconds; 0 without one."""
        found = self._owners.get(owner)
        return (now - found.waiting[0][1], now - found.since) if found and found.waiting else (0.0, 0.0)

    def acquire(self, begin: Callable[[], None], owner: Hashable, now: float) -> None:
        """Acquire a unit, now or later."""
        found = self._owners.setdefault(owner, _Owner(now))
        if not found.waiting:
            found.since = now
        found.waiting.append((begin, now))
        self._run()

    def cancel(self, begin: Callable[[], None], owner: Hashable) -> None:
        """Remove a waiter."""
        found = self._owners[owner]
        found.waiting = deque(each for each in found.waiting if each[0] != begin)
        self._forget(owner, found)

    def release(self, owner: Hashable) -> None:
        """Return a unit."""
        found = self._owners[owner]
        found.held -= 1
        self.taken -= 1
        self._forget(owner, found)
        self._run()

    def _run(self) -> None:
        # A loop instead of recursion: each of many waiters may release immediately.
        if self._running:
            return
        self._running = True
        try:
            while (owner := self._next()) is not None:
                owner.held += 1
                self.taken += 1
                begin, _ = owner.waiting.popleft()
                begin()
        finally:
            self._running = False

    def _next(self) -> _Owner | None:
        most_held = AMBITION * (self.most - self.taken)
        able = [one for one in self._owners.values() if one.waiting and (not one.held or one.held < most_held)]
        return min(able, key=lambda one: (one.held, one.waiting[0][1]), default=None)

    def _forget(self, key: Hashable, owner: _Owner) -> None:
        if not owner.held and not owner.waiting:
            del self._owners[key]
