"""What plays etcd, by version 2 of its API, for the contract of the pool sources."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from urllib.error import HTTPError

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import Source
from pybal.sources.etcd.v2 import THREAD, Etcd2Source
from pybal.sources.etcd.v2watch import Times
from pybal.sources.pool_source import PoolSource
from tests.harness.servers.etcd import etcd
from tests.harness.servers.process import PATIENCE
from tests.harness.servers.relay import Relay
from tests.harness.stepped_reactor import SteppedReactor


class Etcd2:
    """A real etcd, by version 2 of its API, with a relay before it."""

    def __init__(self, directory: Path) -> None:
        self.clock = _KnownTime(self._know)
        self._etcd = etcd(directory)
        self._etcd.server.start()
        self._relay = Relay(self._etcd.port)
        self._relay.__enter__()
        self._inner: Etcd2Source | None = None

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted(members, key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> Source:
        url = f"etcd://127.0.0.1:{self._relay.port}/pools/web"
        settings = SourceSettings(url, AccessSettings(tls=False), allow_empty=allow_empty)
        times = Times(poll=0.05)
        self._inner = Etcd2Source(settings, reactor=self.clock, random=Random(1), times=times)
        return PoolSource(self._inner, settings, None, clock=self.clock, wall=partial(datetime.now, UTC))

    def write(self, members: Sequence[Member]) -> None:
        self._put({m.host: {"weight": m.weight, "pooled": "yes" if m.enabled else "no"} for m in members})

    def write_with_a_bad_entry(self, members: Sequence[Member], host: str) -> None:
        self._put({m.host: {"weight": "many" if m.host == host else m.weight, "pooled": "yes"} for m in members})

    def garble(self) -> None:
        self._relay.answer(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n<html>Bad Gateway</html>"])
        self._lost = True

    def vanish(self) -> None:
        self._relay.refuse()
        self._lost = True

    def settle(self) -> None:
        self._wait(self._fails_again() if self._lost else self._is_behind_nothing)
        self.clock.iterate(0)

    def close(self) -> None:
        if self._inner:
            self._inner.stop()
        self._relay.__exit__(None, None, None)
        self._etcd.server.stop()

    def _put(self, values: Mapping[str, object]) -> None:
        if self._lost:
            self._relay.behave()
        self._lost = False
        with suppress(HTTPError):
            self._etcd.v2("PUT", "/pools/web", dir="true")
        for node in self._etcd.v2("GET", "/pools/web")["node"].get("nodes", ()):
            if node["key"].rpartition("/")[2] not in values:
                self._etcd.remove(node["key"])
        for host, value in values.items():
            self._etcd.put(f"/pools/web/{host}", json.dumps(value))

    _lost = False

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait in real time, which is the time of threads."""
        deadline = time.monotonic() + PATIENCE
        while self._inner and self._inner._running and not done():
            assert time.monotonic() < deadline, self._relay.requests[-3:]
            if not self._follows():
                SteppedReactor.advance(self.clock, 0.5)
            time.sleep(0.005)

    def _is_behind_nothing(self) -> bool:
        waiting = f"waitIndex={self._etcd.index() + 1}&"
        return self._follows() and waiting in "".join(self._relay.requests[-1:])

    def _fails_again(self) -> Callable[[], bool]:
        before = self._relay.connections
        return lambda: self._relay.connections > before and not self._follows()

    def _know(self) -> None:
        """Have all read once more."""
        if not self._lost:
            count = len(self._relay.requests)
            self._wait(lambda: any("quorum" in request for request in self._relay.requests[count:]))
            self._wait(self._is_behind_nothing)

    @staticmethod
    def _follows() -> bool:
        return any(thread.name == THREAD for thread in threading.enumerate())


class _KnownTime(SteppedReactor):
    """After a time that was not real, a source with a thread needs a moment that is."""

    def __init__(self, moment: Callable[[], None]) -> None:
        super().__init__()
        self._moment = moment

    def advance(self, seconds: float, step: float = 0.05) -> None:
        super().advance(seconds, step)
        self._moment()
        self.iterate(0)
