"""The whole daemon in virtual time: the composition root on a simulated machine.

Files are real, in a directory of the test. Time, threads, network, names, ExaBGP, routers and the IPVS table are simulated, and the
same for each run of a seed.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from pybal.core.model import Address
from pybal.daemon.app import App
from pybal.daemon.check import configuration_file
from pybal.daemon.machine import Machine
from pybal.ipvs.backend import Backend, BackendError, MemoryBackend
from pybal.ipvs.model import Failure as Refused
from pybal.ipvs.model import Op, ServiceKey, Table, TableEntry, VirtualService
from pybal.resolve import LookupFailed, LookupResult
from pybal.runtime.faults import Faults
from pybal.runtime.file_values import FileValues
from pybal.runtime.held import Held
from pybal.runtime.log import Log, format_event
from pybal.runtime.systemd import Notifier
from tests.harness.fake_exabgp import FakeTransport
from tests.harness.simulated.exabgp import SimulatedBGP
from tests.harness.simulated.network import SimulatedNetwork
from tests.harness.simulated.reactor import SimulatedReactor
from tests.harness.simulated.workers import SimulatedThreads
from tests.harness.status_client import Client

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall clock at the start."""
STOP = 30.0
"""Seconds in which a stop must end."""
KEPT_LINES = 5000
_KILLED: list[object] = []
"""The killed daemons. They are never freed: their coroutines would then run their ``finally`` clauses."""


class SimulatedIPVS(MemoryBackend):
    """A table in memory. ``refuses`` is ``"read"`` or ``"write"`` while the kernel refuses it.

    ``emptied`` is called for each service that the daemon leaves without a server for new connections, ``withdrawn`` for each
    destination that gets none any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refuses = ""
        self.emptied: Callable[[ServiceKey], None] = lambda _key: None
        self.withdrawn: Callable[[ServiceKey, Address], None] = lambda _key, _address: None

    @override
    def read(self, key: ServiceKey) -> TableEntry | None:
        self._check("read")
        return super().read(key)

    @override
    def services(self) -> tuple[VirtualService, ...]:
        self._check("read")
        return super().services()

    @override
    def apply(self, ops: Sequence[Op]) -> tuple[Refused, ...]:
        if self.refuses == "write":
            return tuple(Refused(op, errno.ENOMEM, "cannot allocate memory") for op in ops)
        before = self._serving(ops)
        used = [op for op in ops if self._is_used(op)]
        failed = super().apply(ops)
        for op in used:
            if op.destination and not self._is_used(op):
                self.withdrawn(op.key, op.destination.address)
        for key in before - self._serving(ops):
            self.emptied(key)
        return failed

    def change(self, ops: Sequence[Op]) -> None:
        """Change the table as another program does."""
        super().apply(ops)

    @property
    def held(self) -> Table:
        """The table as it is, also while the kernel refuses to be read."""
        refuses, self.refuses = self.refuses, ""
        try:
            return self.table()
        finally:
            self.refuses = refuses

    def clear(self) -> None:
        """Remove everything, as ``ipvsadm -C`` does."""
        self._services.clear()
        self._destinations.clear()

    def _serving(self, ops: Sequence[Op]) -> set[ServiceKey]:
        """Return the keys of the operations whose services take new connections."""
        return {
            key
            for key in {op.key for op in ops}
            if any(each.weight for each in self._destinations.get(key, {}).values())
        }

    def _is_used(self, op: Op) -> bool:
        """Return whether the destination of an operation gets new connections."""
        held = self._destinations.get(op.key, {}).get(op.destination.endpoint) if op.destination else None
        return held is not None and held.weight > 0

    def _check(self, what: str) -> None:
        if self.refuses == what:
            raise BackendError("no response from the kernel (ENOMEM)")


class SimulatedNames:
    """The name service: ``addresses`` by name.

    Each lookup fails while ``failing`` is set, with ``definite`` by NXDOMAIN.
    """

    ttl = 300.0

    def __init__(self, reactor: SimulatedReactor, random: Random) -> None:
        self.addresses: dict[str, str] = {}
        self.failing = self.definite = False
        self._reactor = reactor
        self._random = random

    async def look_up(self, host: str, _version: int) -> LookupResult:
        answered: Deferred[None] = Deferred()
        self._reactor.happen(0.005 * self._random.random(), lambda: self._reactor.callFromThread(_answer, answered))
        await answered
        if self.failing:
            raise LookupFailed("SERVFAIL", definite=self.definite)
        if host not in self.addresses:
            raise LookupFailed("no such name (NXDOMAIN)", definite=True)
        return LookupResult((ip_address(self.addresses[host]),), self.ttl)


class _Listener:
    """A socket that listens on an HTTP endpoint."""

    family = socket.AF_INET

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def setsockopt(self, *_: object) -> None:
        """Accept any option."""

    def setblocking(self, _blocking: bool) -> None:  # socket's
        """Accept any mode."""

    def shutdown(self, _how: int) -> None:
        """Refuse the connections that wait."""

    def close(self) -> None:
        """Close."""


class SimulatedBalancer:
    """A daemon and its world, made from a seed; the test passes the time with :meth:`run`.

    ``began`` is the time of the reactor at the start.
    """

    def __init__(self, directory: Path, configuration: str, *, seed: int, peers: Sequence[str] = ()) -> None:
        self.directory = directory
        self.file = directory / "pybal.conf"
        self.file.write_text(configuration)
        (directory / "state").mkdir()
        self.random = Random(seed)
        self.reactor = SimulatedReactor()
        self.wall_step = timedelta()
        self.network = SimulatedNetwork(self.reactor, Random(seed + 1))
        self.threads = SimulatedThreads(Random(seed + 2))
        self.names = SimulatedNames(self.reactor, Random(seed + 3))
        self.bgp = SimulatedBGP(self.reactor, Random(seed + 4), directory, peers)
        self.ipvs = SimulatedIPVS()
        self.errors: list[str] = []
        self.log: list[str] = []
        self.began = self.reactor.seconds()
        self._faults = Faults(self.reactor.seconds)
        self._observer = self._observe()
        self._stamp = 0
        globalLogPublisher.addObserver(self._faults)
        globalLogPublisher.addObserver(self._observer)
        self._app: App | None = None
        self._collector = gc.get_threshold(), gc.callbacks.copy()

    def start(self) -> None:
        """Start the daemon, which reads its configuration."""
        file = configuration_file(str(self.file), dry_run=False)
        self._app = App(
            file.read(),
            file=file,
            reactor=cast("Any", self.reactor),
            held=Held(),
            backend=cast("Backend", self.ipvs),
            lookup=self.names.look_up,
            random=self.random,
            notifier=Notifier({}, self.reactor),
            log=Log(lambda _: None, clock=self.reactor.seconds),
            runtime=self.directory,
            state=self.directory / "state",
            control=self.directory / "control",
            faults=self._faults,
            files=FileValues(self.threads.workers("values", 4, self.reactor), self.reactor),
            machine=Machine(
                workers=self.threads.workers,
                writer=partial(self.threads.writer, self.reactor),
                network=self.network.network,
                spawn=self.bgp.spawn,
                bind=cast("Any", self._bind),
                wall=self.wall,
            ),
        )
        self._app.start()

    def stop(self) -> None:
        """Stop the daemon as a signal does, and close the files that it left open. The table stays."""
        assert self._app is not None
        results: list[Failure | None] = []
        Deferred.fromCoroutine(self._app.stop()).addBoth(results.append)
        self.run(STOP)
        self._app = None
        assert results, f"the daemon did not stop within {STOP:g} s"
        if results[0] is not None:
            results[0].raiseException()
        self._close_files()

    def kill(self) -> None:
        """End the daemon in an instant, as SIGKILL does.

        The table and the files stay; the last writes may be partial.
        """
        self.threads.kill()
        _KILLED.append((self._app, self.reactor.kill()))
        self.network.kill()
        self.bgp.kill()
        self._app = None
        globalLogPublisher.removeObserver(self._faults)
        self._faults = Faults(self.reactor.seconds)
        globalLogPublisher.addObserver(self._faults)
        threshold, gc.callbacks[:] = self._collector
        gc.set_threshold(*threshold)
        self._close_files()

    def close(self) -> None:
        """Stop the daemon if it runs, and observe no more."""
        try:
            if self._app is not None:
                self.stop()
        finally:
            globalLogPublisher.removeObserver(self._faults)
            globalLogPublisher.removeObserver(self._observer)

    def _close_files(self) -> None:
        for link in Path("/proc/self/fd").iterdir():
            if link.resolve().is_relative_to(self.directory):
                os.close(int(link.name))

    # -- time

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.reactor.seconds() - self.began

    def wall(self) -> datetime:
        """Return the wall clock."""
        return BEGIN + timedelta(seconds=self.now) + self.wall_step

    def run(self, seconds: float) -> None:
        """Pass virtual time."""
        self.reactor.advance(seconds)

    def wait(self, problem: Callable[[], str], seconds: float, step: float = 0.5) -> str:
        """Pass time until ``problem`` returns an empty text; return the last one after that many seconds."""
        end = self.now + seconds
        while found := problem():
            if self.now >= end:
                return found
            self.run(step)
        return ""

    # -- the operator

    def write(self, path: Path, text: str) -> None:
        """Replace a file; its new identity does not depend on the real time."""
        new = path.with_name(f"{path.name}.new")
        new.write_text(text)
        self._stamp += 1
        os.utime(new, (self._stamp, self._stamp))
        new.replace(path)

    def get(self, path: str) -> str:
        """Return the body of a response of the HTTP endpoints. Lets the loop turn.

        Time passes only while the daemon starts and clients wait for it.
        """
        accepted = "Accept: application/json\n" if path.startswith("/v1") else ""
        client = Client(next(iter(self.reactor.ports.values())))
        response = client.get(path, f"Host: localhost\n{accepted}")
        end = self.now + STOP
        while not response and self.now < end:
            self.run(0.1)
            response = client.received()
        client.hang_up()
        head, _, body = response.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], f"{path}: {response.decode()[:300]}"
        return body.decode()

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def alerts(self) -> list[Mapping[str, Any]]:
        return cast("list[Mapping[str, Any]]", self.get_json("/v1/alerts"))

    def command(self, command: str, reason: str = "", **arguments: object) -> Mapping[str, Any]:
        """Return the reply of the control socket; passes the time that the command takes."""
        protocol = self.reactor.unix[str(self.directory / "control")].buildProtocol(None)
        transport = FakeTransport(os.getpid(), os.geteuid())
        protocol.makeConnection(transport)
        request = {"version": 1, "command": command, "arguments": arguments, "reason": reason}
        protocol.dataReceived(json.dumps(request).encode() + b"\n")
        received = b""

        def missing() -> str:
            nonlocal received
            received += transport.take()
            return "" if received.endswith(b"\n") else "no reply"

        assert not (problem := self.wait(missing, 60.0, 0.05)), f"{command}: {problem}"
        protocol.connectionLost()
        return cast("Mapping[str, Any]", json.loads(received))

    # -- own

    def _bind(self, _ip: Address, port: int) -> _Listener:
        return _Listener(port)

    def _observe(self) -> ILogObserver:
        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            line = f"{self.now:.3f} {event.get('log_system', event.get('system', ''))} {format_event(event).strip()}"
            if "log_failure" in event:
                self.errors.append(f"{line}\n{event['log_failure'].getTraceback()}")
            self.log.append(line)
            del self.log[:-KEPT_LINES]

        return cast("ILogObserver", note)


def _answer(answered: Deferred[None]) -> None:
    if not answered.called:
        answered.callback(None)
