"""ExaBGP's Adj-RIB-Out towards one router, at its worst: changes of one prefix that wait together leave in any order.

What was measured with 4.2.21 and 5.0.15: an announcement equal to the last one told does nothing; a withdrawal is always sent;
what was told is sent again when a session begins; each update that is sent is an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pybal.bgp.adj_rib_out import AdjRIBOut, RouteChange
from pybal.bgp.model import Announcement, Prefix


@dataclass(frozen=True, slots=True)
class Update:
    prefix: Prefix
    new: Announcement | None


@dataclass
class Rib:
    """``router`` is what the router believes; ``pending`` waits; ``told`` is what was last said."""

    up: bool = False
    told: dict[Prefix, Announcement] = field(default_factory=dict)
    pending: list[Update] = field(default_factory=list)
    router: dict[Prefix, Announcement] = field(default_factory=dict)

    def take(self, change: RouteChange) -> None:
        if change.new is None:
            self.told.pop(change.prefix, None)
            self.pending.append(Update(change.prefix, None))
        elif self.told.get(change.prefix) != change.new:
            self.told[change.prefix] = change.new
            self.pending.append(Update(change.prefix, change.new))

    def send(self, order: Callable[[list[Update]], list[Update]]) -> list[Update]:
        """Send what waits, in that order; return the events."""
        if not self.up:
            return []
        sent, self.pending = order(self.pending), []
        for update in sent:
            if update.new is None:
                self.router.pop(update.prefix, None)
            else:
                self.router[update.prefix] = update.new
        return sent

    def begin(self) -> None:
        self.up = True
        waiting = {update.prefix: update.new for update in self.pending}
        self.pending += [Update(p, told) for p, told in self.told.items() if waiting.get(p) != told]

    def fall(self) -> None:
        self.up = False
        self.router.clear()


def hear(adj: AdjRIBOut, update: Update) -> None:
    if update.new is None:
        adj.withdrawn(update.prefix)
    else:
        adj.announced(update.new)
