"""Follows names: looks each one up, again when its answer expires, and tells whoever follows it of changes.

All who follow the same name in the same family share its lookups. A name keeps the address it has while that is among the
answers, and whenever a lookup fails, whatever the reason: absence of evidence never depools. Failures are tried again for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Address

#: How many lookups run at the same time.
AT_ONCE = 64

#: A lookup that takes longer, in seconds, has failed.
PATIENCE = 15.0

#: However short or long its time to live, an answer is renewed after so many seconds.
SHORTEST_LIFE, LONGEST_LIFE = 5.0, 3600.0

#: Seconds until a failed lookup is tried again: first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 60.0

_MOST_DOUBLINGS = 10

Found = Callable[[Address | None], None]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What a lookup came to: one address or more, good for ``ttl`` seconds."""

    addresses: tuple[Address, ...]
    ttl: float


class LookupFailed(Exception):  # noqa: N818  # past tense: a fact about the lookup, like CheckFailed
    """A lookup came to nothing; ``definite`` tells that the name has no address, as opposed to not being known."""

    def __init__(self, reason: str, *, definite: bool) -> None:
        self.definite = definite
        super().__init__(reason)


#: Asks for the addresses of a name in a family, 4 or 6. Raises LookupFailed; cancelled, it stops what it began.
Lookup = Callable[[str, int], Coroutine[Any, Any, LookupResult]]


class Follower:
    """One follower of a name, until :meth:`stop`."""

    def __init__(self, name: _Name, found: Found, leave: Callable[[_Name, Follower], None]) -> None:
        self._name = name
        self._found = found
        self._leave = leave
        self._told = False
        self._last: Address | None = None

    @property
    def problem(self) -> str | None:
        """Why the last lookup failed; ``None`` if it did not, or there was none yet."""
        return self._name.problem

    def stop(self) -> None:
        """Stop following; ``found`` is not called any more."""
        self._leave(self._name, self)

    def tell(self) -> None:
        """Call ``found`` if what is known of the name, if anything, is not what was told last."""
        name = self._name
        known = name.address is not None or name.nowhere
        if self in name.followings and known and not (self._told and self._last == name.address):
            self._told, self._last = True, name.address
            self._found(name.address)


@dataclass(eq=False, slots=True)
class _Name:
    """What is known of a name in one family, who wants to know, and what is under way."""

    host: str
    version: int
    address: Address | None = None
    nowhere: bool = False
    problem: str | None = None
    failures: int = 0
    followings: dict[Follower, None] = field(default_factory=dict)
    due: IDelayedCall | None = None
    lookup: Deferred[None] | None = None


class Resolver:
    """Follows names for as long as somebody wants them. Nothing happens within :meth:`follow`, all of it later."""

    log = Logger()

    def __init__(self, lookup: Lookup, clock: IReactorTime, random: Random) -> None:
        self._ask = lookup
        self._clock = clock
        self._random = random
        self._names: dict[tuple[str, int], _Name] = {}
        self._waiting: deque[_Name] = deque()
        self._running = 0
        self._beginning = False
        self._untold: list[Follower] = []
        self._telling: IDelayedCall | None = None

    def follow(self, host: str, version: int, found: Found) -> Follower:
        """Call ``found`` with the address of ``host`` in the family ``version``, 4 or 6, and again when it changes.

        ``None`` says that the name is known to have no such address; it never follows an address. An address in place
        of a name is found as it is, of whatever family, and never looked up.
        """
        name = self._names.get((host, version))
        if name is None:
            name = self._names[host, version] = _Name(host, version, _literal(host))
            if name.address is None:
                name.due = self._clock.callLater(0, self._begin, name)
        following = Follower(name, found, self._leave)
        name.followings[following] = None
        self._untold.append(following)
        if self._telling is None:
            self._telling = self._clock.callLater(0, self._tell_new)
        return following

    def stop(self) -> None:
        """Stop all followings and lookups."""
        self._waiting.clear()
        for name in list(self._names.values()):
            for following in list(name.followings):
                following.stop()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    def _leave(self, name: _Name, following: Follower) -> None:
        if following not in name.followings:
            return
        del name.followings[following]
        if name.followings:
            return
        del self._names[name.host, name.version]
        if name.due is not None:
            name.due.cancel()
        if name.lookup is not None:
            name.lookup.cancel()

    def _begin(self, name: _Name) -> None:
        name.due = None
        self._waiting.append(name)
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        if self._beginning:
            return
        # A lookup may end at once and so come back here, each from within the one before.
        self._beginning = True
        while self._waiting and self._running < AT_ONCE:
            name = self._waiting.popleft()
            if name.followings:
                self._running += 1
                name.lookup = Deferred.fromCoroutine(self._look_up(name))
        self._beginning = False

    async def _look_up(self, name: _Name) -> None:
        try:
            asked = Deferred.fromCoroutine(self._ask(name.host, name.version))
            answer = await asked.addTimeout(PATIENCE, self._clock)
        except (defer.CancelledError, defer.TimeoutError):
            self._failed(name, LookupFailed(f"no answer in {PATIENCE:g} s", definite=False))
        except LookupFailed as failed:
            self._failed(name, failed)
        except Exception as bug:  # noqa: BLE001  # a bug of the lookup must not end the renewals of a name
            self.log.failure("lookup of {host}", host=name.host)
            self._failed(name, LookupFailed(repr(bug), definite=False))
        else:
            self._answered(name, answer)
        self._running -= 1
        self._tell(list(name.followings))
        self._begin_waiting()

    def _answered(self, name: _Name, answer: LookupResult) -> None:
        name.failures = 0
        name.problem = None
        if name.address not in answer.addresses:
            name.address = min(answer.addresses)
        life = min(max(answer.ttl, SHORTEST_LIFE), LONGEST_LIFE)
        # Never before it has expired: a cache would answer with the little that is left of its time to live.
        self._again(name, life * self._random.uniform(1.0, 1.1))

    def _failed(self, name: _Name, failed: LookupFailed) -> None:
        kept = "" if name.address is None else f"; {name.address} is kept"
        name.problem = f"{failed}{kept}"
        name.nowhere = name.address is None and (name.nowhere or failed.definite)
        delay = min(FIRST_RETRY * 2 ** min(name.failures, _MOST_DOUBLINGS), LAST_RETRY)
        name.failures += 1
        self._again(name, delay * self._random.uniform(0.75, 1.25))

    def _again(self, name: _Name, delay: float) -> None:
        if name.followings:
            name.due = self._clock.callLater(delay, self._begin, name)

    def _tell_new(self) -> None:
        self._telling = None
        untold, self._untold = self._untold, []
        self._tell(untold)

    def _tell(self, followings: list[Follower]) -> None:
        for following in followings:
            try:
                following.tell()
            except Exception:  # noqa: BLE001  # a bug of one follower is not the business of the others
                self.log.failure("a follower of a name")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
