"""A pool source for etcd's API v3: watches a directory at one member until it fails, then at the next.

The loss of a watched member alone is not a problem: the next one is used immediately, beginning with a full read. A problem
is reported when all members have failed in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.http.trust import Trust
from pybal.resolve import dns_lookup
from pybal.resolve.servers import NameServers
from pybal.runtime.file_values import FileValues, inline
from pybal.runtime.reactor import Reactor
from pybal.runtime.turns import Turns
from pybal.sources.base import READ_ERRORS, SourceError
from pybal.sources.etcd.conftool import Values
from pybal.sources.etcd.endpoints import Endpoint, Endpoints, directory
from pybal.sources.etcd.v3client import Gateway, Token
from pybal.sources.etcd.v3watch import KeyWatcher, ManyChanges
from pybal.sources.etcd.v3wire import Keys, RangeResponse, values
from pybal.sources.feed import Feed


class Etcd3Reader:
    """Reads ``etcd://host:port/path?api=3``; ``gateway`` returns a client of one member.

    ``differences`` counts the changes that only reads found.
    """

    log = Logger()

    def __init__(
        self,
        path: str,
        endpoints: Endpoints,
        gateway: Callable[[Endpoint], Gateway],
        clock: IReactorTime,
        random: Random,
        *,
        turns: Turns,
    ) -> None:
        self.differences = 0
        self._endpoints = endpoints
        self._gateway = gateway
        self._clock = clock
        self._random = random
        self._turns = turns
        self._values = Values(path)
        self._prefix = f"{path}/".encode()
        self._found: RangeResponse | None = None
        self._verified = False
        self._problem = ""

    async def read(self, feed: Feed) -> float:
        """Watch the current member until it fails."""
        self._verified = False
        try:
            await self._watch(feed, await self._endpoints.current())
        except ManyChanges:
            pass
        except READ_ERRORS as error:
            failure = self._endpoints.fail(error)
            if self._verified:
                self.log.warn("{source}: lost {why}; trying the next member", source=feed.name, why=failure)
            elif self._endpoints.exhausted:
                self._problem = str(failure)
                feed.fail(failure)
        return self._endpoints.pause()

    def retry(self, error: SourceError) -> float:
        """Use the next member after an internal error, which may depend on the response of this one."""
        self._endpoints.fail(error)
        return self._endpoints.pause()

    def close(self) -> None:
        """Do nothing: a read closes its connections when it ends."""

    async def _watch(self, feed: Feed, endpoint: Endpoint) -> None:
        gateway = self._gateway(endpoint)
        watcher: KeyWatcher | None = None
        try:
            found = await gateway.read(self._prefix)
            if self._found and not found.follows(self._found):
                self.log.warn(
                    "{source}: etcd cluster of {place} was re-created (different cluster ID, or lower revision); "
                    "reading everything again",
                    source=feed.name,
                    place=endpoint,
                )
            self._found = found
            texts = ((self._name(key), value) for key, value in values(found.keys))
            await self._turns.run(self._values.replacing(texts))
            self._report(feed)
            watcher = KeyWatcher(
                gateway,
                self._prefix,
                found,
                clock=self._clock,
                random=self._random,
                changed=partial(self._change, feed),
                verified=partial(self._confirm, feed),
            )
            await watcher.run()
        finally:
            self.differences += watcher.missed if watcher else 0
            gateway.close()

    def _change(self, feed: Feed, changed: Keys) -> None:
        """Report the list after the change of some keys."""
        for key, state in changed.items():
            if state.value is None:
                self._values.remove(self._name(key))
            else:
                self._values.put(self._name(key), state.value)
        self._report(feed)

    def _report(self, feed: Feed) -> None:
        """Report the list, with the last problem until the member is verified."""
        listing = self._values.listing()
        if self._problem:
            listing = replace(listing, problems=(self._problem, *listing.problems))
        try:
            feed.list(listing)
        except SourceError as error:
            feed.fail(error)

    def _name(self, key: bytes) -> str:
        # Different keys have different names, also those that are not UTF-8.
        return key.removeprefix(self._prefix).decode("utf-8", "surrogateescape")

    def _confirm(self, feed: Feed) -> None:
        """Record that the member works and its keys are complete."""
        self._endpoints.confirm()
        self._verified = True
        self._problem = ""
        if feed.problem is None:
            feed.good()
        else:
            self._report(feed)


def etcd3_source(
    settings: SourceSettings,
    *,
    reactor: Reactor,
    random: Random,
    turns: Turns | None = None,
    files: FileValues | None = None,
    resolv_conf: str = "/etc/resolv.conf",
    port: int = 53,
) -> Feed:
    """Return the source of ``etcd://host:port/path?api=3``; ``resolv_conf`` and ``port`` are for DNS."""
    access, files, turns = settings.access, files or inline(reactor), turns or Turns(reactor)
    gateway = partial(
        Gateway,
        access=access,
        token=Token(),
        files=files,
        trust=Trust(access, files) if access.tls else None,
        reactor=reactor,
        lookup=dns_lookup(reactor, resolv_conf=resolv_conf, port=port, files=files),
        turns=turns,
    )
    endpoints = Endpoints(settings, ask=NameServers(reactor, resolv_conf, port, files=files).ask, random=random)
    reader = Etcd3Reader(directory(settings.url).path.rstrip("/"), endpoints, gateway, reactor, random, turns=turns)
    return Feed(masked(settings.url), reader, reactor, random)
