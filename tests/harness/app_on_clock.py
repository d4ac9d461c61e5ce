"""The whole daemon on a Clock: the test passes its time, and stops its activities."""

from __future__ import annotations

import json
import queue
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.testing import MemoryReactorClock
from typing_extensions import override

from pybal.daemon.app import App
from pybal.daemon.check import configuration_file
from pybal.daemon.machine import Machine
from pybal.ipvs.backend import MemoryBackend
from pybal.resolve import LookupResult
from pybal.runtime.activities import Activities
from pybal.runtime.file_values import FileValues
from pybal.runtime.held import Held
from pybal.runtime.log import Log
from pybal.runtime.systemd import Notifier
from pybal.runtime.workers import Reactor, Workers
from tests.harness.status_client import Client

CONF = """\
[global]
instrumentation = yes
instrumentation_ips = ['127.0.0.1']
instrumentation_port = {http}
ipvs-backend = memory
journal = yes
bgp = yes
bgp-local-asn = 64600
bgp-peer-address = ['192.0.2.9']
bgp-peer-asn = 64601
bgp-router-id = 192.0.2.8
bgp-nexthop-ipv4 = 192.0.2.8

[web]
protocol = tcp
ip = 192.0.2.1
port = 80
scheduler = wrr
config = file://{directory}/web.pool
monitors = ['TCPConnect']
tcpconnect.interval = 2
"""
NEVER = 1e9
"""Seconds until a call that is lost."""
PATIENCE = 120.0
"""Seconds of real time for the next result of a thread."""


class LosingReactor(MemoryReactorClock):
    """A reactor in memory with real descriptors and threads, which loses calls.

    Those for which ``lost`` returns true are never made.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.activities = Activities()
        self.factory: Any = None
        self.lost: Callable[[object], bool] = lambda _call: False
        # A SimpleQueue computes a negative timeout if the process was preempted at that moment, and then waits for ever.
        self._threads: queue.Queue[Callable[[], object]] = queue.Queue()
        self._workers: list[Workers] = []

    def workers(self, name: str, most: int, reactor: Reactor) -> Workers:
        """Return threads for which :meth:`pass_time` waits: time does not pass while they are at work."""
        self._workers.append(made := Workers(name, most, reactor))
        return made

    @property
    def lane(self) -> IReactorTime:
        return self

    @override
    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # Twisted's name
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        return super().callLater(NEVER if self.lost(callable) else delay, callable, *args, **kw)

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:  # noqa: A002, N802  # Twisted's
        self._threads.put(lambda: callable(*args))

    def adoptStreamPort(self, fileDescriptor: Any, addressFamily: Any, factory: Any) -> Any:  # noqa: N802, N803
        self.factory = factory
        return super().adoptStreamPort(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]

    def lose(self, lost: Callable[[object], bool]) -> None:
        """Lose the calls that are scheduled, and those that will be."""
        self.lost = lost
        for call in tuple(self.calls):
            if lost(call.func):
                call.reset(NEVER)
                self.calls.remove(call)
                self.calls.append(call)

    def pass_time(self, seconds: float) -> None:
        """Make the calls that become due, each with the results of threads and descriptors before it."""
        end = self.seconds() + seconds
        while True:
            self._serve()
            due = min((call.getTime() for call in self.calls), default=NEVER)
            if due > end:
                break
            self.advance(max(0.0, due - self.seconds()))
        self.advance(max(0.0, end - self.seconds()))

    def _serve(self) -> None:
        for reader in self.getReaders():  # type: ignore[no-untyped-call]  # Twisted's
            if _is_readable(reader.fileno()):  # a pipe may block otherwise, for ever
                reader.doRead()
        while any(each.unfinished_since is not None for each in self._workers):
            self._threads.get(timeout=PATIENCE)()


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    if descriptor >= 0:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class AppOnClock:
    """A started daemon with one service, whose server is a listening socket; in a dry run, without ExaBGP."""

    def __init__(self, directory: Path, server_port: int, http: int, more: str = "") -> None:
        self.directory = directory
        self.file = directory / "pybal.conf"
        self.file.write_text(CONF.format(directory=directory, http=http) + f"tcpconnect.port = {server_port}\n{more}")
        self.write_pool(10)
        self.reactor = reactor = LosingReactor()
        file = configuration_file(str(self.file), dry_run=True)
        self._app = App(
            file.read(),
            file=file,
            reactor=reactor,
            held=Held(),
            backend=MemoryBackend(loopback=True),
            lookup=self._lookup,
            random=Random(1),
            notifier=Notifier({"WATCHDOG_USEC": "2000000"}, reactor),
            log=Log(lambda _: None),
            runtime=directory,
            state=directory,
            files=FileValues(reactor.workers("values", 1, reactor), reactor),
            machine=Machine(workers=reactor.workers),
        )
        self._app.start()

    async def _lookup(self, _host: str, _version: int) -> LookupResult:
        return LookupResult((ip_address("127.0.0.1"),), 5.0)

    def write_pool(self, weight: int) -> None:
        (self.directory / "web.pool").write_text(f"{{'host': 'server.example', 'weight': {weight}}}\n")

    def alerts(self) -> list[Mapping[str, str]]:
        """Return the alerts that an operator sees."""
        return cast("list[Mapping[str, str]]", self.get("/v1/alerts"))

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the HTTP endpoint."""
        client = Client(self.reactor.factory)
        body = client.get(path, "Host: localhost\nAccept: application/json\n").partition(b"\r\n\r\n")[2]
        client.hang_up()
        return json.loads(body)

    def kinds(self) -> set[str]:
        return {alert["kind"] for alert in self.alerts()}

    def wait(self, condition: Callable[[], bool], seconds: float) -> float:
        """Pass time until a condition holds; return the seconds that it took."""
        began = self.reactor.seconds()
        while not condition():
            assert self.reactor.seconds() - began <= seconds, self.alerts()
            self.reactor.pass_time(1.0)
        return float(self.reactor.seconds() - began)

    def stop(self) -> None:
        Deferred.fromCoroutine(self._app.stop())
        self.reactor.pass_time(1.0)


@contextmanager
def app_on_clock(directory: Path, more: str = "") -> Iterator[AppOnClock]:
    """Run a daemon whose servers are up and verified; ``more`` is the end of its configuration file."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as http:
        port = http.getsockname()[1]
        http.close()
        app = AppOnClock(directory, server.getsockname()[1], port, more)
        try:
            app.wait(lambda: "source" not in app.kinds() and "no-servers" not in app.kinds(), 60.0)
            yield app
        finally:
            app.reactor.lost = lambda _call: False
            app.stop()
