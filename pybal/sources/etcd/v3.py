"""A pool source for etcd's API v3: watches a directory at one member until it fails, then at the next.

The loss of a watched member alone is not a problem: the next one is used immediately, beginning with a full read. A problem
is reported when all members have failed in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.http.errors import ProtocolError
from pybal.http.trust import Trust
from pybal.resolve import Lookup, dns_lookup
from pybal.resolve.servers import NameServers
from pybal.runtime.lines import LineTooLong
from pybal.sources.base import SourceError, Trouble, source_error
from pybal.sources.etcd.conftool import Values
from pybal.sources.etcd.endpoints import Ask, Endpoint, Endpoints, directory
from pybal.sources.etcd.v3client import Gateway, Token
from pybal.sources.etcd.v3watch import KeyWatcher
from pybal.sources.etcd.v3wire import Keys, RangeResponse, values
from pybal.sources.reports import Reports

#: The first reads of many sources are spread over this many seconds.
SPREAD = 1.0


class Etcd3Source:
    """The source of ``etcd://host:port/path?api=3``; ``ask`` queries DNS for SRV records.

    ``differences`` counts the changes that reads found and watches did not report.
    """

    log = Logger()

    def __init__(
        self,
        settings: SourceSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        random: Random,
        lookup: Lookup | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.differences = 0
        access = settings.access
        path = directory(settings.url).path.rstrip("/")
        self._reactor = reactor
        self._random = random
        self._endpoints = Endpoints(settings, ask=ask or NameServers(reactor).ask, random=random)
        self._gateway = partial(
            Gateway,
            access=access,
            token=Token(),
            trust=Trust(access) if access.tls else None,
            reactor=reactor,
            lookup=lookup or dns_lookup(reactor),
        )
        self._reports = Reports(masked(settings.url), reactor)
        self._values = Values(path)
        self._prefix = f"{path}/".encode()
        self._keys: Keys = {}
        self._found: RangeResponse | None = None
        self._proven = False
        self._troubles: dict[str, SourceError] = {}
        self._trouble = ""
        self._running = False
        self._reporting = False
        self._call: IDelayedCall | None = None
        self._following: Deferred[None] | None = None

    @property
    def problem(self) -> str | None:
        return self._reports.problem

    @property
    def last_success(self) -> float | None:
        return self._reports.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Start to watch. See :class:`pybal.sources.base.Source`."""
        self._reports.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Stop watching and close all connections."""
        self._reports.end()
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        # A listener that stops us is called by the coroutine itself, which then ends in _report.
        if self._following is not None and not self._reporting:
            self._following.cancel()

    def _begin(self) -> None:
        self._call = None
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addErrback(lambda failure: failure.trap(CancelledError))

    async def _follow(self) -> None:
        """Watch one member after the other."""
        while True:
            place = ""
            self._proven = False
            try:
                endpoint = await self._endpoints.current()
                place = str(endpoint)
                await self._watch_at(endpoint)
            except SourceError as error:
                self._troubles[place] = error
            except (ProtocolError, LineTooLong) as error:
                self._troubles[place] = source_error(error)
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001  # the source must survive any bug
                self.log.failure("{source}", source=self._reports.name)
                if not self._running:
                    return
                self._troubles[place] = SourceError("internal error (see the log)", Trouble.FAILED)
            pause = self._endpoints.rotate()
            self._lost(place)
            await deferLater(self._reactor, pause)

    async def _watch_at(self, endpoint: Endpoint) -> None:
        """Watch a member until it is lost; raise the reason."""
        gateway = self._gateway(endpoint)
        watcher: KeyWatcher | None = None
        try:
            found = await gateway.read(self._prefix)
            if self._found and not found.follows(self._found):
                self.log.warn(
                    "{source}: etcd cluster of {place} was re-created (different cluster ID, or lower revision); "
                    "reading everything again",
                    source=self._reports.name,
                    place=endpoint,
                )
            self._found = found
            self._list(found.keys)
            watcher = KeyWatcher(
                gateway,
                self._prefix,
                found,
                clock=self._reactor,
                random=self._random,
                changed=self._list,
                verified=self._verified,
            )
            await watcher.run()
        finally:
            self.differences += watcher.missed if watcher else 0
            gateway.close()

    def _list(self, keys: Keys) -> None:
        """Report the keys as a list."""
        self._keys = keys
        texts = {key.removeprefix(self._prefix).decode("utf-8", "replace"): value for key, value in values(keys)}
        listing = self._values.listing(texts)
        if self._trouble:
            listing = replace(listing, problems=(self._trouble, *listing.problems))
        self._report(partial(self._reports.list, listing))

    def _verified(self) -> None:
        """Record that the member works and its keys are complete."""
        self._endpoints.confirm()
        self._proven = True
        self._troubles.clear()
        self._trouble = ""
        if self._reports.problem is None:
            self._reports.good()
        else:
            self._list(self._keys)

    def _lost(self, place: str) -> None:
        """Report a problem if all members failed in a row; log the loss of one that worked."""
        why = self._troubles[place]
        if self._proven:
            self.log.warn(
                "{source}: lost {place} ({why}); trying the next member", source=self._reports.name, place=place, why=why
            )
        elif self._endpoints.exhausted:
            troubles, self._troubles = self._troubles, {}
            texts = (f"{name}: {troubles[name]}" if name else str(troubles[name]) for name in sorted(troubles))
            self._trouble = "; ".join(texts)
            self._report(partial(self._reports.failure, SourceError(self._trouble, why.trouble)))

    def _report(self, call: Callable[[], None]) -> None:
        """Call the listener. It may stop us: then this raises CancelledError to end the caller."""
        self._reporting = True
        try:
            call()
        except SourceError as error:
            self._reports.failure(error)
        finally:
            self._reporting = False
        if not self._running:
            raise CancelledError
