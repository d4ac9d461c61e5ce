"""ExaBGP and its routers in virtual time: sessions, and the routes of each router."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

from typing_extensions import override

from pybal.bgp.exabgp.link import Link
from tests.harness.fake_exabgp import FakeChild, FakeTransport, SpeakerHarness
from tests.harness.simulated.reactor import SimulatedReactor

START, SESSION, STOP = 0.4, 2.0, 0.1
"""Seconds of a start, of a new session at most, and of a stop."""


class SimulatedRouter:
    """A router: ``routes`` are the commands of the routes that it has, by prefix; without a session none."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.reachable = True
        self.session = False
        self.routes: dict[str, str] = {}


class SimulatedBGP:
    """The routers, and the run of ExaBGP that the daemon started last, if it goes on."""

    def __init__(self, reactor: SimulatedReactor, random: Random, directory: Path, addresses: Sequence[str]) -> None:
        self.reactor = reactor
        self.random = random
        self.routers = {address: SimulatedRouter(address) for address in addresses}
        self.child: SimulatedExaBGP | None = None
        self.starts = True
        """False makes each start fail."""
        # The parts of a speaker's harness that its children use.
        self.configuration = directory / "bgp" / "exabgp.conf"
        self.socket = str(directory / "bgp" / "exabgp.sock")
        self.version = "5.0.15"
        self.reloads_lost = False

    def spawn(self, _reactor: object, argv: Sequence[str], **how: Any) -> SimulatedExaBGP:
        """Start ExaBGP, as :class:`pybal.bgp.exabgp.child.Child` does."""
        if not self.starts:
            raise FileNotFoundError(2, "No such file or directory")
        self.child = SimulatedExaBGP(self, argv, how.pop("environ"), **how)
        return self.child

    def connect(self, transport: FakeTransport) -> Link:
        link: Link = self.reactor.unix[self.socket].buildProtocol(None)
        link.makeConnection(transport)  # type: ignore[no-untyped-call]  # Twisted's
        return link

    def lose(self, address: str) -> None:
        """End the session of a router, which is unreachable from now on."""
        router = self.routers[address]
        router.reachable = False
        if router.session and self.child is not None:
            self.child.end_session(router, "peer reset, message (hold timer expired) error(4/0)")

    def restore(self, address: str) -> None:
        """Make a router reachable."""
        self.routers[address].reachable = True

    def crash(self) -> None:
        """Kill ExaBGP."""
        if self.child is not None:
            self.child.end()

    def kill(self) -> None:
        """End the daemon in an instant: the relay loses its connection, and ends ExaBGP."""
        child, self.child = self.child, None
        if child is not None:
            child.orphan()


class _Transport(FakeTransport):
    """A connection whose peer reads a little after each write."""

    def __init__(self, process: int, user: int, written: Callable[[], None]) -> None:
        super().__init__(process, user)
        self._written = written

    @override
    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]  # Twisted's
        self._written()


class SimulatedExaBGP(FakeChild):
    """One run of ExaBGP: holds routes, and sends them to the reachable routers."""

    def __init__(self, bgp: SimulatedBGP, argv: Sequence[str], environ: Mapping[str, str], **calls: Any) -> None:
        super().__init__(cast("SpeakerHarness", bgp), argv, environ, **calls)
        self.bgp = bgp
        self.hung = False
        self._held: dict[str, dict[str, str]] = {}
        self._reads = False
        self.transport = _Transport(os.getpid(), os.geteuid(), self._written)
        bgp.reactor.happen(START, self._begin)

    @override
    def kill(self) -> None:
        super().kill()
        self.bgp.reactor.happen(STOP, self.end)

    @override
    def end(self, reason: str = "killed by SIGKILL") -> None:
        if not self.alive:
            return
        for router in self.bgp.routers.values():
            router.session = False
            router.routes.clear()
        if self.bgp.child is self:
            self.bgp.child = None
        super().end(reason)

    def orphan(self) -> None:
        """End soon, without a daemon that reads the reports."""
        self.relay, self.killed, self._ended = None, True, lambda _reason: None
        self.bgp.reactor.happen(STOP, self.end)

    @override
    def commands(self) -> list[str]:
        commands = super().commands()
        if "shutdown" in commands:
            self.bgp.reactor.happen(STOP, lambda: self.end("exit status 0"))
        return commands

    @override
    def report_sent(self, command: str) -> None:
        _, peer, verb, _, prefix, *_ = command.split()
        held = self._held.setdefault(peer, {})
        if verb == "withdraw":
            held.pop(prefix, None)
        else:
            held[prefix] = command
        router = self.bgp.routers.get(peer)
        if router is not None and router.session:
            router.routes = dict(held)
            super().report_sent(command)

    def end_session(self, router: SimulatedRouter, reason: str) -> None:
        """Report the end of a session."""
        router.session = False
        router.routes.clear()
        if self.alive and self.relay is not None:
            self.down(router.address, reason)

    def _begin(self) -> None:
        if self.alive and not self.killed:
            self.connect_relay(answering=False)
            self._connect_routers()

    def _connect_routers(self) -> None:
        if not self.alive:
            return
        for address, router in self.bgp.routers.items():
            configured = address in self.neighbors
            if router.session and not configured:
                self.end_session(router, "removed")
            elif router.reachable and configured and not router.session and not self.hung:
                self._establish(router)
        self.bgp.reactor.happen(SESSION * (0.5 + self.bgp.random.random() / 2), self._connect_routers)

    def _establish(self, router: SimulatedRouter) -> None:
        router.session = True
        self.up(router.address)
        held = self._held.get(router.address, {})
        router.routes = dict(held)
        for command in held.values():
            super().report_sent(command)

    def _written(self) -> None:
        if not self._reads and self.alive:
            self._reads = True
            self.bgp.reactor.happen(0.002, self._read)

    def _read(self) -> None:
        self._reads = False
        if self.alive and self.relay is not None and not self.hung:
            self.answer()
