"""A router in a network namespace: its configuration, its process and its routes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pybal.bgp.model import Prefix
from pybal.core.model import Address
from tests.harness.daemon_process import wait_for
from tests.harness.guest import namespace


@dataclass(frozen=True)
class Neighbour:
    """One session in the router's configuration.

    With ``passive`` the router waits for the balancer to connect, else it connects and does not listen.
    """

    address: Address
    local: Address
    asn: int
    password: str = ""
    ttl_security: bool = False
    multihop: int = 0
    hold_time: int = 9
    passive: bool = True


@dataclass(frozen=True)
class Route:
    """The router's route of a prefix, with sorted communities."""

    nexthop: Address
    med: int | None = None
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    large_communities: tuple[str, ...] = ()


Routes = dict[Prefix, Route]


class Program(Protocol):
    """The interface to one kind of router; ``place`` is a directory for its files and its socket."""

    programs: ClassVar[Sequence[str]]

    def configure(self, place: Path, asn: int, neighbours: Sequence[Neighbour]) -> Sequence[str]:
        """Write the configuration; return the command that runs the router in the foreground."""
        ...

    def ready(self, place: Path) -> bool:
        """Return whether the router responds."""
        ...

    def routes(self, place: Path, neighbour: Neighbour) -> Routes:
        """Return the routes received from the neighbour."""
        ...

    def established(self, place: Path, neighbour: Neighbour) -> bool: ...


class Router:
    """A router of some kind, started and stopped as a process."""

    def __init__(self, program: Program, inside: int, place: Path, asn: int) -> None:
        self.namespace = inside
        self.asn = asn
        self._program = program
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *neighbours: Neighbour) -> None:
        """Start with these neighbours, and wait until the router responds. It must not be running."""
        command = self._program.configure(self._place, self.asn, neighbours)
        with namespace.entered(self.namespace), self._log.open("ab") as log:
            # The router ends with the tests, even if they are killed.
            bound = ("setpriv", "--pdeathsig", "KILL", *command)
            self._process = subprocess.Popen(bound, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self._program.ready(self._place), lambda: f"{command}\n{self._log.read_text()}")

    def stop(self) -> None:
        """Terminate the router, if it is running."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def suspend(self) -> None:
        """Suspend the process; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def routes(self, neighbour: Neighbour) -> Routes:
        """Return the routes received from a neighbour and not withdrawn."""
        return self._program.routes(self._place, neighbour)

    def established(self, neighbour: Neighbour) -> bool:
        return self._program.established(self._place, neighbour)

    @property
    def _log(self) -> Path:
        return self._place / "log"

    def _signal(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
