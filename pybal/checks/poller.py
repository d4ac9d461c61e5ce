"""Events of descriptors, edge-triggered, in the order of their arrival.

A turn may end before all polled events are handled, so a descriptor may be closed and its number reused by then: an event counts
only for the registration that it was polled for.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Protocol

from pybal.checks.result import Result
from pybal.checks.wheel import Timed

EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP

_BATCH = 256
_EDGE = select.EPOLLET


class Watcher(Timed, Protocol):
    """The receiver of events of a descriptor: a check."""

    event: Callable[[int], None]
    """Handles the event mask of its descriptor."""

    @property
    def name(self) -> str:
        """The name for people: ``HTTP 10.0.0.1 port 80``."""

    def settle(self, result: Result) -> None:
        """Deliver the result to its owner."""

    def broke(self, error: Exception) -> None:
        """Handle an unexpected exception of :attr:`event`."""


class Poller:
    """The watched descriptors, and their polled events that wait to be handled.

    ``events`` are pairs of descriptor and mask, the oldest last. Those of descriptors in ``registered`` are of an earlier owner of
    the number.
    """

    __slots__ = ("_complete_at", "_epoll", "_open_epoll", "_polled_at", "_unseen", "events", "registered", "watchers")

    def __init__(self, epoll: Callable[[], select.epoll]) -> None:
        self.watchers: dict[int, Watcher] = {}
        self._open_epoll = epoll
        self._epoll: select.epoll | None = None
        self.events: list[tuple[int, int]] = []
        self.registered: set[int] = set()
        self._polled_at = self._complete_at = 0.0
        self._unseen = 0

    def open(self) -> int:
        """Open, and return a descriptor that is readable while events are pending."""
        self._epoll = self._open_epoll()
        return self._epoll.fileno()

    def close(self) -> None:
        """Forget all descriptors without closing them."""
        if self._epoll is not None:
            self._epoll.close()
        self._epoll = None
        self.watchers.clear()
        self.events.clear()

    @property
    def is_open(self) -> bool:
        return self._epoll is not None

    def watch(self, watcher: Watcher, fileno: int, events: int = EVENTS) -> None:
        """Poll events, edge-triggered, until the watcher leaves ``watchers``."""
        if self._epoll is None:
            raise RuntimeError("check started while the engine is not running")
        self._epoll.register(fileno, events | _EDGE)
        self.watchers[fileno] = watcher
        if self.events:
            self.registered.add(fileno)

    def poll(self, now: float) -> int:
        """Poll unless events wait; return how many wait."""
        if self._epoll is None or self.events:
            return len(self.events)
        if self._unseen <= 0:
            self._complete_at, self._polled_at = self._polled_at, now
            self._unseen = len(self.watchers)
        self.registered.clear()
        events = self.events = self._epoll.poll(0, _BATCH)
        events.reverse()
        # The kernel returns the oldest events first, so that many events include all that had arrived by then.
        self._unseen = self._unseen - _BATCH if len(events) == _BATCH else 0
        return len(events)

    @property
    def complete_at(self) -> float:
        """The time until which all events have been handled."""
        return self._polled_at if self._unseen <= 0 and not self.events else self._complete_at
