"""When nobody at all is heard any more, it is we who are cut off: our link, our switch, a firewall rule. Pure.

A check that heard nothing (no connection, no answer, not even a refusal) is excused while

* no server of any service has answered for :data:`SHORTEST` seconds, and none in nearly all of the check's own life;
* at least :data:`LEAST` hosts had answered in as long a time before, :data:`ELSEWHERE` of them outside the largest
  service: few would be silent by chance, and those of one service for a reason of its own;
* the silence is more than twice as long as any lull of the last :data:`MEMORY` seconds: where few are checked, or many are
  dead, there are such in every round, and nothing is to be made of them;
* the silence has not lasted :data:`LONGEST` seconds: then all of them may be dead, and the threshold keeps its share.

One answer from anybody ends it. Checks that began before that, or within :data:`AFTERMATH` seconds, are excused to the
last; so a server that died meanwhile is found by the first check thereafter, or at once if it refuses. As long as somebody answers nothing is excused, and the crash of one server, or of
most, is believed at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pybal.core.model import SuspectSelf

LEAST = 6
ELSEWHERE = 3
SHORTEST = 1.0
LONGEST = 60.0
MEMORY = 120.0
AFTERMATH = 3.0
"""Seconds for which the kernel goes on asking for a neighbour's address, and then fails all who wait for it."""
_NEARLY_ALL = 0.9
_PATIENCE = 1.0
"""Seconds until ``answers`` are looked through again: with thousands of servers that takes 10 ms."""


class LastResponse(NamedTuple):
    """A host of a service last passed a check at a monotonic time, in seconds; ``-inf`` if it did not."""

    service: str
    host: str
    at: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody has answered since a monotonic time; ``hosts`` of ``services`` had done so shortly before."""

    since: float
    hosts: int
    services: int

    def text(self, now: float) -> str:
        """Say how many are silent and for how long, for people."""
        return (
            f"none of {self.hosts} hosts of {self.services} services that had just answered did so for the last "
            f"{now - self.since:.0f} s"
        )


def silence(answers: Iterable[LastResponse], since: float, now: float) -> Silence | None:
    """Return the silence there is since the last answer of all, if it tells of us; else ``None``."""
    quiet = now - since
    if not SHORTEST <= quiet <= LONGEST:
        return None
    before = {(answer.service, answer.host) for answer in answers if answer.at >= since - quiet}
    hosts = {host for _, host in before}
    services = Counter(service for service, _ in before)
    if not services:
        return None
    largest = max(services, key=services.__getitem__)
    elsewhere = hosts - {host for service, host in before if service == largest}
    return Silence(since, len(hosts), len(services)) if len(hosts) >= LEAST and len(elsewhere) >= ELSEWHERE else None


class Isolation:
    """Whether we are cut off. ``answers`` are looked through only when nobody has been heard for a while.

    ``say`` is told the beginning and the end, for the log. All times are monotonic seconds.
    """

    def __init__(
        self, answers: Callable[[], Iterable[LastResponse]], suspect_self: SuspectSelf, say: Callable[[str], None]
    ) -> None:
        self.times = 0
        """How often it began."""
        self._answers = answers
        self.suspect_self = suspect_self
        self._say = say
        self._silence: Silence | None = None
        self._over = -math.inf
        self._look_at = -math.inf
        self._lull = 0.0
        """Seconds of the longest lull of late."""
        self._lull_at = -math.inf

    @property
    def silence(self) -> Silence | None:
        """The silence there is now, ``None`` while somebody is heard."""
        return self._silence

    def excuses(self, began: float, heard_at: float, now: float, ask: Callable[[], float]) -> bool:
        """Return whether a check that began then, and has just failed, having heard nothing, proves nothing.

        ``heard_at`` is when anybody answered last; ``ask`` returns when anybody was heard, which takes longer to find.
        """
        if self.suspect_self is SuspectSelf.OFF:
            return False
        if self._silence is not None:
            self.listen(heard_at, now)
        elif now >= self._look_at and now - heard_at >= max(SHORTEST, _NEARLY_ALL * (now - began)):
            self._look_at = now + _PATIENCE
            self._begin(silence(self._answers(), ask(), now), now)
        return self.suspect_self is SuspectSelf.HOLD and (self._silence is not None or began < self._over)

    def heard(self, since: float, now: float) -> None:
        """Take note of an answer, the first since :data:`SHORTEST` seconds ago or longer.

        Checks that met a silence too short for them may still be under way. ``-inf`` is before the first answer of all.
        """
        if since == -math.inf:
            return
        if self.suspect_self is not SuspectSelf.OFF and self._silence is None:
            self._begin(silence(self._answers(), since, now), now)
        self.listen(now, now)
        forgotten = now - self._lull_at > MEMORY
        if forgotten or 2 * (now - since) >= self._lull:
            self._lull, self._lull_at = max(now - since, 0.0 if forgotten else self._lull), now

    def listen(self, heard_at: float, now: float) -> None:
        """Take note of the end of the silence. To be called about every second while there is one."""
        silence = self._silence
        if silence is None:
            return
        if heard_at > silence.since:
            self._silence, self._over = None, now + AFTERMATH
            self._say(f"somebody answers again after {heard_at - silence.since:.1f} s: new checks are believed")
        elif now - silence.since > LONGEST:
            self._silence = None
            self._say(f"{silence.text(now)}: that is too long to be held for our own fault, checks are believed")

    def _begin(self, silence: Silence | None, now: float) -> None:
        if silence is None:
            return
        usual = self._lull if now - self._lull_at <= MEMORY else 0.0
        if now - silence.since <= 2 * usual:
            return
        self._silence = silence
        self.times += 1
        held = "what fails so says nothing" if self.suspect_self is SuspectSelf.HOLD else "servers are blamed for it"
        self._say(f"{silence.text(now)}: we may be cut off, {held}")
