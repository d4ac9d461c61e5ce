"""A scripted ExaBGP with its relay, in a reactor whose clock the test advances."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pybal.bgp.exabgp.link import Link, LinkFactory
from pybal.bgp.speaker import Speaker
from pybal.config.settings import BGPSettings
from pybal.runtime.activities import Activities
from pybal.runtime.log import format_event
from tests.harness.fake_workers import FakeWorkers

T = TypeVar("T")


class FakeSocket:
    """A socket with the credentials of its peer."""

    def __init__(self, process: int, user: int) -> None:
        self._packed = struct.pack("3i", process, user, 0)

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        return self._packed


class FakeTransport(StringTransport):
    """The daemon's end of a connection from a process of a user."""

    def __init__(self, process: int, user: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.handle = FakeSocket(process, user)
        self.aborted = False

    def take(self) -> bytes:
        """Return the bytes written since the last call."""
        written = bytes(self.value())  # type: ignore[no-untyped-call]  # Twisted's
        self.clear()  # type: ignore[no-untyped-call]  # likewise
        return written

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        """Do nothing: every line is received when it is sent."""

    def doWrite(self) -> None:  # noqa: N802  # Twisted's name
        """Do nothing: every line is sent when it is written."""

    def getHandle(self) -> FakeSocket:  # noqa: N802  # Twisted's name
        return self.handle

    def abortConnection(self) -> None:  # noqa: N802  # Twisted's name
        self.aborted = True


class FakePort:
    """A listening port."""

    def stopListening(self) -> Deferred[None] | None:  # noqa: N802  # Twisted's name
        return None


class FakeReactor(Clock):
    """A clock and one UNIX socket. ``hang`` advances the clock in one step, without heartbeats."""

    factory: LinkFactory

    def __init__(self) -> None:
        super().__init__()
        self.activities = Activities()

    @property
    def lane(self) -> Clock:
        return self

    def listenUNIX(self, path: str, factory: LinkFactory, mode: int) -> FakePort:  # noqa: N802  # Twisted's name
        assert mode == 0o600
        self.factory = factory
        return FakePort()

    def hang(self, seconds: float) -> None:
        super().advance(seconds)


class FakeChild:
    """One run of ExaBGP: ``connect_relay`` connects its relay, ``answer`` answers commands as ExaBGP does."""

    def __init__(self, harness: SpeakerHarness, argv: Sequence[str], environ: Mapping[str, str], **calls: Any) -> None:
        self.harness = harness
        # The link looks up the parent of the connecting process: this process is the relay, its present parent ExaBGP.
        self.pid = os.getppid()
        self.argv = argv
        self.environ = environ
        self.print: Callable[[bytes], None] = calls["received"]
        self._ended: Callable[[str], None] = calls["ended"]
        self.asn = 64601
        self.neighbors = self._configured()
        self.killed = False
        self.alive = True
        self.relay: Link | None = None
        self.transport = FakeTransport(os.getpid(), os.geteuid())

    def _configured(self) -> set[str]:
        """Return the peers of the configuration file."""
        return set(re.findall(r"^neighbor (\S+) {", self.harness.configuration.read_text(), re.MULTILINE))

    def kill(self) -> None:
        self.killed = True

    def end(self, reason: str = "killed by SIGKILL") -> None:
        self.alive = False
        self._ended(reason)

    def connect_relay(self, *, answering: bool = True) -> None:
        self.relay = self.harness.connect(self.transport)
        self.send_line(b"!hello 1")
        if answering:
            self.answer()

    def send_line(self, line: bytes) -> None:
        assert self.relay is not None
        self.relay.dataReceived(line + b"\n")

    def commands(self) -> list[str]:
        """Return the commands received since the last call; echo the heartbeats among them."""
        lines = self.transport.take().decode().splitlines()
        for line in lines:
            if line.startswith("!beat"):
                self.send_line(line.encode())
        return [line for line in lines if not line.startswith("!")]

    def answer(self, *, accepted: bool = True, sent: bool = True) -> list[str]:
        """Answer all commands, with ``sent`` also report their updates as sent; return the commands."""
        commands = self.commands()
        for command in commands:
            if command == "reload" and not self.harness.reloads_lost:
                self.neighbors = self._configured()
            if command.endswith(" announce eor ipv4 unicast"):
                self.send_line(b"done" if command.split()[1] in self.neighbors else b"error")
                continue
            version = b"exabgp %s\ndone" % self.harness.version.encode()
            self.send_line(version if command == "version" else b"done" if accepted else b"error")
            if sent and accepted and command.startswith("neighbor"):
                self.report_sent(command)
        return commands

    def report_sent(self, command: str) -> None:
        """Report the update of a command as sent."""
        words = command.split()
        peer, verb, prefix, hop, med = words[1], words[2], words[4], words[6], int(words[8])
        family = "ipv6 unicast" if ":" in prefix else "ipv4 unicast"
        if verb == "withdraw":
            update: dict[str, Any] = {"withdraw": {family: [{"nlri": prefix}]}}
        else:
            update = {"attribute": {"med": med}, "announce": {family: {hop: [{"nlri": prefix}]}}}
        self.event("update", peer, direction="send", message={"update": update})

    def event(self, kind: str, peer: str, **more: object) -> None:
        self.send_line(json.dumps({"type": kind, "neighbor": {"address": {"peer": peer}, **more}}).encode())

    def up(self, peer: str, families: Sequence[str] = ("ipv4/unicast", "ipv6/unicast")) -> None:
        """Establish a session; the peer's OPEN message has these families."""
        self.event("fsm", peer, state="OPENSENT")
        capabilities = {"1": {"name": "multiprotocol", "families": families}} if families else {}
        self.event("open", peer, direction="receive", open={"asn": self.asn, "capabilities": capabilities})
        self.event("fsm", peer, state="ESTABLISHED")
        self.event("state", peer, state="up")

    def down(self, peer: str, reason: str) -> None:
        self.event("state", peer, state="down", reason=reason)


class FakeThreads:
    """Make each call immediately, or never while the file system of the harness hangs."""

    def __init__(self, harness: SpeakerHarness) -> None:
        self._harness = harness

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        return Deferred() if self._harness.file_system_hangs else maybeDeferred(call)


class SpeakerHarness:
    """A speaker and every ExaBGP that it started; ``exabgp`` is the last one."""

    def __init__(self, settings: BGPSettings, directory: Path) -> None:
        self.settings = settings
        self.reactor = FakeReactor()
        self.children: list[FakeChild] = []
        self.version = "5.0.15"
        self.changes = 0
        self.file_system_hangs = self.reloads_lost = False
        self.configuration = directory / "exabgp.conf"
        self.files = FakeWorkers(self.reactor)
        self.log: list[str] = []
        self.speaker = Speaker(
            settings,
            reactor=cast("Any", self.reactor),
            directory=directory,
            random=Random(1),
            changed=self._changed,
            python="/usr/bin/python3",
            spawn=self._spawn,
            threads=FakeThreads(self),
            files=self.files,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _spawn(self, reactor: object, argv: Sequence[str], **how: Any) -> FakeChild:
        environ = how.pop("environ")
        self.children.append(FakeChild(self, argv, environ, **how))
        return self.children[-1]

    @property
    def exabgp(self) -> FakeChild:
        return self.children[-1]

    def connect(self, transport: FakeTransport) -> Link:
        link = self.reactor.factory.buildProtocol(None)
        link.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's
        return link

    def run(self, seconds: float, *, answering: bool = True) -> None:
        """Advance the clock in steps of 0.1 s; with ``answering`` ExaBGP answers after each."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            if answering and self.exabgp.alive and self.exabgp.relay is not None:
                self.exabgp.answer()

    def wait_for_restart(self) -> None:
        """Advance the clock until the next ExaBGP starts."""
        started = len(self.children)
        while len(self.children) == started:
            self.reactor.advance(0.05)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Collect the log lines in ``log``."""

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            self.log.append(format_event(event).rstrip("\n"))

        globalLogPublisher.addObserver(note)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(note)
