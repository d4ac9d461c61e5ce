"""The routes of one peer: the goal, the routes that ExaBGP holds, and those on the wire. Pure.

ExaBGP can send two queued changes of one prefix in the wrong order, although it answers ``done`` to both. Therefore:

* At most one change of a prefix is in flight: the next command is sent after the "update, send" event of the last one.
* While a session is down no command is sent: ExaBGP holds its last routes, and sends them itself when the session is
  established, so all of them are in flight then.
* A route that is not on the wire in time is withdrawn and announced again: ExaBGP ignores an announcement that equals
  the route it holds.

``now`` is in seconds, of a clock that stops while the daemon does not read ExaBGP's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pybal.bgp.model import Announcement, Prefix

WIRE_SECONDS = 2.0
"""Time for ExaBGP to send a change before it is repaired; doubled by each repair of the prefix."""
MAX_DOUBLINGS = 5
"""Upper limit of these doublings."""
MAX_ATTEMPTS = 3
"""Lost withdrawals of a route on the wire after which only a new session can remove it."""


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One command: announce ``new``, or withdraw ``old`` if ``new`` is ``None``.

    A ``repair`` withdraws a route that ExaBGP holds and has not sent.
    """

    prefix: Prefix
    new: Announcement | None
    old: Announcement | None = None
    repair: bool = False


@dataclass(frozen=True, slots=True)
class InFlight:
    """A change inside ExaBGP; ``before`` is the route that ExaBGP held before it."""

    new: Announcement | None
    deadline: float
    before: Announcement | None = None


class AdjRIBOut:
    """Bring the routes of one peer to the goal."""

    def __init__(self) -> None:
        self.goal: Mapping[Prefix, Announcement] = {}
        self.wire: dict[Prefix, Announcement] = {}
        """Routes sent to the peer in this session and not withdrawn."""
        self.refused: dict[Prefix, Announcement] = {}
        """Routes that ExaBGP refused; not sent again until the route or the session changes."""
        self.attempts: dict[Prefix, int] = {}
        """Overdue prefixes, with the number of missed deadlines."""
        self.repairs = 0
        self.established = False
        self._held: dict[Prefix, Announcement] = {}
        self.in_flight: dict[Prefix, InFlight] = {}
        self._dirty: dict[Prefix, None] = {}  # an ordered set
        self._undeletable: set[Prefix] = set()

    @property
    def stuck(self) -> bool:
        """True if the peer holds a route that ExaBGP fails to withdraw."""
        return bool(self._undeletable)

    def set_goal(self, goal: Mapping[Prefix, Announcement]) -> None:
        """Replace the goal."""
        before, self.goal = self.goal, goal
        for prefix in {**before, **goal}:
            if before.get(prefix) != goal.get(prefix):
                self._dirty[prefix] = None
                self.refused.pop(prefix, None)

    def up(self, now: float) -> None:
        """Record that the session is established: ExaBGP sends the routes it holds."""
        self.down()
        self.established = True
        self.in_flight = {prefix: InFlight(held, now + WIRE_SECONDS) for prefix, held in self._held.items()}
        self._dirty = dict.fromkeys(self.goal)  # the event or the deadline of each other route marks it dirty

    def down(self) -> None:
        """Record that the session ended: the peer holds no route."""
        self.established = False
        self.wire.clear()
        self.refused.clear()
        self.attempts.clear()
        self.in_flight.clear()
        self._undeletable.clear()

    def reset(self) -> None:
        """Record that ExaBGP ended: neither the peer nor ExaBGP holds a route."""
        self.down()
        self._held.clear()

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        """Yield at most ``room`` commands to send now; each is in flight when it is yielded."""
        if not self.established:
            return
        for prefix in list(self._dirty):
            if room <= 0:
                return
            if prefix in self.in_flight:
                continue  # its event or its deadline marks the prefix dirty again
            del self._dirty[prefix]
            if change := self._change(prefix):
                self._send(change, now)
                self.repairs += change.repair
                room -= 1
                yield change

    def _change(self, prefix: Prefix) -> RouteChange | None:
        want, held, wire = self.goal.get(prefix), self._held.get(prefix), self.wire.get(prefix)
        if want == held == wire or (want is not None and self.refused.get(prefix) == want):
            return None
        if want is None or want == held:
            # ExaBGP sends a route that it holds again only after a withdrawal.
            return RouteChange(prefix, None, held or wire, repair=want == held)
        return RouteChange(prefix, want)

    def _send(self, change: RouteChange, now: float) -> None:
        delay = WIRE_SECONDS * 2 ** min(self.attempts.get(change.prefix, 0), MAX_DOUBLINGS)
        self.in_flight[change.prefix] = InFlight(change.new, now + delay, self._held.get(change.prefix))
        self._set_held(change.prefix, change.new)

    def _set_held(self, prefix: Prefix, held: Announcement | None) -> None:
        if held is None:
            self._held.pop(prefix, None)
        else:
            self._held[prefix] = held

    def announced(self, announcement: Announcement) -> None:
        """Record that a route was sent to the peer."""
        if self.established:
            self.wire[announcement.prefix] = announcement
            self._on_wire(announcement.prefix, announcement)

    def withdrawn(self, prefix: Prefix) -> None:
        """Record that a withdrawal was sent to the peer."""
        if self.established:
            self.wire.pop(prefix, None)
            self._on_wire(prefix, None)

    def _on_wire(self, prefix: Prefix, new: Announcement | None) -> None:
        flight = self.in_flight.get(prefix)
        if flight is not None and flight.new == new:
            del self.in_flight[prefix]
        if self.wire.get(prefix) == self.goal.get(prefix):
            self.attempts.pop(prefix, None)
            self._undeletable.discard(prefix)
        self._dirty[prefix] = None

    def refuse(self, change: RouteChange) -> None:
        """Record that ExaBGP answered a command with an error."""
        if not self.established:
            return
        flight = self.in_flight.pop(change.prefix, None)
        # ExaBGP still holds the route of before, and may have sent it although its event was lost.
        self._set_held(change.prefix, flight.before if flight and flight.new == change.new else change.old)
        if change.new is not None:
            self.refused[change.prefix] = change.new
            self.attempts.pop(change.prefix, None)  # missing because it is refused
        elif change.prefix in self.wire:
            self._undeletable.add(change.prefix)
        elif flight:
            self.in_flight[change.prefix] = flight  # withdrawn again after the deadline
        self._dirty[change.prefix] = None

    def verify(self, now: float) -> None:
        """Mark the prefixes whose change is overdue for :meth:`due`: an event or an update may have been lost."""
        if not self.established:
            return
        for prefix in [prefix for prefix, flight in self.in_flight.items() if flight.deadline <= now]:
            self._overdue(prefix)
        for prefix in [p for p in self.attempts if p not in self.in_flight and self.wire.get(p) == self.goal.get(p)]:
            del self.attempts[prefix]  # the goal changed to the state of the wire

    def _overdue(self, prefix: Prefix) -> None:
        flight = self.in_flight.pop(prefix)
        self._dirty[prefix] = None
        if self.wire.get(prefix) == self.goal.get(prefix):
            self.attempts.pop(prefix, None)
            return
        self.attempts[prefix] = self.attempts.get(prefix, 0) + 1
        if flight.new is None and prefix in self.wire and self.attempts[prefix] >= MAX_ATTEMPTS:
            self._undeletable.add(prefix)
