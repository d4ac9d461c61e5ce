"""The upstreams of all kinds of pool source, controlled by a test, and a recorder of reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.internet.task import Clock

from pybal.core.model import Member
from pybal.sources.base import PoolState, SourceError
from pybal.sources.pool_source import PoolSource
from tests.harness.sources.dns_srv import SRV
from tests.harness.sources.etcd import Etcd2, Etcd3
from tests.harness.sources.file import JSONFile, LinesFile, YAMLFile
from tests.harness.sources.http import HTTP
from tests.harness.sources.kubernetes import Kubernetes
from tests.harness.stepped_reactor import SteppedReactor

ONE = (Member("a", 1), Member("b", 2, enabled=False), Member("c", 3))
OTHER = (Member("c", 3), Member("a", 5), Member("d", 4))


class Upstream(Protocol):
    """A file or server that a source of one kind reads, controlled by a test."""

    @property
    def clock(self) -> Clock | SteppedReactor: ...

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        """Return the list that a source delivers for these members; a kind may fix order, weight or enabled."""

    def source(self, *, allow_empty: bool) -> PoolSource: ...

    def write(self, members: Sequence[Member]) -> None:
        """List these members, in this order."""

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        """List these members, with an invalid entry for one host."""

    def garble(self) -> None:
        """Serve garbage instead of a list."""

    def vanish(self) -> None:
        """Disappear until the next write."""

    def settle(self) -> None:
        """Let enough time pass for a source to report the last change."""

    def close(self) -> None:
        """Release all resources."""


class UpstreamServer(Upstream, Protocol):
    """An upstream with a server process or port."""

    def kill(self) -> None:
        """End the server; ``start`` starts it again."""

    def start(self) -> None: ...

    def hang(self) -> None:
        """Keep connections open without responding, until ``resume``."""

    def resume(self) -> None: ...


UPSTREAMS: Sequence[Callable[[Path], Upstream]] = (LinesFile, JSONFile, YAMLFile, SRV, HTTP, Etcd2, Etcd3, Kubernetes)
UPSTREAM_SERVERS: Sequence[Callable[[Path], UpstreamServer]] = (HTTP, Etcd3, Kubernetes)


class SourceRecorder:
    """Runs a source of an upstream and records its reports."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.one = upstream.expected(ONE)
        self.other = upstream.expected(OTHER)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self._started: list[PoolSource] = []

    def start(self, *, allow_empty: bool = False) -> None:
        self.source = self.upstream.source(allow_empty=allow_empty)
        self._started.append(self.source)
        self.source.start(self.lists.append, self.record_problem, self.pool)

    def close(self) -> None:
        for source in self._started:
            source.stop()
        self.upstream.clock.advance(0)
        self.upstream.close()

    def pool(self) -> PoolState:
        """Return a pool in which all enabled servers of the last list are pooled."""
        members = self.lists[-1] if self.lists else None
        return PoolState(members, frozenset(member.host for member in members or () if member.enabled))

    def record_problem(self, error: SourceError) -> None:
        self.errors.append(str(error))

    def write(self, members: Sequence[Member]) -> None:
        self.upstream.write(members)
        self.upstream.settle()

    def starts_with(self, members: Sequence[Member], *, allow_empty: bool = False) -> None:
        self.upstream.write(members)
        self.start(allow_empty=allow_empty)
        self.upstream.settle()
