"""A directory of etcd, followed through the JSON gateway of its API of version 3, at one member after the other.

A member that was followed and is lost is no trouble by itself: the next one is asked at once, and what it says is read as a
whole. It is told when all of them have failed in a row.
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
from pybal.sources.etcd.v3wire import Keys, Reading, values
from pybal.sources.reports import Reports

#: The first reads of many sources are spread over so many seconds.
SPREAD = 1.0


class Etcd3Source:
    """The source of ``etcd://host:port/path?api=3``; ``ask`` is what asks for SRV records.

    ``differences`` counts the keys that a read found to be other than the watch had said.
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
        self._told = Reports(masked(settings.url), reactor)
        self._values = Values(path)
        self._prefix = f"{path}/".encode()
        self._keys: Keys = {}
        self._found: Reading | None = None
        self._proven = False
        self._troubles: dict[str, SourceError] = {}
        self._trouble = ""
        self._running = False
        self._telling = False
        self._call: IDelayedCall | None = None
        self._following: Deferred[None] | None = None

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def last_success(self) -> float | None:
        return self._told.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to follow. See :class:`pybal.sources.base.Source`."""
        self._told.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Follow no more."""
        self._told.end()
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        # What is telling at this moment ends by itself.
        if self._following is not None and not self._telling:
            self._following.cancel()

    def _begin(self) -> None:
        self._call = None
        self._following = Deferred.fromCoroutine(self._follow())
        self._following.addErrback(lambda failure: failure.trap(CancelledError))

    async def _follow(self) -> None:
        """Follow one member after the other."""
        while True:
            place = ""
            self._proven = False
            try:
                endpoint = await self._endpoints.current()
                place = str(endpoint)
                await self._follow_at(endpoint)
            except SourceError as error:
                self._troubles[place] = error
            except (ProtocolError, LineTooLong) as error:
                self._troubles[place] = source_error(error)
            except CancelledError:
                raise
            except Exception:  # noqa: BLE001  # whatever it is, the source must go on
                self.log.failure("{source}", source=self._told.name)
                if not self._running:
                    return
                self._troubles[place] = SourceError("a failure of PyBal itself", Trouble.FAILED)
            pause = self._endpoints.failed()
            self._lost(place)
            await deferLater(self._reactor, pause)

    async def _follow_at(self, endpoint: Endpoint) -> None:
        """Follow a member until it is lost, and raise why."""
        gateway = self._gateway(endpoint)
        following: KeyWatcher | None = None
        try:
            found = await gateway.read(self._prefix)
            if self._found and not found.follows(self._found):
                self.log.warn(
                    "{source}: {place} is an etcd that has begun anew", source=self._told.name, place=endpoint
                )
            self._found = found
            self._heard(found.keys)
            following = KeyWatcher(
                gateway,
                self._prefix,
                found,
                clock=self._reactor,
                random=self._random,
                heard=self._heard,
                good=self._good,
            )
            await following.run()
        finally:
            self.differences += following.missed if following else 0
            gateway.close()

    def _heard(self, keys: Keys) -> None:
        """Take what the keys are now."""
        self._keys = keys
        texts = {key.removeprefix(self._prefix).decode("utf-8", "replace"): value for key, value in values(keys)}
        listing = self._values.listing(texts)
        if self._trouble:
            listing = replace(listing, problems=(self._trouble, *listing.problems))
        self._tell(partial(self._told.list, listing))

    def _good(self) -> None:
        """Take it that a member can be followed, and that what it has said is all."""
        self._endpoints.good()
        self._proven = True
        self._troubles.clear()
        self._trouble = ""
        if self._told.problem is None:
            self._told.good()
        else:
            self._heard(self._keys)

    def _lost(self, place: str) -> None:
        """Tell what is wrong if no member can be followed; one that was is only worth a line in the log."""
        why = self._troubles[place]
        if self._proven:
            self.log.warn("{source}: {place} is lost: {why}", source=self._told.name, place=place, why=why)
        elif self._endpoints.exhausted:
            troubles, self._troubles = self._troubles, {}
            texts = (f"{name}: {troubles[name]}" if name else str(troubles[name]) for name in sorted(troubles))
            self._trouble = "; ".join(texts)
            self._tell(partial(self._told.failure, SourceError(self._trouble, why.trouble)))

    def _tell(self, telling: Callable[[], None]) -> None:
        """Tell the listener, who may stop us: then whatever tells ends here, by CancelledError."""
        self._telling = True
        try:
            telling()
        except SourceError as error:
            self._told.failure(error)
        finally:
            self._telling = False
        if not self._running:
            raise CancelledError
