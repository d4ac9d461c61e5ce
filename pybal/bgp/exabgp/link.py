"""The daemon's end of the socket to the relay: nobody but ExaBGP's own child is heard."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.bgp.exabgp import events
from pybal.runtime.lines import LineSplitter
from pybal.runtime.peercred import credentials


class Link(Protocol):
    """One connection, once it is known to be the relay's; silent otherwise."""

    _log = Logger()

    def __init__(self, trusted: Callable[[int], bool]) -> None:
        self._trusted = trusted
        self._lines = LineSplitter(events.LONGEST_LINE, truncate=True)
        self._ours = False
        self.greeted: Callable[[Link], None] = lambda _link: None
        """Called when the relay is connected."""
        self.heard: Callable[[events.Event], None] = lambda _event: None
        self.lost: Callable[[], None] = lambda: None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        peer = credentials(self.transport.getHandle())  # type: ignore[union-attr]  # a connection has one
        if peer.user != os.geteuid() or not self._trusted(peer.process):
            self._log.warn(
                "refused a connection to the socket of exabgp from process {process} of user {user}",
                process=peer.process,
                user=peer.user,
                system="bgp",
            )
            self.transport.abortConnection()  # type: ignore[union-attr]  # likewise
            return
        self._ours = True
        self.greeted(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        if not self._ours:
            return
        for line in self._lines.feed(data):
            if event := events.read(line):
                self.heard(event)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802  # Twisted's name
        del reason
        if self._ours:
            self._ours = False
            self.lost()

    def send(self, line: bytes) -> None:
        """Send one line, given without its end."""
        self.transport.write(line + b"\n")  # type: ignore[union-attr]  # likewise

    def close(self) -> None:
        """Close, and be heard of no more."""
        self._ours = False
        self.transport.abortConnection()  # type: ignore[union-attr]  # likewise


class LinkFactory(Factory):
    """Makes links; ``prepare`` is given each before it is connected."""

    noisy = False

    def __init__(self, trusted: Callable[[int], bool], prepare: Callable[[Link], None]) -> None:
        self._trusted = trusted
        self._prepare = prepare

    def buildProtocol(self, addr: IAddress | None) -> Link:  # noqa: N802  # Twisted's name
        del addr
        link = Link(self._trusted)
        self._prepare(link)
        return link


def parent(process: int) -> int:
    """Return the parent of a process, 0 if there is no such process (proc(5), the fourth field of ``stat``)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
