"""A Kubernetes source with its server in stepped time, and a record of its reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.feed import Feed
from pybal.sources.kubernetes import source as kubernetes
from pybal.sources.kubernetes.source import kubernetes_source
from tests.harness.servers.kubernetes import SELECTOR, TOKEN, APIServer, node
from tests.harness.servers.kubernetes_wire import Asked, certified, lookup
from tests.harness.stepped_reactor import SteppedReactor

ABC = tuple(Member(name, 1) for name in "abc")
NAME = "k8s://***@api.example:{}/?labelSelector=pybal=yes"
SILENCE = kubernetes.WATCH + kubernetes.GRACE + 5


class KubernetesRecorder:
    """Runs a source of nodes and its server, and records the reports."""

    def __init__(self, directory: Path) -> None:
        self.ca, certificate = certified()
        self.reactor = SteppedReactor()
        self.server = APIServer(self.reactor, certificate)
        self.server.listen()
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.token_file = directory / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        self._others: list[Feed] = []
        for name in "abc":
            self.server.put(node(name))

    def start(
        self,
        ca: str | None = None,
        token_file: str | None = None,
        listed: Callable[[tuple[Member, ...]], None] | None = None,
        max_age: float = 300.0,
        max_pool_size: int = 10_000,
    ) -> None:
        ca = str(self.ca) if ca is None else ca
        token_file = str(self.token_file) if token_file is None else token_file
        url = f"k8s://unused@api.example:{self.server.port}/?labelSelector={SELECTOR}"
        access = AccessSettings(ca=ca, token_file=token_file)
        settings = SourceSettings(url, access, max_age=max_age, max_pool_size=max_pool_size)
        self.source = kubernetes_source(settings, reactor=self.reactor, random=Random(1), lookup=lookup)
        self.source.start(listed or self.lists.append, self.errors.append)

    def advance(self, seconds: float) -> None:
        end = self.reactor.seconds() + seconds
        # Requests and responses take several reactor iterations, even in a short time.
        step = 0.05 if seconds >= 1 else seconds / 20
        while self.reactor.seconds() < end:
            self.reactor.advance(step, step)
            self.server.tick()

    def started(self) -> KubernetesRecorder:
        """Start, and receive the first list."""
        self.start()
        self.advance(2)
        assert self.lists == [ABC]
        assert self.errors == []
        return self

    def others(self, count: int) -> None:
        """Start ``count`` other sources of the same server."""
        url = f"k8s://{TOKEN}@api.example:{self.server.port}"
        settings = SourceSettings(url, AccessSettings(ca=str(self.ca)))
        for number in range(count):
            source = kubernetes_source(settings, reactor=self.reactor, random=Random(number), lookup=lookup)
            source.start(lambda _: None, lambda _: None)
            self._others.append(source)

    def lists_in_each_second(self, seconds: int) -> list[int]:
        """Advance the time; return the number of lists started in each second."""
        counts = []
        for _ in range(seconds):
            self.server.requests.clear()
            self.advance(1)
            started = [
                asked for asked in self.asked("list") if asked.query["limit"] != "1" and "continue" not in asked.query
            ]
            counts.append(len(started))
        return counts

    def close(self) -> None:
        """Stop the sources and the server; assert that nothing is left."""
        for source in (self.source, *self._others):
            source.stop()
        self.advance(0.1)
        assert self.reactor.getDelayedCalls() == []
        self.server.stop()
        self.advance(0.5)
        assert self.server.connections == []
        self.reactor.close()

    @property
    def texts(self) -> list[str]:
        return [str(error).removeprefix(f"{NAME.format(self.server.port)}: ") for error in self.errors]

    def asked(self, verb: str) -> list[Asked]:
        return [asked for asked in self.server.requests if asked.verb == verb]
