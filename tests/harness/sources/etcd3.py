"""A real etcd, by version 3 of its API, behind a forwarder: for the contract of the pool sources."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import Source
from pybal.sources.kinds import build
from tests.harness.servers.etcd import etcd
from tests.harness.stepped_reactor import SteppedReactor

GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n<html>Bad Gateway</html>"
_REVISION = re.compile(rb'"revision":"(\d+)"')


class Etcd3:
    """A directory that is written in one go. What it vanishes in is silence."""

    def __init__(self, directory: Path) -> None:
        self.clock = SteppedReactor(self._is_behind)
        self._etcd = etcd(directory)
        self._etcd.server.start()
        self._forwarder = Forwarder(self.clock, self._etcd.port)
        self._hosts: set[str] = set()
        self._written = 0
        self.vanish()

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted(members, key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> Source:
        url = f"etcd://127.0.0.1:{self._forwarder.port}/pools/web?api=3"
        settings = SourceSettings(url, AccessSettings(tls=False), allow_empty=allow_empty)
        return build(settings, reactor=self.clock, random=Random(1), wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._put({m.host: {"weight": m.weight, "pooled": "yes" if m.enabled else "no"} for m in members})

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put({m.host: {"weight": "many" if m.host == host else m.weight, "pooled": "yes"} for m in members})

    def garble(self) -> None:
        self._forwarder.instead = GARBAGE

    def vanish(self) -> None:
        self._forwarder.instead = b""

    def kill(self) -> None:
        self._etcd.server.kill()

    def start(self) -> None:
        self._etcd.server.start()

    def hang(self) -> None:
        self.vanish()

    def resume(self) -> None:
        self._forwarder.instead = None
        self._forwarder.cut()

    @property
    def port(self) -> int:
        return self._forwarder.port

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._forwarder.passages)

    def refuse_watches(self, answer: bytes | None) -> None:
        """Answer to what would be a watch; ``None`` ends that."""
        self._forwarder.unwatched = answer
        self._forwarder.cut()

    def lose_changes(self) -> None:
        """Lose all that the watches of now are told."""
        for passage in self._forwarder.passages:
            passage.lost = passage.asked.startswith(b"POST /v3/watch")

    def full_reads(self) -> int:
        """Return how often all has been asked for."""
        return sum(b"min_mod_revision" not in read for read in self.asked("/v3/kv/range"))

    def asked(self, path: str) -> Sequence[bytes]:
        """Return all requests for a path."""
        return [asked for asked in self._forwarder.asked if asked.startswith(f"POST {path} ".encode())]

    def settle(self) -> None:
        # A probe, its time-out, that of a read, and the pause after it.
        self.clock.advance(17)

    def close(self) -> None:
        self._forwarder.stop()
        self.clock.advance(0)
        self._etcd.server.stop()

    def _put(self, values: Mapping[str, object]) -> None:
        """Write it in one transaction."""
        puts = [
            {"request_put": {"key": _key(host), "value": _base64(json.dumps(value))}} for host, value in values.items()
        ]
        gone = [{"request_delete_range": {"key": _key(host)}} for host in sorted(self._hosts - values.keys())]
        self._hosts = set(values)
        self._written = int(self._etcd.v3("kv/txn", success=[*gone, *puts])["header"]["revision"])
        if self._forwarder.instead is not None:
            self.resume()

    def _is_behind(self) -> bool:
        """Tell whether an answer, or a change that is watched, is on its way."""
        if self._forwarder.instead is not None:
            return False
        return any(
            passage.waits or (passage.asked.startswith(b"POST /v3/watch") and passage.revision < self._written)
            for passage in self._forwarder.passages
        )


class Forwarder(ServerFactory):
    """Forwards connections to a port of this host. What is said ``instead`` is no answer at all if it is empty."""

    noisy = False

    def __init__(self, reactor: Any, to: int) -> None:
        self.instead: bytes | None = None
        self.passages: list[_Passage] = []
        self.asked: list[bytes] = []
        self.unwatched: bytes | None = None
        self._reactor = reactor
        self._to = to
        self._port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: N802  # Twisted's name
        passage = _Passage(self)
        self._reactor.connectTCP("127.0.0.1", self._to, _Server(passage))
        return passage

    def cut(self) -> None:
        """End all connections."""
        for passage in self.passages:
            passage.transport.abortConnection()

    def stop(self) -> None:
        """End all, and take no more."""
        self._port.stopListening()
        self.cut()


class _Passage(Protocol):
    """One connection of a client. ``revision`` is the highest of etcd's that has passed."""

    transport: Any

    def __init__(self, forwarder: Forwarder) -> None:
        self.asked = b""
        self.waits = False
        self.revision = 0
        self.lost = False
        self.server: Any = None
        self._forwarder = forwarder

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        self._forwarder.passages.append(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        instead = self._forwarder.instead
        if instead is None and data.startswith(b"POST /v3/watch"):
            instead = self._forwarder.unwatched
        if instead is not None:
            self.transport.write(instead)
            return
        self.asked, self.waits = data, True
        self._forwarder.asked.append(data)
        if self.server:
            self.server.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        self._forwarder.passages.remove(self)
        if self.server:
            self.server.loseConnection()

    def connected_to(self, server: Any) -> None:
        self.server = server
        if self.asked:
            server.write(self.asked)

    def answered(self, data: bytes) -> None:
        self.waits = False
        self.revision = max(self.revision, *map(int, _REVISION.findall(data)), 0)
        if self._forwarder.instead is None and not self.lost:
            self.transport.write(data)

    def closed(self) -> None:
        self.waits = False
        if self._forwarder.instead is None:
            self.transport.abortConnection()


class _Server(ClientFactory):
    """Our connection to the server."""

    noisy = False

    def __init__(self, passage: _Passage) -> None:
        self._passage = passage

    def buildProtocol(self, addr: object) -> Protocol:  # noqa: N802  # Twisted's name
        made = Protocol()
        passage = self._passage
        made.connectionMade = lambda: passage.connected_to(made.transport)  # type: ignore[method-assign]
        made.dataReceived = passage.answered  # type: ignore[method-assign]
        made.connectionLost = lambda _: passage.closed()  # type: ignore[method-assign,assignment,misc]
        return made

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        self._passage.closed()


def _key(host: str) -> str:
    return _base64(f"/pools/web/{host}")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
