"""Follows host names: repeats each lookup when its answer expires and reports changes.

All followers of a name in a family share its lookups. A name keeps its address while the answers contain it, and whenever
a lookup fails for any reason: a DNS failure never depools. Failed lookups are retried indefinitely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from random import Random
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Address
from pybal.runtime.backoff import Backoff

#: Maximum number of concurrent lookups.
MAX_CONCURRENT = 64

#: Timeout of a lookup, in seconds.
TIMEOUT = 15.0

#: Bounds on the time to live of an answer, in seconds.
SHORTEST_LIFE, LONGEST_LIFE = 5.0, 3600.0

#: Seconds without a lookup that is due, until that is a problem of the name.
LATE = 60.0

#: Seconds until a failed lookup is retried: first and longest.
FIRST_RETRY, LAST_RETRY = 1.0, 60.0

Found = Callable[[Address | None], None]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The addresses of a name, at least one, valid for ``ttl`` seconds."""

    addresses: tuple[Address, ...]
    ttl: float


class LookupFailed(Exception):  # noqa: N818  # a fact about the lookup, like CheckFailed
    """A lookup failed; ``definite`` if the name is known to have no address."""

    def __init__(self, reason: str, *, definite: bool) -> None:
        self.definite = definite
        super().__init__(reason)


#: Returns the addresses of a name in a family, 4 or 6. Raises LookupFailed; can be cancelled.
Lookup = Callable[[str, int], Coroutine[Any, Any, LookupResult]]


class Follower:
    """A follower of a name, active until :meth:`stop`."""

    def __init__(
        self, name: _Name, found: Found, remove: Callable[[_Name, Follower], None], seconds: Callable[[], float]
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._found = found
        self._remove = remove
        self._reported = False
        self._last: Address | None = None

    @property
    def host(self) -> str:
        """The followed name."""
        return self._name.host

    @property
    def problem(self) -> str | None:
        """The error of the last lookup, or the lack of the next one; ``None`` if it succeeded or is the first."""
        late = self._seconds() - self._name.expected
        if late > LATE:
            return f"no lookup, due {late:.0f} s ago" + self._name.reaction
        return self._name.problem

    def stop(self) -> None:
        """Stop following; ``found`` is not called again."""
        self._remove(self._name, self)

    def report(self) -> None:
        """Call ``found`` if the state of the name is known and differs from the last report."""
        name = self._name
        known = name.address is not None or name.has_no_address
        if self in name.followers and known and not (self._reported and self._last == name.address):
            self._found(name.address)
            self._reported, self._last = True, name.address


@dataclass(eq=False, slots=True)
class _Name:
    """A name in one family: its state, its followers, and its next or current lookup.

    ``expected`` is the monotonic time of that lookup, in seconds.
    """

    host: str
    version: int
    backoff: Backoff
    address: Address | None = None
    has_no_address: bool = False
    problem: str | None = None
    followers: dict[Follower, None] = field(default_factory=dict)
    due: IDelayedCall | None = None
    lookup: Deferred[None] | None = None
    expected: float = inf

    @property
    def reaction(self) -> str:
        return "" if self.address is None else f"; keeping {self.address}"


class Resolver:
    """Follows names for as long as they have followers. :meth:`follow` never calls back before it returns."""

    log = Logger()

    def __init__(self, lookup: Lookup, clock: IReactorTime, random: Random) -> None:
        self._ask = lookup
        self._clock = clock
        self._random = random
        self._names: dict[tuple[str, int], _Name] = {}
        self._waiting: deque[_Name] = deque()
        self._running = 0
        self._starting = False
        self._new: list[Follower] = []
        self._report_call: IDelayedCall | None = None

    def follow(self, host: str, version: int, found: Found) -> Follower:
        """Call ``found`` with the address of ``host`` in a family, 4 or 6, now and whenever it changes.

        ``None`` means that the name has no such address; it is never passed after an address. An address given
        instead of a name is reported unchanged, even of the other family, and never looked up.
        """
        name = self._names.get((host, version))
        if name is None:
            name = self._names[host, version] = _Name(
                host, version, Backoff(FIRST_RETRY, LAST_RETRY, self._random, factor=2.0), _literal(host)
            )
            if name.address is None:
                self._call(name, 0.0)
        follower = Follower(name, found, self._remove, self._clock.seconds)
        name.followers[follower] = None
        self._new.append(follower)
        if self._report_call is None:
            self._report_call = self._clock.callLater(0, self._report_new)
        return follower

    def stop(self) -> None:
        """Stop all followers and lookups."""
        self._waiting.clear()
        for name in list(self._names.values()):
            for follower in list(name.followers):
                follower.stop()
        if self._report_call is not None:
            self._report_call.cancel()
            self._report_call = None

    def _remove(self, name: _Name, follower: Follower) -> None:
        if follower not in name.followers:
            return
        del name.followers[follower]
        if name.followers:
            return
        del self._names[name.host, name.version]
        if name.due is not None:
            name.due.cancel()
        if name.lookup is not None:
            name.lookup.cancel()

    def _enqueue(self, name: _Name) -> None:
        name.due = None
        self._waiting.append(name)
        self._start_waiting()

    def _start_waiting(self) -> None:
        if self._starting:
            return
        # A lookup that ends synchronously calls this method again; a loop bounds the stack.
        self._starting = True
        while self._waiting and self._running < MAX_CONCURRENT:
            name = self._waiting.popleft()
            if name.followers:
                self._running += 1
                name.lookup = Deferred.fromCoroutine(self._look_up(name))
        self._starting = False

    async def _look_up(self, name: _Name) -> None:
        try:
            lookup = Deferred.fromCoroutine(self._ask(name.host, name.version))
            self._succeeded(name, await lookup.addTimeout(TIMEOUT, self._clock))
        except (defer.CancelledError, defer.TimeoutError):
            self._failed(name, LookupFailed(f"no response in {TIMEOUT:g} s", definite=False))
        except LookupFailed as failed:
            self._failed(name, failed)
        except Exception as bug:  # noqa: BLE001  # a bug in the lookup must not end the renewals of a name
            self.log.failure("{host}: unexpected exception in the lookup; retrying", host=name.host)
            self._failed(name, LookupFailed(repr(bug), definite=False))
        self._running -= 1
        self._report(list(name.followers))
        self._start_waiting()

    def _succeeded(self, name: _Name, result: LookupResult) -> None:
        name.backoff.reset()
        name.problem = None
        if name.address not in result.addresses:
            name.address = min(result.addresses)
        life = min(max(result.ttl, SHORTEST_LIFE), LONGEST_LIFE)
        # Not before it expires: a cache would return the same answer with its remaining time to live.
        self._schedule(name, life * self._random.uniform(1.0, 1.1))

    def _failed(self, name: _Name, failed: LookupFailed) -> None:
        name.problem = f"{failed}{name.reaction}"
        name.has_no_address = name.address is None and (name.has_no_address or failed.definite)
        self._schedule(name, name.backoff.pause())

    def _schedule(self, name: _Name, delay: float) -> None:
        if name.followers:
            self._call(name, delay)

    def _call(self, name: _Name, delay: float) -> None:
        name.expected = self._clock.seconds() + delay
        name.due = self._clock.callLater(delay, self._enqueue, name)

    def _report_new(self) -> None:
        self._report_call = None
        new, self._new = self._new, []
        self._report(new)

    def _report(self, followers: list[Follower]) -> None:
        for follower in followers:
            try:
                follower.report()
            except Exception:  # noqa: BLE001  # a bug in one follower must not affect the others
                self.log.failure("{host}: unexpected exception in a follower", host=follower.host)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
