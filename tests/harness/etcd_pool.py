"""A pool source for a directory of etcd, by either version of the API, with everything it reports."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.etcd.v2 import Times, etcd2_source
from pybal.sources.etcd.v3 import etcd3_source
from pybal.sources.etcd.v3client import TIMEOUT
from pybal.sources.feed import Feed
from tests.harness.servers.etcd import PASSWORD, Etcd
from tests.harness.stepped_reactor import run

PATH = "/conftool/v1/pools/dc/web"
PLAIN = AccessSettings(tls=False)
DEADLINE = 120.0

#: Shorter than the defaults, because most tests wait for one of these times.
SOON = Times(timeout=1.0, poll=2.0)


class Reading:
    """A running source and everything it has reported."""

    def __init__(self, reactor: EPollReactor, source: Feed) -> None:
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.reactor = reactor
        self.source = source
        self.source.start(self.lists.append, self.errors.append)

    @property
    def peers(self) -> list[int]:
        """The ports to which the source has an established connection; one entry for each connection."""
        peers = []
        for reader in self.reactor.getReaders():
            if isinstance(reader, Client):
                with suppress(OSError):  # not connected yet
                    peers.append(reader.getPeer().port)
        return peers

    async def until(self, done: Callable[[], object]) -> None:
        while not done():
            await deferLater(self.reactor, 0.01, lambda: None)

    async def weight(self, weight: int) -> None:
        """Wait until the only member has this weight."""
        await self.until(lambda: self.lists and self.lists[-1] == (Member("a", weight),))

    async def problem(self, text: str) -> None:
        """Wait until a problem that contains ``text`` is reported."""
        await self.until(lambda: text in (self.source.problem or ""))

    async def well(self) -> None:
        """Wait until the last problem is over."""
        await self.until(lambda: self.source.problem is None)

    async def in_thread(self, blocking: Callable[[], object]) -> None:
        """Run a blocking function in another thread, and wait for it."""
        done = threading.Event()
        problem: list[BaseException] = []

        def call() -> None:
            try:
                blocking()
            except BaseException as error:  # noqa: BLE001  # raised below
                problem.append(error)
            finally:
                done.set()

        threading.Thread(target=call, daemon=True).start()
        await self.until(done.is_set)
        if problem:
            raise problem[0]


Story = Callable[[Reading], Coroutine[Any, Any, None]]


class API(ABC):
    """One version of etcd's API: how the source uses it, and how a test writes by it."""

    make: Callable[..., Feed]
    """The factory of the source."""
    query: str
    """The end of the URL."""
    deadline: float
    """The deadline of a read, in seconds."""
    watch: str
    """A part of the first line of each watch."""
    denied: str
    """The reason for a problem with a wrong password."""
    reports_each_member: bool
    """The failure of one of several members is a problem, not only a line in the log."""

    def source(
        self,
        reactor: EPollReactor,
        hosts: Sequence[int] | str,
        access: AccessSettings = PLAIN,
        *,
        resolv_conf: str = "/etc/resolv.conf",
        port: int = 53,
    ) -> Feed:
        """Return a source for ``hosts``, which may be ports of 127.0.0.1."""
        settings = SourceSettings(self.name(hosts), access)
        return self.make(settings, reactor=reactor, random=Random(1), resolv_conf=resolv_conf, port=port)

    @abstractmethod
    def write(self, member: Etcd, value: str, host: str = "a") -> None:
        """Write a value into the pool."""

    @abstractmethod
    def remove(self, member: Etcd, host: str = "a") -> None:
        """Delete a value from the pool."""

    @abstractmethod
    def forget_changes(self, member: Etcd) -> None:
        """Make etcd forget all changes until now."""

    @abstractmethod
    async def missing(self, read: Reading) -> None:
        """Wait until the source has found that the directory does not exist."""

    @abstractmethod
    def require_passwords(self, member: Etcd) -> None:
        """Accept only the user root, with :data:`PASSWORD`."""

    @abstractmethod
    async def verified(self, read: Reading) -> None:
        """Wait until the source has its first list and watches the member."""

    def put(self, member: Etcd, weight: int, host: str = "a") -> None:
        """Write a server with this weight into the pool."""
        self.write(member, json.dumps({"weight": weight, "pooled": "yes"}), host)

    def name(self, hosts: Sequence[int] | str) -> str:
        """Return the name of a source in messages."""
        return f"etcd://{at(hosts)}{PATH}{self.query}"

    def run(self, hosts: Sequence[int] | str, story: Story, access: AccessSettings = PLAIN) -> None:
        """Run a story about a source; see :func:`run_source`."""
        run_source(lambda reactor: self.source(reactor, hosts, access), story)


class V2(API):
    """API v2; a read takes at most ``times.timeout``."""

    query = "/"
    watch = "wait=true"
    denied = "HTTP 401 (The request requires user authentication: Insufficient credentials), wanted 200"
    reports_each_member = True

    def __init__(self, times: Times = SOON) -> None:
        self.make = partial(etcd2_source, times=times)
        self.deadline = times.timeout

    def write(self, member: Etcd, value: str, host: str = "a") -> None:
        member.put(f"{PATH}/{host}", value)

    def remove(self, member: Etcd, host: str = "a") -> None:
        member.remove(f"{PATH}/{host}")

    def forget_changes(self, member: Etcd) -> None:
        """Make more than the thousand changes that etcd keeps."""
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: member.put("/elsewhere", str(number)), range(1100)))

    async def missing(self, read: Reading) -> None:
        await read.problem(f"no directory {PATH}")

    def require_passwords(self, member: Etcd) -> None:
        member.require_passwords()

    async def verified(self, read: Reading) -> None:
        await read.weight(1)


class V3(API):
    """API v3."""

    make = staticmethod(etcd3_source)
    query = "?api=3"
    deadline = TIMEOUT
    watch = "/v3/watch"
    denied = "HTTP 400 (authentication failed, invalid user ID or password), wanted 200"
    reports_each_member = False

    def write(self, member: Etcd, value: str, host: str = "a") -> None:
        member.v3("kv/put", key=f"{PATH}/{host}".encode(), value=value.encode())

    def remove(self, member: Etcd, host: str = "a") -> None:
        member.v3("kv/deleterange", key=f"{PATH}/{host}".encode())

    def forget_changes(self, member: Etcd) -> None:
        """Compact the history."""
        revision = member.v3("kv/range", key=b"x")["header"]["revision"]
        member.v3("kv/compaction", revision=revision, physical=True)

    async def missing(self, read: Reading) -> None:
        await read.until(lambda: read.lists == [()])

    def require_passwords(self, member: Etcd) -> None:
        member.v3("auth/user/add", name="root", password=PASSWORD)
        member.v3("auth/role/add", name="root")
        member.v3("auth/user/grant", user="root", role="root")
        member.v3("auth/enable")

    async def verified(self, read: Reading) -> None:
        await read.weight(1)
        first = read.source.last_success
        await read.until(lambda: read.source.last_success != first)


def run_source(make: Callable[[EPollReactor], Feed], story: Story) -> None:
    """Run a story about a source; a stopped source reports nothing and leaves nothing in the reactor."""

    async def main(reactor: EPollReactor) -> None:
        read = Reading(reactor, make(reactor))
        try:
            await story(read)
        finally:
            read.source.stop()
            reported = len(read.lists), len(read.errors)
            await deferLater(reactor, 0.02, lambda: None)
            assert (len(read.lists), len(read.errors)) == reported

    run(main, DEADLINE)


def at(hosts: Sequence[int] | str) -> str:
    """Return the members as in a URL; ports are those of 127.0.0.1."""
    return hosts if isinstance(hosts, str) else ",".join(f"127.0.0.1:{port}" for port in hosts)


class Stopwatch:
    """Measures durations for the summary of the test run."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record
        self._start = 0.0

    def start(self) -> None:
        self._start = time.monotonic()

    def stop(self) -> float:
        seconds = time.monotonic() - self._start
        self._record("seconds", round(seconds, 3))
        return seconds
