"""A DNS server with SRV records, for the contract of pool sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.names import dns

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.resolve.servers import TIMEOUT
from pybal.sources.dns.srv import LAST_RETRY, srv_source
from pybal.sources.pool_source import PoolSource
from tests.harness.fake_dns_server import NameServer, answer
from tests.harness.stepped_reactor import SteppedReactor


class SRV:
    """A DNS server with the records of one name."""

    def __init__(self, directory: Path) -> None:
        self.clock = SteppedReactor()
        self._server = NameServer(self.clock)
        self._server.listen()
        self._resolv_conf = directory / "resolv.conf"
        self._resolv_conf.write_text("nameserver 127.0.0.1\n")
        self.vanish()

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted((Member(m.host, m.weight) for m in members), key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> PoolSource:
        settings = SourceSettings("dns+srv://_web._tcp.example", allow_empty=allow_empty, port=80)
        source = srv_source(
            settings,
            reactor=self.clock,
            random=Random(1),
            resolv_conf=str(self._resolv_conf),
            port=self._server.port,
        )
        return PoolSource(source, settings, None, service="web", clock=self.clock, wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._serve([(m.host, m.weight) for m in members] or [("", 0)])

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._serve([*((m.host, m.weight) for m in members), (host, 1000)])

    def garble(self) -> None:
        self._server.answers = lambda query: [answer(query, dns.ENAME)]

    def vanish(self) -> None:
        self._server.answers = lambda _: []

    def settle(self) -> None:
        self.clock.advance(LAST_RETRY + TIMEOUT + 1)

    def close(self) -> None:
        for closing in (self._server.stop(), self._server.stop_tcp()):
            Deferred.fromCoroutine(closing)
        self.clock.advance(1)
        self.clock.close()

    def _serve(self, records: Sequence[tuple[str, int]]) -> None:
        found = tuple(
            dns.RRHeader("_web._tcp.example", dns.SRV, ttl=1, payload=dns.Record_SRV(10, weight, 80, host))
            for host, weight in records
        )
        self._server.answers = lambda query: [answer(query, records=found)]
