"""The daemon's end of the socket to the relay; accepts ExaBGP's own child only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override

from pybal.bgp.exabgp import events
from pybal.runtime.line_feed import LineFeed
from pybal.runtime.lines import LineSplitter
from pybal.runtime.peercred import credentials


class Link(Protocol):
    """One connection; it is aborted unless the peer is the relay."""

    _log = Logger()

    def __init__(self, is_relay: Callable[[int], bool], clock: IReactorTime) -> None:
        self._is_relay = is_relay
        self._feed = LineFeed(
            LineSplitter(events.LONGEST_LINE, truncate=True),
            self._received,
            clock,
            pause=self._pause,
            resume=self._resume,
        )
        self._accepted = False
        self.relay_connected: Callable[[Link], None] = lambda _link: None
        self.event_received: Callable[[events.Event], None] = lambda _event: None
        self.relay_lost: Callable[[], None] = lambda: None

    @override
    def connectionMade(self) -> None:
        peer = credentials(self.transport.getHandle())  # type: ignore[union-attr]  # set while connected
        if peer.user != os.geteuid() or not self._is_relay(peer.process):
            self._log.warn(
                "exabgp socket: connection from process {process} of user {user} refused",
                process=peer.process,
                user=peer.user,
                system="bgp",
            )
            self.transport.abortConnection()  # type: ignore[union-attr]  # likewise
            return
        self._accepted = True
        self.relay_connected(self)

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._accepted:
            self._feed.feed(data)

    def _pause(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]  # set while connected

    def _resume(self) -> None:
        self.transport.resumeProducing()  # type: ignore[union-attr]  # likewise

    def _received(self, line: bytes) -> None:
        if event := events.read(line):
            self.event_received(event)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        del reason
        self._feed.close()
        if self._accepted:
            self._accepted = False
            self.relay_lost()

    @property
    def busy(self) -> bool:
        """True while received lines wait for the next turn of the loop."""
        return self._feed.busy

    def send(self, line: bytes) -> None:
        """Send one line, without its newline."""
        self.transport.write(line + b"\n")  # type: ignore[union-attr]  # likewise

    def send_now(self, line: bytes) -> None:
        """Send one line without waiting for the next iteration of the event loop, unless the socket is full."""
        self.send(line)
        # An error is found again by the event loop, which then closes the connection.
        self.transport.doWrite()  # type: ignore[union-attr]  # likewise

    def receive_now(self) -> None:
        """Read once, without waiting for the next iteration of the event loop."""
        if not self._feed.busy:
            self.transport.doRead()  # type: ignore[union-attr]  # likewise

    def close(self) -> None:
        """Close the connection, without calling ``relay_lost``."""
        self._accepted = False
        self._feed.close()
        self.transport.abortConnection()  # type: ignore[union-attr]  # likewise


class LinkFactory(Factory):
    """Build links; ``prepare`` sets the callbacks of each."""

    noisy = False

    def __init__(self, is_relay: Callable[[int], bool], prepare: Callable[[Link], None], clock: IReactorTime) -> None:
        self._is_relay = is_relay
        self._clock = clock
        self._prepare = prepare

    @override
    def buildProtocol(self, addr: IAddress | None) -> Link:
        del addr
        link = Link(self._is_relay, self._clock)
        self._prepare(link)
        return link


def parent(process: int) -> int:
    """Return the parent of a process, 0 if the process has ended (proc(5), the fourth field of ``stat``)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
