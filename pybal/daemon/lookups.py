"""The lookups of the servers of one pool: follows exactly their host names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import islice

from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Address
from pybal.resolve import Follower, Resolver
from pybal.runtime.activity import Activity
from pybal.runtime.turns import Turns, Work
from pybal.runtime.weak import weakly

BATCH = 500
"""Names whose results are at most one event; the results of one turn of the loop are gathered."""

RETRY_SECONDS = 1.0
"""Pause after an unexpected exception."""


class Lookups:
    """Follows the names of the pool of service ``name``.

    ``found`` receives results by host, ``None`` if a name has no address; after an exception it receives them again.
    """

    def __init__(
        self,
        name: str,
        resolver: Resolver,
        clock: IReactorTime,
        turns: Turns,
        found: Callable[[Mapping[str, Address | None]], None],
    ) -> None:
        self._resolver = resolver
        self._turns = turns
        self._found = found
        self._hosts: Collection[str] = ()
        self._version = 4
        self._followers: dict[str, Follower] = {}
        self._leaving: list[Follower] = []
        self._results: dict[str, Address | None] = {}
        self._reporting = Activity(f"addresses of {name}", weakly(self._report), clock)
        self._again = Activity(f"names of {name}", weakly(self._update), clock)
        self._work: Work | None = None

    def follow(self, hosts: Collection[str], version: int) -> None:
        """Follow exactly these names in a family, 4 or 6."""
        if hosts is self._hosts and version == self._version:
            return
        self._hosts, self._version = hosts, version
        self._update()

    def restart(self) -> None:
        """Look up all names again, because other addresses have become usable."""
        self._leaving += self._followers.values()
        self._followers.clear()
        self._results.clear()
        self._update()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield each name whose last lookup failed, with the reason."""
        for follower in list(self._followers.values()):
            if problem := follower.problem:
                yield follower.host, problem

    def stop(self) -> None:
        """Stop following."""
        if self._work is not None:
            self._work.close()
            self._work = None
        for follower in (*self._leaving, *self._followers.values()):
            follower.stop()
        self._leaving.clear()
        self._followers.clear()
        self._results.clear()
        self._reporting.stop()
        self._again.stop()

    def _update(self) -> None:
        for host in self._followers.keys() - self._hosts:
            self._leaving.append(self._followers.pop(host))
            self._results.pop(host, None)
        if self._work is None and (self._leaving or len(self._followers) < len(self._hosts)):
            self._work = self._converge()
            self._turns.begin(self._work)

    def _converge(self) -> Work:
        """Stop and start followers, one in each step, until they are those of the last call of :meth:`follow`."""
        try:
            while self._leaving or len(self._followers) < len(self._hosts):
                while self._leaving:
                    self._leaving.pop().stop()
                    yield
                hosts = self._hosts
                for host in hosts:
                    if hosts is not self._hosts:
                        break
                    if host not in self._followers:
                        located = partial(self._located, host)
                        self._followers[host] = self._resolver.follow(host, self._version, located)
                        yield
        except Exception:
            self._work = None
            self._again.wake(RETRY_SECONDS)
            raise
        self._work = None

    def _located(self, host: str, address: Address | None) -> None:
        self._results[host] = address
        if not self._reporting.running:
            self._reporting.wake()

    def _report(self) -> float | None:
        batch = {host: self._results.pop(host) for host in list(islice(self._results, BATCH))}
        try:
            if batch:
                self._found(batch)
        except Exception:
            kept = {host: address for host, address in batch.items() if host in self._followers}
            self._results = {**kept, **self._results}
            raise
        return 0.0 if self._results else None
