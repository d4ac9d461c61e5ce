"""A TCP server on a host, in threads, whose responses are a function of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.harness.guest.network import Host

Serve = Callable[[socket.socket, str], None]
"""Serves one request: the connection, which is closed afterwards, and the path of the request."""


def response(status: str, body: str = "", *headers: str) -> bytes:
    """Return a response of HTTP/1.0; without Content-Length it ends with the connection."""
    return "\r\n".join([f"HTTP/1.0 {status}", *headers, "", body]).encode()


def page(host: Host) -> bytes:
    """Return a complete response with the name of the host."""
    return response("200 OK", host.name, f"Content-Length: {len(host.name)}")


class FunctionServer:
    """A server on all addresses of ``host``; ``serve`` may be replaced while it runs.

    By default it responds with the name of the host.
    """

    def __init__(self, host: Host, port: int = 80, serve: Serve | None = None) -> None:
        self.host = host
        self.serve = serve or (lambda connection, _: connection.sendall(page(host)))
        self._open: set[socket.socket] = set()
        with host.entered():
            family = socket.AF_INET6
            self._listener = socket.create_server(("::", port), family=family, dualstack_ipv6=True, backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()
        host.stack.callback(self.close)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def close(self) -> None:
        """Close the listener and all connections, as a dying process does."""
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._respond, args=(connection,), daemon=True).start()

    def _respond(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = b""
            while b"\r\n\r\n" not in request and (received := connection.recv(65536)):
                request += received
            if request:
                self.serve(connection, request.split()[1].decode())
        self._open.discard(connection)
