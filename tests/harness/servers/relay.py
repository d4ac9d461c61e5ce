"""What stands between a client of HTTP and its server: it notes what is asked, and can hang, lie or be gone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_READ = 65536


@dataclass(eq=False)
class _Link:
    """A connection of a client, and ours to the server."""

    client: socket.socket
    server: socket.socket | None = None
    head: bytes = b""
    dropped: bool = False


class Relay:
    """Passes on to a port of this host what comes at ``port``: ``with Relay(port) as relay``.

    ``connections`` counts those that were ever made, ``most`` those at the same time, ``requests`` are the first lines of
    what was asked. With ``canned`` each request is answered by what that yields, and then the end of the connection.
    ``asked`` is told each first line, before it is passed on, and whether it returns true decides if it is.
    ``loses`` tells, by what came first over a connection, if all that comes over it is lost.
    """

    def __init__(self, server: int) -> None:
        self.connections = 0
        self.most = 0
        self.requests: list[str] = []
        self.canned: Callable[[], Iterable[bytes]] | None = None
        self.asked: Callable[[str], bool] = lambda _: True
        self.loses: Callable[[bytes], bool] = lambda _: False
        self._to = server
        self._refusing = False
        self._links: list[_Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread waits in accept, and close alone would let it wait on.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    def behave(self) -> None:
        """Pass on again whatever comes, over new connections."""
        self._refusing = False
        self.canned = None
        self.loses = lambda _: False
        self.cut()

    def refuse(self) -> None:
        """End all connections, and each new one at once."""
        self._refusing = True
        self.cut()

    def answer(self, canned: Callable[[], Iterable[bytes]]) -> None:
        """Answer all requests like this from now on, over the connections that there are, too."""
        self._refusing = False
        self.canned = canned

    def drop(self) -> None:
        """Lose without a word whatever comes over the connections that there are now."""
        for link in self._links:
            link.dropped = True

    def hang(self) -> None:
        """Lose without a word whatever comes, over new connections too."""
        self.loses = lambda _: True

    def cut(self) -> None:
        """End all connections."""
        for link in list(self._links):
            _shut(link.client)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                if self._refusing:
                    client.close()
                    continue
                link = _Link(client)
                self._links.append(link)
                self.most = max(self.most, len(self._links))
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: _Link) -> None:
        try:
            with link.client, suppress(OSError):
                while data := link.client.recv(_READ):
                    link.head = link.head or data
                    if not self._lost(link):
                        self._ask(link, data)
        finally:
            self._links.remove(link)
            if link.server:
                _shut(link.server)

    def _ask(self, link: _Link, data: bytes) -> None:
        self.requests.append(data.partition(b"\r\n")[0].decode("latin-1"))
        if not self.asked(self.requests[-1]):
            return
        if self.canned:
            for piece in self.canned():
                link.client.sendall(piece)
            _shut(link.client)
            return
        if link.server is None:
            link.server = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pass_back, args=(link, link.server), daemon=True).start()
        link.server.sendall(data)

    def _pass_back(self, link: _Link, server: socket.socket) -> None:
        with server, suppress(OSError):
            while data := server.recv(_READ):
                if not self._lost(link):
                    link.client.sendall(data)
            if not self._lost(link):
                _shut(link.client)

    def _lost(self, link: _Link) -> bool:
        return link.dropped or self.loses(link.head)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
