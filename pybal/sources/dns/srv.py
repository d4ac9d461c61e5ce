"""The SRV records of a name in DNS, asked for again when their time to live is over."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.names import dns
from twisted.python.failure import Failure

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.resolve.servers import NameServers, Unanswered
from pybal.runtime.backoff import Backoff
from pybal.sources.base import SourceError, Trouble
from pybal.sources.dns.records import SRVRecord, listing
from pybal.sources.formats.text import Listing
from pybal.sources.reports import Reports

#: However short or long their time to live, records are asked for again after so many seconds; and at least twice
#: within the time for which an old list is no alert.
SHORTEST_LIFE, LONGEST_LIFE = 1.0, 300.0

#: Seconds until a question that failed is asked again: first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0

#: The first questions of many sources are spread over so many seconds.
SPREAD = 1.0


class SRVSource:
    """The source of ``dns+srv://_service._protocol.domain``, which asks the DNS servers of this host.

    Whatever they say that is no list (no such name, no SRV record, SERVFAIL, nothing) keeps the last good one.
    """

    log = Logger()
    differences = 0

    def __init__(
        self,
        settings: SourceSettings,
        *,
        reactor: Any,  # noqa: ANN401  # as in pybal.daemon.app
        random: Random,
        resolv_conf: str = "/etc/resolv.conf",
        port: int = 53,
    ) -> None:
        name = settings.url.partition("://")[2].rstrip("/").removesuffix(".")
        self._told = Reports(settings.url, reactor)
        self._query = dns.Query(name.lower().encode("ascii"), dns.SRV)
        self._port = settings.port
        self._longest = min(LONGEST_LIFE, settings.max_age / 2)
        self._reactor = reactor
        self._random = random
        self._servers = NameServers(reactor, resolv_conf, port)
        self._backoff = Backoff(FIRST_RETRY, LAST_RETRY, random)
        self._asking: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._running = False

    @property
    def problem(self) -> str | None:
        return self._told.problem

    @property
    def last_success(self) -> float | None:
        return self._told.last_success

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Begin to ask. See :class:`pybal.sources.base.Source`."""
        self._told.begin(listed, failed)
        self._running = True
        self._call = self._reactor.callLater(self._random.uniform(0, SPREAD), self._begin)

    def stop(self) -> None:
        """Ask no more."""
        self._told.end()
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._asking is not None:
            self._asking.cancel()

    def _begin(self) -> None:
        self._call = None
        asking = Deferred.fromCoroutine(self._ask())
        self._asking = asking.addCallback(self._answered).addErrback(self._failed).addCallback(self._again)

    async def _ask(self) -> tuple[Listing, float]:
        """Return what is listed, and for how many seconds that is good."""
        try:
            message = await self._servers.ask(self._query)
        except Unanswered as unanswered:
            raise SourceError(str(unanswered), Trouble.SILENT if unanswered.silent else Trouble.FAILED) from None
        if message.rCode == dns.ENAME:
            raise SourceError("no such name (NXDOMAIN)", Trouble.UNREACHABLE)
        found = [_record(answer.payload) for answer in message.answers if answer.type == dns.SRV]
        life = min((answer.ttl for answer in message.answers), default=0)
        return listing(found, self._port, self._told.members), min(max(life, SHORTEST_LIFE), self._longest)

    def _answered(self, answer: tuple[Listing, float]) -> float:
        self._told.list(answer[0])
        self._backoff.reset()
        # Never before it has expired: a cache would answer with the little that is left of its time to live.
        return answer[1] * self._random.uniform(1.0, 1.1)

    def _failed(self, failure: Failure) -> float:
        error = failure.value
        if not isinstance(error, SourceError | CancelledError):
            self.log.failure("{source}", failure, source=self._told.name)
            error = SourceError(repr(error), Trouble.FAILED)
        if isinstance(error, SourceError):
            self._told.failure(error)
        return self._backoff.pause()

    def _again(self, pause: float) -> None:
        if self._running:
            self._call = self._reactor.callLater(pause, self._begin)


def _record(payload: Any) -> SRVRecord:  # noqa: ANN401  # twisted.names has no types for these
    return SRVRecord(payload.priority, payload.weight, payload.port, payload.target.name.decode("latin-1"))
