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
from pybal.sources.etcd.conftool import MANY, Values
from pybal.sources.etcd.endpoints import Endpoint, Endpoints, directory
from pybal.sources.etcd.responses import LARGEST, check_size, size
from pybal.sources.etcd.v2client import AddressCache, KeysClient
from pybal.sources.etcd.v2wire import HistoryLost, Snapshot, Texts
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
        known: Texts | None = None
        index = 0
        try:
            while True:
                found = await client.read(self._times.timeout)
                if found.texts and len(found.texts) > MANY:
                    await self._turns.run(self._values.parsing(found.texts))
                self._report(feed, found.texts)
                if known is not None and found.texts is not None and found.texts != known:
                    await self._count_differences(client, known, found.texts, index)
                known, index = await self._watch(feed, client, found)
        finally:
            client.close()

    async def _watch(self, feed: Feed, client: KeysClient, found: Snapshot) -> tuple[Texts | None, int]:
        """Report changes until a read is due; return the last values, ``None`` if changes may be missing."""
        texts, index = found.texts, found.index
        until = self._reactor.seconds() + self._times.full_read
        while True:
            try:
                change = await client.next_change(index + 1, self._times.timeout, self._times.poll)
            except HistoryLost:
                await self._gather(feed)
                return None, index
            self._endpoints.confirm()
            if change is None:
                return texts, index
            if await self._gather(feed) or texts is None:
                return None, index
            texts, index = change.apply(texts, self._path), change.index
            if texts is None:
                return None, index
            check_size(sum(size(key, text) for key, text in texts.items()))
            self._report(feed, texts)
            if self._reactor.seconds() >= until:
                return texts, index

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

    async def _count_differences(self, client: KeysClient, known: Texts, texts: Texts, index: int) -> None:
        """Count the changes that the watch has missed, unless they are just arriving."""
        try:
            late = await client.next_change(index + 1, self._times.timeout, self._times.timeout)
        except HistoryLost:
            return
        if late is None:
            self.differences += sum(known.get(key) != texts.get(key) for key in known.keys() | texts.keys())

    def _report(self, feed: Feed, texts: Texts | None) -> None:
        if texts is None:
            feed.fail(SourceError(f"no directory {self._path}", Trouble.UNREACHABLE))
            return
        try:
            feed.list(self._values.listing(texts))
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
