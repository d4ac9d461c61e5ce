"""Clients: one that opens a connection every 50 ms, and one that keeps a connection open."""

from __future__ import annotations

import socket
import threading
from typing import Self

from pybal.core.model import Address
from tests.harness.guest.network import Host


class RequestLoop:
    """A client thread that opens a connection every 50 ms."""

    def __init__(self, client: Host, vip: Address, port: int = 80) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._client = client
        self._vip = vip
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def more(self, than: int) -> bool:
        """Return whether it received more responses than ``than``, or an error."""
        return self.answered > than or bool(self.failures)

    def _run(self) -> None:
        while not self._over.wait(0.05):
            try:
                self._client.get(self._vip, self._port, timeout=5)
                self.answered += 1
            except OSError as error:
                self.failures.append(repr(error))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class OpenConnection:
    """A connection that stays open with an incomplete request."""

    def __init__(self, client: Host, vip: Address, port: int) -> None:
        with client.entered():
            self._socket = socket.create_connection((str(vip), port), 5)
        self._socket.sendall(b"GET / HTTP/1.0\r\n")

    def answer(self) -> str:
        """Complete the request and return the response, the name of the server. Raises OSError."""
        with self._socket:
            self._socket.sendall(b"\r\n")
            with self._socket.makefile("rb") as stream:
                return stream.read().rpartition(b"\r\n\r\n")[2].decode()
