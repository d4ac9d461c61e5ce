"""Detection of an isolated balancer: if no server responds, suspect our own network. Pure.

A check that failed without a response (no connection, no answer, no refusal) is ignored while all of this holds:

* no server of any service has responded for :data:`MIN_OUTAGE` seconds, nor during 90 % of the check's own run time;
* at least :data:`MIN_HOSTS` hosts had responded in an equal period before, :data:`MIN_HOSTS_ELSEWHERE` of them outside the
  largest service: a few hosts can fail by chance, and one service can fail for its own reason;
* the outage is more than twice as long as the longest lull of the last :data:`LULL_MEMORY` seconds: if few servers are
  checked, or many are dead, every round of checks has a lull;
* the outage is not longer than :data:`MAX_OUTAGE` seconds. After that all servers may be dead, and the depool threshold
  decides which ones stay.

The first response from any host ends the outage. Checks that began before it, or within :data:`AFTERMATH` seconds after it,
are still ignored. A server that died during the outage is therefore depooled by its first later check, or immediately if it
refuses the connection. While any host responds no check is ignored: the crash of one server, or of most, counts immediately.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from pybal.core.model import SuspectSelf

MIN_HOSTS = 6
MIN_HOSTS_ELSEWHERE = 3
MIN_OUTAGE = 1.0
MAX_OUTAGE = 60.0
LULL_MEMORY = 120.0
AFTERMATH = 3.0
"""Seconds of neighbour discovery, after which the kernel fails all waiting connections."""
_SHARE_OF_CHECK = 0.9
_SEARCH_INTERVAL = 1.0
"""Least seconds between two searches of ``responses``; with thousands of servers one takes 10 ms."""


class LastResponse(NamedTuple):
    """A host of a service last passed a check at a monotonic time, in seconds; ``-inf`` if it never did."""

    service: str
    host: str
    at: float


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without any response; ``hosts`` in ``services`` had responded shortly before ``since``."""

    since: float
    hosts: int
    services: int

    def text(self, now: float) -> str:
        """Return how many hosts are silent and for how long, for people."""
        return f"{self} for {now - self.since:.0f} s"

    @override
    def __str__(self) -> str:
        return f"No response from any of {self.hosts} hosts in {self.services} services"


def detect_outage(responses: Iterable[LastResponse], since: float, now: float) -> Outage | None:
    """Return the outage since the last response of all.

    ``None`` if it is too short, too long or concerns too few hosts.
    """
    quiet = now - since
    if not MIN_OUTAGE <= quiet <= MAX_OUTAGE:
        return None
    before = {(response.service, response.host) for response in responses if response.at >= since - quiet}
    hosts = {host for _, host in before}
    services = Counter(service for service, _ in before)
    if not services:
        return None
    largest = max(services, key=services.__getitem__)
    elsewhere = hosts - {host for service, host in before if service == largest}
    if len(hosts) < MIN_HOSTS or len(elsewhere) < MIN_HOSTS_ELSEWHERE:
        return None
    return Outage(since, len(hosts), len(services))


class Isolation:
    """The state of the detection. ``responses`` is searched only after a period without any response.

    ``log`` receives the beginning and the end of each outage. All times are monotonic seconds.
    """

    def __init__(
        self, responses: Callable[[], Iterable[LastResponse]], suspect_self: SuspectSelf, log: Callable[[str], None]
    ) -> None:
        self.count = 0
        """Number of outages so far."""
        self._responses = responses
        self.suspect_self = suspect_self
        self._log = log
        self._outage: Outage | None = None
        self._ignore_until = -math.inf
        self._next_search = -math.inf
        self._lull = 0.0
        """Length of the longest recent lull, in seconds."""
        self._lull_at = -math.inf

    @property
    def outage(self) -> Outage | None:
        """The present outage, ``None`` while any host responds."""
        return self._outage

    def ignores(self, began: float, response_at: float, now: float, find_response: Callable[[], float]) -> bool:
        """Return whether to ignore a check that began at a time and has just failed without any response.

        ``response_at`` is the time of the last response of any host. ``find_response`` returns it with pending connections
        counted, which takes longer.
        """
        if self.suspect_self is SuspectSelf.OFF:
            return False
        if self._outage is not None:
            self.update(response_at, now)
        elif now >= self._next_search and now - response_at >= max(MIN_OUTAGE, _SHARE_OF_CHECK * (now - began)):
            self._next_search = now + _SEARCH_INTERVAL
            self._begin(detect_outage(self._responses(), find_response(), now), now)
        return self.suspect_self is SuspectSelf.HOLD and (self._outage is not None or began < self._ignore_until)

    def note_response(self, since: float, now: float) -> None:
        """Record the first response after :data:`MIN_OUTAGE` seconds or more without any.

        Checks that began in an outage too short for them to fail in may still be running. ``since`` is the time of the
        response before, ``-inf`` if this is the first one of all.
        """
        if since == -math.inf:
            return
        if self.suspect_self is not SuspectSelf.OFF and self._outage is None:
            self._begin(detect_outage(self._responses(), since, now), now)
        self.update(now, now)
        forgotten = now - self._lull_at > LULL_MEMORY
        if forgotten or 2 * (now - since) >= self._lull:
            self._lull, self._lull_at = max(now - since, 0.0 if forgotten else self._lull), now

    def update(self, response_at: float, now: float) -> None:
        """End the outage if a host has responded or it has lasted too long.

        Call this about once a second during an outage.
        """
        outage = self._outage
        if outage is None:
            return
        if response_at > outage.since:
            self._outage, self._ignore_until = None, now + AFTERMATH
            self._log(f"First response after {response_at - outage.since:.1f} s; acting on new check results again")
        elif now - outage.since > MAX_OUTAGE:
            self._outage = None
            self._log(f"{outage} for more than {MAX_OUTAGE:.0f} s; acting on check results again")

    def _begin(self, outage: Outage | None, now: float) -> None:
        if outage is None:
            return
        usual = self._lull if now - self._lull_at <= LULL_MEMORY else 0.0
        if now - outage.since <= 2 * usual:
            return
        self._outage = outage
        self.count += 1
        reaction = (
            "ignoring timeouts"
            if self.suspect_self is SuspectSelf.HOLD
            else "acting on timeouts (suspect-self = alert)"
        )
        self._log(f"{outage.text(now)}; this balancer may be isolated, {reaction}")
