"""A Kubernetes API server with nodes, for the contract of pool sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.kubernetes import source as kubernetes
from pybal.sources.kubernetes.source import LAST_RETRY, kubernetes_source
from pybal.sources.pool_source import PoolSource
from tests.harness.servers.kubernetes import TOKEN, APIServer, node
from tests.harness.servers.kubernetes_wire import Asked, Connection, certified, lookup
from tests.harness.stepped_reactor import SteppedReactor

_WATCH, _SHORTEST = 1.0, 0.5


class _Clock(SteppedReactor):
    """A reactor that also advances the time of the server."""

    server: APIServer

    def iterate(self, delay: float = 0) -> None:
        super().iterate(delay)
        self.server.tick()


class Kubernetes:
    """The API server of the tests; each watch lasts one second, which keeps the tests short."""

    def __init__(self, directory: Path) -> None:  # files of other upstreams
        self.clock = _Clock()
        ca, certificate = certified()
        self._access = AccessSettings(ca=str(ca))
        self._server = self.clock.server = APIServer(self.clock, certificate)
        self._server.listen()
        self._listening = True
        self._before = kubernetes.WATCH, kubernetes.SHORTEST
        kubernetes.WATCH, kubernetes.SHORTEST = _WATCH, _SHORTEST
        self.vanish()

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted((Member(m.host, 1, m.enabled) for m in members), key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> PoolSource:
        url = f"k8s://{TOKEN}@api.example:{self._server.port}"
        settings = SourceSettings(url, self._access, allow_empty=allow_empty)
        source = kubernetes_source(settings, reactor=self.clock, random=Random(1), lookup=lookup)
        return PoolSource(source, settings, None, service="web", clock=self.clock, wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._recover()
        self._server.replace({m.host: node(m.host, str(m.enabled)) for m in members})

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._recover()
        documents = {m.host: node(m.host, str(m.enabled)) for m in members}
        documents[host]["status"] = {"conditions": "many"}
        self._server.replace(documents)

    def garble(self) -> None:
        def garbled(connection: Connection, _: Asked) -> bool:
            connection.answer(200, b"<html>502 Bad Gateway</html>")
            return True

        self._recover()
        self._server.instead = garbled
        for watch in self._server.watches:
            watch.end()

    def vanish(self) -> None:
        self.kill()

    def kill(self) -> None:
        self._server.stop()
        self._listening = False

    def start(self) -> None:
        self._recover()

    def hang(self) -> None:
        self._server.instead = lambda _connection, _asked: True
        for watch in self._server.watches:
            watch.watching = False

    def resume(self) -> None:
        self._recover()

    def settle(self) -> None:
        self.clock.advance(LAST_RETRY + 10)

    def close(self) -> None:
        kubernetes.WATCH, kubernetes.SHORTEST = self._before
        self._server.stop()
        self.clock.advance(1)
        self.clock.close()

    def _recover(self) -> None:
        """Respond normally again."""
        self._server.instead = lambda _connection, _asked: False
        if not self._listening:
            self.clock.iterate()
            self._server.listen()
            self._listening = True
