"""A fake of ExaBGP's Adj-RIB-Out for one router: it sends pending changes of a prefix in any order.

Measured with 4.2.21 and 5.0.15: an announcement equal to the held one does nothing; a withdrawal is always sent; held
routes are sent again when a session starts; each update sent is an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pybal.bgp.adj_rib_out import AdjRIBOut, RouteChange
from pybal.bgp.model import Announcement, Prefix


@dataclass(frozen=True, slots=True)
class Update:
    """An update to the router: a route, or with ``None`` a withdrawal."""

    prefix: Prefix
    new: Announcement | None


@dataclass
class FakeRIB:
    """``router`` has the router's routes, ``pending`` the updates not sent yet, ``held`` ExaBGP's routes."""

    up: bool = False
    held: dict[Prefix, Announcement] = field(default_factory=dict)
    pending: list[Update] = field(default_factory=list)
    router: dict[Prefix, Announcement] = field(default_factory=dict)

    def take(self, change: RouteChange) -> None:
        if change.new is None:
            self.held.pop(change.prefix, None)
            self.pending.append(Update(change.prefix, None))
        elif self.held.get(change.prefix) != change.new:
            self.held[change.prefix] = change.new
            self.pending.append(Update(change.prefix, change.new))

    def send(self, order: Callable[[list[Update]], list[Update]]) -> list[Update]:
        """Send the pending updates in that order; return the events."""
        if not self.up:
            return []
        sent, self.pending = order(self.pending), []
        for update in sent:
            if update.new is None:
                self.router.pop(update.prefix, None)
            else:
                self.router[update.prefix] = update.new
        return sent

    def establish(self) -> None:
        self.up = True
        waiting = {update.prefix: update.new for update in self.pending}
        self.pending += [Update(p, held) for p, held in self.held.items() if waiting.get(p) != held]

    def lose_session(self) -> None:
        self.up = False
        self.router.clear()


def report(adj: AdjRIBOut, update: Update) -> None:
    """Report an update as an event."""
    if update.new is None:
        adj.withdrawn(update.prefix)
    else:
        adj.announced(update.new)
