"""ExaBGP and its relay, as scripted by a test, in a reactor whose clock the test turns."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pybal.bgp.exabgp.link import Link, LinkFactory
from pybal.bgp.speaker import Speaker
from pybal.config.settings import BGPSettings
from pybal.runtime.log import format_event


class Handle:
    """A socket that knows whom it is connected to."""

    def __init__(self, process: int, user: int) -> None:
        self._packed = struct.pack("3i", process, user, 0)

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        return self._packed


class Transport(StringTransport):
    def __init__(self, process: int, user: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.handle = Handle(process, user)
        self.aborted = False

    def take(self) -> bytes:
        """Return what was written since the last time."""
        written = bytes(self.value())  # type: ignore[no-untyped-call]  # Twisted's
        self.clear()  # type: ignore[no-untyped-call]  # likewise
        return written

    def getHandle(self) -> Handle:  # noqa: N802  # Twisted's name
        return self.handle

    def abortConnection(self) -> None:  # noqa: N802  # Twisted's name
        self.aborted = True


class Port:
    def stopListening(self) -> Deferred[None] | None:  # noqa: N802  # Twisted's name
        return None


class Reactor(Clock):
    """Time, and one UNIX socket. Advances in steps small enough for every heartbeat, except where told to ``hang``."""

    factory: LinkFactory

    def listenUNIX(self, path: str, factory: LinkFactory, mode: int) -> Port:  # noqa: N802  # Twisted's name
        assert mode == 0o600
        self.factory = factory
        return Port()

    def hang(self, seconds: float) -> None:
        super().advance(seconds)


class Child:
    """One run of ExaBGP: ``greet`` connects its relay; ``answer`` does as the real one does with all it was told."""

    # Who connects is looked up in /proc: a child of the process that was begun, which stands for ExaBGP here.
    pid = os.getppid()

    def __init__(self, world: World, argv: Sequence[str], environ: Mapping[str, str], **calls: Any) -> None:
        self.world = world
        self.argv = argv
        self.environ = environ
        self.said: Callable[[bytes], None] = calls["said"]
        self._ended: Callable[[str], None] = calls["ended"]
        self.killed = False
        self.alive = True
        self.relay: Link | None = None
        self.transport = Transport(os.getpid(), os.geteuid())

    def kill(self) -> None:
        self.killed = True

    def end(self, reason: str = "killed by SIGKILL") -> None:
        self.alive = False
        self._ended(reason)

    def greet(self) -> None:
        self.relay = self.world.connect(self.transport)
        self.say(b"!hello 1")
        self.answer()

    def say(self, line: bytes) -> None:
        assert self.relay is not None
        self.relay.dataReceived(line + b"\n")

    def commands(self) -> list[str]:
        """Return what was said to it since the last time, without heartbeats, which are answered."""
        lines = self.transport.take().decode().splitlines()
        for line in lines:
            if line.startswith("!beat"):
                self.say(line.encode())
        return [line for line in lines if not line.startswith("!")]

    def answer(self, *, taken: bool = True, sent: bool = True) -> list[str]:
        """Answer all commands, and with ``sent`` have their updates sent; return them."""
        commands = self.commands()
        for command in commands:
            version = b"exabgp %s\ndone" % self.world.version.encode()
            self.say(version if command == "version" else b"done" if taken else b"error")
            if sent and taken and command.startswith("neighbor"):
                self.sent(command)
        return commands

    def sent(self, command: str) -> None:
        """Say that the update of a command has been sent."""
        words = command.split()
        peer, verb, prefix, hop, med = words[1], words[2], words[4], words[6], int(words[8])
        if verb == "withdraw":
            update: dict[str, Any] = {"withdraw": {"ipv4 unicast": [{"nlri": prefix}]}}
        else:
            update = {"attribute": {"med": med}, "announce": {"ipv4 unicast": {hop: [{"nlri": prefix}]}}}
        self.event("update", peer, direction="send", message={"update": update})

    def event(self, kind: str, peer: str, **more: object) -> None:
        self.say(json.dumps({"type": kind, "neighbor": {"address": {"peer": peer}, **more}}).encode())

    def up(self, peer: str) -> None:
        self.event("fsm", peer, state="OPENSENT")
        self.event("fsm", peer, state="ESTABLISHED")
        self.event("state", peer, state="up")

    def down(self, peer: str, reason: str) -> None:
        self.event("state", peer, state="down", reason=reason)


class World:
    """A speaker, and every ExaBGP that it began, the last of which is ``exabgp``."""

    def __init__(self, settings: BGPSettings, directory: Path) -> None:
        self.reactor = Reactor()
        self.children: list[Child] = []
        self.version = "5.0.15"
        self.changes = 0
        self.log: list[str] = []
        self.speaker = Speaker(
            settings,
            reactor=self.reactor,
            directory=directory,
            random=Random(1),
            changed=self._changed,
            python="/usr/bin/python3",
            spawn=self._spawn,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _spawn(self, reactor: object, argv: Sequence[str], **how: Any) -> Child:
        environ = how.pop("environ")
        self.children.append(Child(self, argv, environ, **how))
        return self.children[-1]

    @property
    def exabgp(self) -> Child:
        return self.children[-1]

    def connect(self, transport: Transport) -> Link:
        link = self.reactor.factory.buildProtocol(None)
        link.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's
        return link

    def run(self, seconds: float, *, answering: bool = True) -> None:
        """Let time pass, in steps of a tenth of a second; ExaBGP answers, unless it is not to."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            if answering and self.exabgp.alive and self.exabgp.relay is not None:
                self.exabgp.answer()

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Collect the log's lines."""

        @implementer(ILogObserver)
        def note(event: LogEvent) -> None:
            self.log.append(format_event(event).rstrip("\n"))

        globalLogPublisher.addObserver(note)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(note)
