"""A real etcd behind a forwarder, by either version of its API, for the contract of the pool sources."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from urllib.error import HTTPError

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.etcd.v2 import Times, etcd2_source
from pybal.sources.etcd.v3 import etcd3_source
from pybal.sources.feed import Feed
from pybal.sources.pool_source import PoolSource
from tests.harness.servers.etcd import etcd
from tests.harness.sources.forwarder import Forwarder, Passage
from tests.harness.stepped_reactor import SteppedReactor

GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n<html>Bad Gateway</html>"
_REVISION = re.compile(rb'"revision":"(\d+)"')
_INDEX = re.compile(rb"waitIndex=(\d+)")


class _Etcd(ABC):
    """A directory ``/pools/web`` written in one step; if vanished, it accepts connections and is silent."""

    WATCH: bytes
    QUERY = ""

    def __init__(self, directory: Path) -> None:
        self.clock = SteppedReactor(self._is_behind)
        self._etcd = etcd(directory)
        self._etcd.server.start()
        self._forwarder = Forwarder(self.clock, self._etcd.port, self.WATCH)
        self._written = 0
        self.vanish()

    def expected(self, members: Sequence[Member]) -> tuple[Member, ...]:
        return tuple(sorted(members, key=lambda member: member.host))

    def source(self, *, allow_empty: bool) -> PoolSource:
        settings = self._settings(f"127.0.0.1:{self.port}", allow_empty=allow_empty)
        return PoolSource(
            self._feed(settings, 1), settings, None, service="web", clock=self.clock, wall=partial(datetime.now, UTC)
        )

    def feed(self, hosts: str = "", seed: int = 1) -> Feed:
        """Return the source without safety checks, by default for this etcd only."""
        return self._feed(self._settings(hosts or f"127.0.0.1:{self.port}"), seed)

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
        """Forward again, over new connections."""
        self._forwarder.instead = None
        self._forwarder.cut()

    @property
    def port(self) -> int:
        return self._forwarder.port

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._forwarder.passages)

    def refuse_watches(self, response: bytes | None) -> None:
        """Send this response to each watch; ``None`` ends that."""
        self._forwarder.unwatched = response
        self._forwarder.cut()

    def lose_changes(self) -> None:
        """Discard all further responses to the open watches."""
        for passage in self._forwarder.passages:
            passage.lost = passage.is_watch

    def watches(self) -> Sequence[bytes]:
        """Return the requests of all watches so far."""
        return [request for request in self._forwarder.requests if request.startswith(self.WATCH)]

    @abstractmethod
    def full_reads(self) -> int:
        """Return the number of reads of all values."""

    def settle(self) -> None:
        # A probe, its deadline, that of a read, and the pause after it.
        self.clock.advance(17)

    def close(self) -> None:
        self._forwarder.stop()
        self.clock.advance(0)
        self.clock.close()
        self._etcd.server.stop()

    def _settings(self, hosts: str, *, allow_empty: bool = True) -> SourceSettings:
        url = f"etcd://{hosts}/pools/web{self.QUERY}"
        return SourceSettings(url, AccessSettings(tls=False), allow_empty=allow_empty)

    def _put(self, values: Mapping[str, object]) -> None:
        self._written = self._write(values)
        if self._forwarder.instead is not None:
            self.resume()

    def _is_behind(self) -> bool:
        """Return whether a response, or a change that is watched, is still to come."""
        if self._forwarder.instead is not None:
            return False
        return any(p.waits or (p.is_watch and self._misses_change(p)) for p in self._forwarder.passages)

    @abstractmethod
    def _feed(self, settings: SourceSettings, seed: int) -> Feed: ...

    @abstractmethod
    def _write(self, values: Mapping[str, object]) -> int:
        """Replace all values; return the revision of the last change."""

    @abstractmethod
    def _misses_change(self, watch: Passage) -> bool: ...


class Etcd2(_Etcd):
    """API v2. It has no transactions: a subdirectory that changes first makes the source read everything."""

    WATCH = b"GET /v2/keys/pools/web?wait=true"

    def full_reads(self) -> int:
        return sum(b"quorum=true" in request for request in self._forwarder.requests)

    def _feed(self, settings: SourceSettings, seed: int) -> Feed:
        return etcd2_source(settings, reactor=self.clock, random=Random(seed), times=Times(poll=2.0))

    def _write(self, values: Mapping[str, object]) -> int:
        self._etcd.v2("PUT", "/pools/web/change", dir="true")
        for node in self._etcd.v2("GET", "/pools/web")["node"]["nodes"]:
            if node["key"].rpartition("/")[2] not in values and not node.get("dir"):
                self._etcd.remove(node["key"])
        for host, value in values.items():
            self._etcd.put(f"/pools/web/{host}", json.dumps(value))
        with suppress(HTTPError):
            self._etcd.remove("/pools/web/change", recursive=True)
        return self._etcd.index()

    def _misses_change(self, watch: Passage) -> bool:
        (index,) = _INDEX.findall(watch.request)
        return int(index) <= self._written and not watch.response.endswith(b"0\r\n\r\n")


class Etcd3(_Etcd):
    """API v3."""

    WATCH = b"POST /v3/watch"
    QUERY = "?api=3"

    def __init__(self, directory: Path) -> None:
        self._hosts: set[str] = set()
        super().__init__(directory)

    def full_reads(self) -> int:
        reads = [request for request in self._forwarder.requests if request.startswith(b"POST /v3/kv/range ")]
        return sum(b"min_mod_revision" not in read for read in reads)

    def _feed(self, settings: SourceSettings, seed: int) -> Feed:
        return etcd3_source(settings, reactor=self.clock, random=Random(seed))

    def _write(self, values: Mapping[str, object]) -> int:
        puts = [
            {"request_put": {"key": _key(host), "value": _base64(json.dumps(value))}} for host, value in values.items()
        ]
        gone = [{"request_delete_range": {"key": _key(host)}} for host in sorted(self._hosts - values.keys())]
        self._hosts = set(values)
        return int(self._etcd.v3("kv/txn", success=[*gone, *puts])["header"]["revision"])

    def _misses_change(self, watch: Passage) -> bool:
        return max(map(int, _REVISION.findall(watch.response)), default=0) < self._written


def _key(host: str) -> str:
    return _base64(f"/pools/web/{host}")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
