"""What a pool source of each kind reads from, played by a test, and all that the source tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.internet.task import Clock

from pybal.core.model import Member
from pybal.sources.base import Source, SourceError
from tests.harness.sources.dns_srv import SRV
from tests.harness.sources.etcd import Etcd2, Etcd3
from tests.harness.sources.file import JSONFile, LinesFile, YAMLFile
from tests.harness.sources.http import HTTP
from tests.harness.sources.kubernetes import Kubernetes
from tests.harness.stepped_reactor import SteppedReactor

ONE = (Member("a", 1), Member("b", 2, enabled=False), Member("c", 3))
OTHER = (Member("c", 3), Member("a", 5), Member("d", 4))


class Harness(Protocol):
    """Whatever a source of one kind reads from, played by the test."""

    @property
    def clock(self) -> Clock | SteppedReactor: ...

    def heard(self, members: Sequence[Member]) -> tuple[Member, ...]:
        """Return what is heard when it says that these are the members: order, weight, enabled may be its own."""

    def source(self, *, allow_empty: bool) -> Source: ...

    def write(self, members: Sequence[Member]) -> None:
        """Make it say that these are the members, in this order."""

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        """Make it say so, but nonsense about one of the hosts."""

    def garble(self) -> None:
        """Make it say something that is no list at all."""

    def vanish(self) -> None:
        """Make it say nothing, until the next write."""

    def settle(self) -> None:
        """Let time go by until whatever has been said must have been heard."""

    def close(self) -> None:
        """Leave nothing behind."""


class Served(Harness, Protocol):
    """One with a server of its own."""

    def kill(self) -> None:
        """End the server; ``start`` begins it anew."""

    def start(self) -> None: ...

    def hang(self) -> None:
        """Have the server say nothing, over connections that stay; ``resume`` ends that."""

    def resume(self) -> None: ...


HARNESSES: Sequence[Callable[[Path], Harness]] = (LinesFile, JSONFile, YAMLFile, SRV, HTTP, Etcd2, Etcd3, Kubernetes)
SERVED: Sequence[Callable[[Path], Served]] = (HTTP, Etcd3, Kubernetes)


class Rig:
    """A source that is read, and all it has told."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.one = harness.heard(ONE)
        self.other = harness.heard(OTHER)
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[str] = []
        self._started: list[Source] = []

    def start(self, *, allow_empty: bool = False) -> None:
        self.source = self.harness.source(allow_empty=allow_empty)
        self._started.append(self.source)
        self.source.start(self.lists.append, self._failed)

    def close(self) -> None:
        for source in self._started:
            source.stop()
        self.harness.clock.advance(0)
        self.harness.close()

    def _failed(self, error: SourceError) -> None:
        self.errors.append(str(error))

    def write(self, members: Sequence[Member]) -> None:
        self.harness.write(members)
        self.harness.settle()

    def starts_with(self, members: Sequence[Member], *, allow_empty: bool = False) -> None:
        self.harness.write(members)
        self.start(allow_empty=allow_empty)
        self.harness.settle()
