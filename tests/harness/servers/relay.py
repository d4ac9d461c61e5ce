"""A relay between an HTTP client and its server: records requests and injects faults."""

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
    """A connection from a client, and the relay's own to the server."""

    client: socket.socket
    server: socket.socket | None = None
    head: bytes = b""
    dropped: bool = False


class Relay:
    """Forwards connections at ``port`` to another port of this host: ``with Relay(port) as relay``.

    ``connections`` counts all connections, ``most`` is the maximum of concurrent ones, ``requests`` lists the request
    lines. If ``canned`` is set, each request receives the bytes that it yields, then the connection is closed.
    ``asked`` is called with each request line; the request is forwarded if it returns true.
    ``loses`` is called with the first bytes of a connection; if it returns true, all its data is dropped.
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
        # A thread blocks in accept, and close alone does not wake it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._links)

    def behave(self) -> None:
        """Forward data again, over new connections."""
        self._refusing = False
        self.canned = None
        self.loses = lambda _: False
        self.cut()

    def refuse(self) -> None:
        """Close all connections, and each new one immediately."""
        self._refusing = True
        self.cut()

    def answer(self, canned: Callable[[], Iterable[bytes]]) -> None:
        """Answer all requests with ``canned`` from now on, also over open connections."""
        self._refusing = False
        self.canned = canned

    def drop(self) -> None:
        """Silently drop all data of the open connections."""
        for link in self._links:
            link.dropped = True

    def hang(self) -> None:
        """Silently drop all data, also of new connections."""
        self.loses = lambda _: True

    def cut(self) -> None:
        """Close all connections."""
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
