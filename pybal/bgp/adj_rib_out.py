"""What one peer should hold, what ExaBGP was told, and what went on the wire. Pure.

ExaBGP can put two changes of one prefix that wait in it on the wire in the wrong order, and says ``done`` to both. So

* at most one change of a prefix is inside ExaBGP: the next is told after the "update, send" event of the one before;
* a peer whose session is down is told nothing: ExaBGP keeps what it was last told, and sends that by itself when the
  session is up again, so at that moment all of it is in flight;
* what is not on the wire as wanted in time is withdrawn and announced anew: an announcement that ExaBGP believes to be
  with the peer would do nothing.

``now`` is in seconds, of a clock that stands still while we cannot hear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pybal.bgp.model import Announcement, Prefix

WIRE_SECONDS = 2.0
"""A change must be on the wire after this time, or it is repaired; doubled with each repair of the same prefix …"""
MOST_DOUBLED = 5
"""… so often."""
ATTEMPTS = 3
"""Withdrawals of what the peer is known to hold that may be lost before only the end of the session helps."""


@dataclass(frozen=True, slots=True)
class RouteChange:
    """One command. ``old`` is what is withdrawn, ``new`` what is announced; one of them is there.

    It is a ``repair`` when ExaBGP was told so before, and the peer holds something else.
    """

    prefix: Prefix
    new: Announcement | None
    old: Announcement | None = None
    repair: bool = False


@dataclass(frozen=True, slots=True)
class _Flight:
    new: Announcement | None
    deadline: float
    before: Announcement | None = None
    """What ExaBGP had been told before."""


class AdjRIBOut:
    """One peer's part of the goal, and how far it has come there."""

    def __init__(self) -> None:
        self.goal: Mapping[Prefix, Announcement] = {}
        self.wire: dict[Prefix, Announcement] = {}
        """What the peer was sent in this session, and not withdrawn."""
        self.refused: dict[Prefix, Announcement] = {}
        """What ExaBGP did not take; not told again until it changes or the session does."""
        self.attempts: dict[Prefix, int] = {}
        """Prefixes that are not on the wire as wanted although it is time, with how often they were repaired."""
        self.repairs = 0
        self.established = False
        self._told: dict[Prefix, Announcement] = {}
        self._flight: dict[Prefix, _Flight] = {}
        self._dirty: dict[Prefix, None] = {}  # an ordered set
        self._stuck: set[Prefix] = set()

    @property
    def hopeless(self) -> bool:
        """Whether the peer holds what it must not, and ExaBGP does not withdraw it."""
        return bool(self._stuck)

    def want(self, goal: Mapping[Prefix, Announcement]) -> None:
        """Replace the goal."""
        before, self.goal = self.goal, goal
        for prefix in {**before, **goal}:
            if before.get(prefix) != goal.get(prefix):
                self._dirty[prefix] = None
                self.refused.pop(prefix, None)

    def up(self, now: float) -> None:
        """Take note that the session is established: ExaBGP sends what it was told."""
        self.down()
        self.established = True
        self._flight = {prefix: _Flight(told, now + WIRE_SECONDS) for prefix, told in self._told.items()}
        self._dirty = dict.fromkeys([*self.goal, *self._told])

    def down(self) -> None:
        """Take note that there is no session: the peer has forgotten everything."""
        self.established = False
        self.wire.clear()
        self.refused.clear()
        self.attempts.clear()
        self._flight.clear()
        self._stuck.clear()

    def forgotten(self) -> None:
        """Take note that ExaBGP is gone, with all it was told."""
        self.down()
        self._told.clear()

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        """Yield at most ``room`` changes to tell ExaBGP now, each taken for told."""
        if not self.established:
            return
        for prefix in list(self._dirty):
            if room <= 0:
                return
            if prefix in self._flight:
                continue  # its event makes it dirty again, or its deadline
            del self._dirty[prefix]
            if change := self._change(prefix):
                self._tell(change, now)
                self.repairs += change.repair
                room -= 1
                yield change

    def _change(self, prefix: Prefix) -> RouteChange | None:
        want, told, wire = self.goal.get(prefix), self._told.get(prefix), self.wire.get(prefix)
        if want == told == wire or (want is not None and self.refused.get(prefix) == want):
            return None
        if want is None or want == told:
            # Told and not so: only after a withdrawal ExaBGP sends it again.
            return RouteChange(prefix, None, told or wire, repair=want == told)
        return RouteChange(prefix, want)

    def _tell(self, change: RouteChange, now: float) -> None:
        delay = WIRE_SECONDS * 2 ** min(self.attempts.get(change.prefix, 0), MOST_DOUBLED)
        self._flight[change.prefix] = _Flight(change.new, now + delay, self._told.get(change.prefix))
        self._knows(change.prefix, change.new)

    def _knows(self, prefix: Prefix, told: Announcement | None) -> None:
        if told is None:
            self._told.pop(prefix, None)
        else:
            self._told[prefix] = told

    def announced(self, announcement: Announcement) -> None:
        """Take note that this went to the peer."""
        if self.established:
            self.wire[announcement.prefix] = announcement
            self._seen(announcement.prefix, announcement)

    def withdrawn(self, prefix: Prefix) -> None:
        """Take note that this was withdrawn from the peer."""
        if self.established:
            self.wire.pop(prefix, None)
            self._seen(prefix, None)

    def _seen(self, prefix: Prefix, new: Announcement | None) -> None:
        flight = self._flight.get(prefix)
        if flight is not None and flight.new == new:
            del self._flight[prefix]
        if self.wire.get(prefix) == self.goal.get(prefix):
            self.attempts.pop(prefix, None)
            self._stuck.discard(prefix)
        self._dirty[prefix] = None

    def refuse(self, change: RouteChange) -> None:
        """Take note that ExaBGP answered a change with an error."""
        if not self.established:
            return
        flight = self._flight.pop(change.prefix, None)
        # It still knows what it was told before, and the peer may hold that although we did not hear so.
        self._knows(change.prefix, flight.before if flight and flight.new == change.new else change.old)
        if change.new is not None:
            self.refused[change.prefix] = change.new
            self.attempts.pop(change.prefix, None)  # that is why it is not there
        elif change.prefix in self.wire:
            self._stuck.add(change.prefix)
        elif flight:
            self._flight[change.prefix] = flight  # told again when it is late
        self._dirty[change.prefix] = None

    def verify(self, now: float) -> None:
        """Compare the wire with the goal: what is to be repaired is due then."""
        if not self.established:
            return
        for prefix in [prefix for prefix, flight in self._flight.items() if flight.deadline <= now]:
            self._overdue(prefix)
        for prefix in [p for p in self.attempts if p not in self._flight and self.wire.get(p) == self.goal.get(p)]:
            del self.attempts[prefix]  # it was the goal that gave way
        # What nobody is at, all the same: the goal is compared as a whole, so that no lost event stays unnoticed.
        for prefix in {**self.goal, **self.wire}:
            if self.wire.get(prefix) != self.goal.get(prefix) and prefix not in self._flight:
                self._dirty[prefix] = None

    def _overdue(self, prefix: Prefix) -> None:
        flight = self._flight.pop(prefix)
        self._dirty[prefix] = None
        if self.wire.get(prefix) == self.goal.get(prefix):
            self.attempts.pop(prefix, None)
            return
        self.attempts[prefix] = self.attempts.get(prefix, 0) + 1
        if flight.new is None and prefix in self.wire and self.attempts[prefix] >= ATTEMPTS:
            self._stuck.add(prefix)
