"""A pool that follows a directory of etcd: its source, all that it tells, and how long that took."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import deferLater

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.core.model import Member
from pybal.sources.base import Source, SourceError
from pybal.sources.etcd.v2 import THREAD, Etcd2Source
from pybal.sources.etcd.v2watch import Times
from pybal.sources.etcd.v3 import Etcd3Source
from tests.harness.servers.etcd import Etcd
from tests.harness.stepped_reactor import run

PATH = "/conftool/v1/pools/dc/web"
PLAIN = AccessSettings(tls=False)
TIMEOUT = 60.0

#: So that the tests do not take minutes; one of them keeps to what holds in use.
SOON = Times(answer=1.0, poll=2.0)


class Reading:
    """A source and all that it tells."""

    def __init__(self, reactor: EPollReactor, source: Any) -> None:
        self.lists: list[tuple[Member, ...]] = []
        self.errors: list[SourceError] = []
        self.reactor = reactor
        self.source = source
        self.source.start(self.lists.append, self.errors.append)

    async def until(self, done: Callable[[], object]) -> None:
        while not done():
            await deferLater(self.reactor, 0.01, lambda: None)

    async def weight(self, weight: int) -> None:
        """Wait until the only member has this weight."""
        await self.until(lambda: self.lists and self.lists[-1] == (Member("a", weight),))

    async def problem(self, text: str) -> None:
        """Wait until it is told that something is wrong."""
        await self.until(lambda: text in (self.source.problem or ""))

    async def well(self) -> None:
        """Wait until nothing is wrong."""
        await self.until(lambda: self.source.problem is None)

    async def meanwhile(self, blocking: Callable[[], object]) -> None:
        """Do something that takes a while, in another thread."""
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


def put(etcd: Etcd, weight: int, host: str = "a") -> None:
    etcd.put(f"{PATH}/{host}", json.dumps({"weight": weight, "pooled": "yes"}))


def put3(member: Etcd, weight: int, host: str = "a") -> None:
    """Write a weight by version 3."""
    say3(member, json.dumps({"weight": weight, "pooled": "yes"}), host)


def say3(member: Etcd, value: str, host: str = "a") -> None:
    """Write a value by version 3."""
    member.v3("kv/put", key=f"{PATH}/{host}".encode(), value=value.encode())


def etcd2(
    reactor: EPollReactor, hosts: str, access: AccessSettings = PLAIN, times: Times = SOON, **names: Any
) -> Etcd2Source:
    """Return a source by version 2 of the API."""
    settings = SourceSettings(f"etcd://{hosts}{PATH}/", access)
    return Etcd2Source(settings, reactor=reactor, random=Random(1), times=times, **names)


def etcd3(reactor: EPollReactor, hosts: str, access: AccessSettings = PLAIN, **given: Any) -> Etcd3Source:
    """Return a source by version 3 of the API."""
    settings = SourceSettings(f"etcd://{hosts}{PATH}?api=3", access)
    return Etcd3Source(settings, reactor=reactor, random=Random(1), **given)


def reading(hosts: Sequence[int] | str, story: Story, *options: Any, **names: Any) -> None:
    """Tell a story of a source by version 2, at the ports of 127.0.0.1, from its first list on to the end of its thread."""
    tell(lambda reactor: etcd2(reactor, at(hosts), *options, **names), story)


def reading3(hosts: Sequence[int] | str, story: Story, access: AccessSettings = PLAIN) -> None:
    """Tell a story of a source by version 3, at the ports of 127.0.0.1."""
    tell(lambda reactor: etcd3(reactor, at(hosts), access), story)


async def begun3(read: Reading) -> None:
    """Wait until the first list has been heard, and a first probe has found it to be all."""
    await read.weight(1)
    await read.until(lambda: read.source._proven)


def tell(make: Callable[[EPollReactor], Source], story: Story) -> None:
    """Tell a story of a source; once it is stopped it tells nothing more, and leaves nothing behind."""

    async def main(reactor: EPollReactor) -> None:
        read = Reading(reactor, make(reactor))
        try:
            await story(read)
        finally:
            read.source.stop()
            told = len(read.lists), len(read.errors)
            await read.until(lambda: not any(thread.name == THREAD for thread in threading.enumerate()))
            await deferLater(reactor, 0.02, lambda: None)
            assert (len(read.lists), len(read.errors)) == told

    run(main, TIMEOUT)


def at(hosts: Sequence[int] | str) -> str:
    """Return where members of an etcd are, as it may stand in a URL: the ports are of 127.0.0.1."""
    return hosts if isinstance(hosts, str) else ",".join(f"127.0.0.1:{port}" for port in hosts)


class Stopwatch:
    """Prints, and adds to the report, how long something took."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record
        self._start = 0.0

    def start(self) -> None:
        self._start = time.monotonic()

    def stop(self) -> float:
        seconds = time.monotonic() - self._start
        print(f"heard {seconds:.3f} s after the fault")  # noqa: T201  # it is measured for whoever reads it
        self._record("seconds", round(seconds, 3))
        return seconds
