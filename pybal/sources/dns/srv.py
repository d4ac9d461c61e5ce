"""SRV records of a DNS name as pool members, queried again when their TTL expires."""

from __future__ import annotations

from random import Random

from twisted.names import dns

from pybal.config.settings import SourceSettings
from pybal.resolve.message import Target
from pybal.resolve.servers import NameServers, Unanswered
from pybal.runtime.backoff import Backoff
from pybal.runtime.file_values import FileValues
from pybal.runtime.reactor import Reactor
from pybal.sources.base import SourceError, Trouble
from pybal.sources.dns.records import SRVRecord, listing
from pybal.sources.feed import Feed

#: Bounds of the TTL, in seconds. Records are also queried at least twice within ``source-max-age``.
SHORTEST_LIFE, LONGEST_LIFE = 1.0, 300.0

#: Seconds until a failed query is retried: first, and at most.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0


class SRVReader:
    """Reads ``dns+srv://_service._protocol.domain`` from the DNS servers of this host."""

    differences = 0

    def __init__(self, settings: SourceSettings, servers: NameServers, random: Random) -> None:
        name = settings.url.partition("://")[2].rstrip("/").removesuffix(".")
        self._query = dns.Query(name.lower().encode("ascii"), dns.SRV)
        self._port = settings.port
        self._longest = min(LONGEST_LIFE, settings.max_age / 2)
        self._servers = servers
        self._random = random
        self._backoff = Backoff(FIRST_RETRY, LAST_RETRY, random)

    async def read(self, feed: Feed) -> float:
        try:
            response = await self._servers.ask(self._query)
        except Unanswered as unanswered:
            raise SourceError(str(unanswered), Trouble.SILENT if unanswered.silent else Trouble.FAILED) from None
        if response.code == dns.ENAME:
            raise SourceError("no such name (NXDOMAIN)", Trouble.UNREACHABLE)
        records = [SRVRecord(*record.data) for record in response.records if isinstance(record.data, Target)]
        feed.list(listing(records, self._port, feed.members))
        self._backoff.reset()
        life = min((record.ttl for record in response.records), default=0)
        # Never before the TTL has expired: a cache would answer with the same records and a TTL of almost 0.
        return min(max(life, SHORTEST_LIFE), self._longest) * self._random.uniform(1.0, 1.1)

    def retry(self, error: SourceError) -> float:  # noqa: ARG002  # every failure is retried alike
        return self._backoff.pause()

    def close(self) -> None: ...


def srv_source(
    settings: SourceSettings,
    *,
    reactor: Reactor,
    random: Random,
    files: FileValues | None = None,
    resolv_conf: str = "/etc/resolv.conf",
    port: int = 53,
) -> Feed:
    """Return the source of a ``dns+srv://`` URL.

    ``resolv_conf`` lists the DNS servers, at ``port``; ``files`` reads it.
    """
    reader = SRVReader(settings, NameServers(reactor, resolv_conf, port, files=files), random)
    return Feed(settings.url, reader, reactor, random)
