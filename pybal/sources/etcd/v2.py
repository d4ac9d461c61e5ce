"""A pool source for etcd's API v2: reads a directory, then waits for one change after the other.

Reads need a quorum. A member without a quorum sends no changes and looks like one that has none; therefore everything is
read again after a while without changes, periodically, and whenever changes may have been missed. After a failure the next
member is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.http.client import HTTPClient
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.resolve.servers import NameServers
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources.base import READ_ERRORS, SourceError, Trouble
from pybal.sources.credentials import Authorization
from pybal.sources.etcd.conftool import Values
from pybal.sources.etcd.endpoints import Endpoint, Endpoints, directory
from pybal.sources.etcd.responses import LARGEST, check_size
from pybal.sources.etcd.v2client import AddressCache, KeysClient
from pybal.sources.etcd.v2wire import HistoryLost, Snapshot
from pybal.sources.feed import Feed

#: Two changes within this many seconds are the beginning of a burst.
_BURST = 1.0


@dataclass(frozen=True, slots=True)
class Times:
    """Durations in seconds.

    ``timeout``: deadline of a read. ``poll``: longest wait for a change. ``full_read``: longest time between two reads.
    ``gather``: pause in a burst of changes, which are then read together.
    """

    timeout: float = 3.0
    poll: float = 10.0
    full_read: float = 300.0
    gather: float = 0.3


class Etcd2Reader:
    """Reads ``etcd://host:port/path``; ``differences`` counts the changes that only full reads found."""

    def __init__(
        self,
        settings: SourceSettings,
        endpoints: Endpoints,
        *,
        lookup: Lookup,
        reactor: Reactor,
        times: Times,
        turns: Turns,
        files: FileValues,
    ) -> None:
        self.differences = 0
        self._authorization = Authorization(settings.url, settings.access, files)
        self._path = directory(settings.url).path
        self._endpoints = endpoints
        self._addresses = AddressCache(lookup)
        self._reactor = reactor
        self._times = times
        self._turns = turns
        self._trust = Trust(settings.access, files) if settings.access.tls else None
        self._values = Values(self._path)
        self._changed = float("-inf")

    async def read(self, feed: Feed) -> float:
        """Watch the current member until it fails."""
        try:
            await self._follow(feed, await self._endpoints.current())
        except READ_ERRORS as error:
            feed.fail(self._endpoints.fail(error))
        return self._endpoints.pause()

    def retry(self, error: SourceError) -> float:
        """Use the next member after an internal error, which may depend on the response of this one."""
        self._endpoints.fail(error)
        return self._endpoints.pause()

    def close(self) -> None:
        """Do nothing: a read closes its connection when it ends."""

    async def _client(self, endpoint: Endpoint) -> KeysClient:
        self._addresses.renew()
        fields = await self._authorization.fields()
        client = HTTPClient(
            endpoint.host,
            endpoint.port,
            trust=self._trust,
            reactor=self._reactor,
            lookup=self._addresses.look_up,
            limit=LARGEST,
        )
        return KeysClient(client, self._path, fields, self._reactor, self._turns)

    async def _follow(self, feed: Feed, endpoint: Endpoint) -> None:
        client = await self._client(endpoint)
        watched, index = False, 0
        try:
            while True:
                found = await client.read(self._times.timeout)
                if found.texts is None:
                    feed.fail(SourceError(f"no directory {self._path}", Trouble.UNREACHABLE))
                else:
                    differences = await self._turns.run(self._values.replacing(found.texts.items()))
                    self._report(feed)
                    if watched and differences:
                        await self._count_differences(client, differences, index)
                watched, index = await self._watch(feed, client, found)
        finally:
            client.close()

    async def _watch(self, feed: Feed, client: KeysClient, found: Snapshot) -> tuple[bool, int]:
        """Report changes until a read is due; return whether none is missing, and the last index."""
        exists, index = found.texts is not None, found.index
        until = self._reactor.seconds() + self._times.full_read
        while True:
            try:
                change = await client.next_change(index + 1, self._times.timeout, self._times.poll)
            except HistoryLost:
                await self._gather(feed)
                return False, index
            self._endpoints.confirm()
            if change is None:
                return exists, index
            key = change.key_in(self._path)
            if await self._gather(feed) or not exists or key is None:
                return False, index
            index = change.index
            if change.deletes:
                self._values.remove(key)
            else:
                self._values.put(key, change.value)
            check_size(self._values.size)
            self._report(feed)
            if self._reactor.seconds() >= until:
                return True, index

    async def _gather(self, feed: Feed) -> bool:
        """Return whether this change belongs to a burst; if so, wait for the rest of it first.

        A hundred single changes would be a hundred lists for each section that has the directory: with dozens of
        sections the reactor would do nothing else.
        """
        before, self._changed = self._changed, self._reactor.seconds()
        burst: bool = self._changed - before < _BURST
        if burst:
            await feed.sleep(self._times.gather)
        return burst

    async def _count_differences(self, client: KeysClient, differences: int, index: int) -> None:
        """Count the changes that the watch has missed, unless they are just arriving."""
        try:
            late = await client.next_change(index + 1, self._times.timeout, self._times.timeout)
        except HistoryLost:
            return
        if late is None:
            self.differences += differences

    def _report(self, feed: Feed) -> None:
        try:
            feed.list(self._values.listing())
        except SourceError as error:
            feed.fail(error)


def etcd2_source(
    settings: SourceSettings,
    *,
    reactor: Reactor,
    random: Random,
    times: Times = Times(),
    turns: Turns | None = None,
    files: FileValues | None = None,
    resolv_conf: str = "/etc/resolv.conf",
    port: int = 53,
) -> Feed:
    """Return the source of ``etcd://host:port/path``; ``resolv_conf`` and ``port`` are for DNS."""
    files = files or inline(reactor)
    endpoints = Endpoints(settings, ask=NameServers(reactor, resolv_conf, port, files=files).ask, random=random)
    lookup = dns_lookup(reactor, resolv_conf=resolv_conf, port=port, files=files)
    turns = turns or Turns(reactor)
    reader = Etcd2Reader(settings, endpoints, lookup=lookup, reactor=reactor, times=times, turns=turns, files=files)
    return Feed(masked(settings.url), reader, reactor, random)
