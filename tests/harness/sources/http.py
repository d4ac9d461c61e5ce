"""A real nginx with a pool list, for the contract of pool sources."""

from __future__ import annotations

import itertools
import os
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.http.client import TIMEOUT, HTTPClient, HTTPRequest
from pybal.http.connection import FullResponse
from pybal.resolve import dns_lookup
from pybal.runtime.file_values import inline
from pybal.runtime.turns import Turns
from pybal.sources.feed import Feed
from pybal.sources.http import LONGEST_PAUSE, HTTPReader
from pybal.sources.pool_source import PoolSource
from tests.harness.servers.nginx import listening, nginx
from tests.harness.servers.process import free_ports
from tests.harness.stepped_reactor import SteppedReactor


class CountingClient(HTTPClient):
    """A client that counts the requests that wait for a response."""

    waiting = 0

    def request(
        self, request: HTTPRequest, timeout: float = TIMEOUT, body_statuses: Container[int] | None = None
    ) -> Deferred[FullResponse]:
        self.waiting += 1
        return super().request(request, timeout, body_statuses).addBoth(self._answered)

    def _answered(self, result: FullResponse | Failure) -> FullResponse | Failure:
        self.waiting -= 1
        return result


class HTTP:
    """A list in lines; after ``vanish`` the server responds with 404."""

    def __init__(self, directory: Path) -> None:
        self.clock = SteppedReactor(self._is_asking)
        self._port = free_ports(1)[0]
        self._path = directory / "pool"
        self._times = itertools.count(10**18, 10**9)
        self._server = nginx(directory, f"server {{ {listening(self._port)} }}", self._port)
        self._server.start()
        self._client = CountingClient(
            "127.0.0.1", self._port, trust=None, reactor=self.clock, lookup=dns_lookup(self.clock)
        )
        self._hangs = False

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(members)

    def source(self, *, allow_empty: bool) -> PoolSource:
        settings = SourceSettings(f"http://127.0.0.1:{self._port}/pool", allow_empty=allow_empty)
        reader = HTTPReader(
            settings, self._client, self.clock, Random(1), turns=Turns(self.clock), files=inline(self.clock)
        )
        source = Feed(settings.url, reader, self.clock, Random(1))
        return PoolSource(source, settings, None, service="web", clock=self.clock, wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._put("".join(f"{self._fields(member)}\n" for member in members))

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        lines = ({**self._fields(m), "weight": "many"} if m.host == host else self._fields(m) for m in members)
        self._put("".join(f"{line}\n" for line in lines))

    def garble(self) -> None:
        self._put("<html>502 Bad Gateway</html>\n")

    def vanish(self) -> None:
        self._path.unlink(missing_ok=True)

    def settle(self) -> None:
        self.clock.advance(LONGEST_PAUSE + TIMEOUT + 1)

    def close(self) -> None:
        self._server.stop()
        self.clock.close()

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def hang(self) -> None:
        self._server.pause()
        self._hangs = True

    def resume(self) -> None:
        self._server.resume()
        self._hangs = False

    def _put(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(text)
        time = next(self._times)
        os.utime(new, ns=(time, time))
        new.rename(self._path)

    def _is_asking(self) -> bool:
        return self._client.waiting > 0 and not self._hangs

    @staticmethod
    def _fields(member: Member) -> dict[str, object]:
        return {"host": member.host, "weight": member.weight, "enabled": member.enabled}
