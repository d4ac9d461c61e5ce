"""Clients: one that opens connections repeatedly, and those that keep one open."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self

from pybal.core.model import Address
from tests.harness.guest.network import Host


class RequestLoop:
    """A client thread that opens a connection ``every`` 50 ms.

    ``timeout`` is in seconds, as is ``slowest``, the longest time until a response. ``latest`` is the time of the last response.
    """

    def __init__(
        self,
        client: Host,
        vip: Address,
        port: int = 80,
        *,
        path: str = "/",
        timeout: float = 5.0,
        every: float = 0.05,
    ) -> None:
        self.answered = 0
        self.slowest = 0.0
        self.latest = time.monotonic()
        self.failures: list[str] = []
        self._client = client
        self._vip = vip
        self._port = port
        self._path = path
        self._timeout = timeout
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def more(self, than: int) -> bool:
        """Return whether it received more responses than ``than``, or an error."""
        return self.answered > than or bool(self.failures)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            start = time.monotonic()
            try:
                self._client.get(self._vip, self._port, path=self._path, timeout=self._timeout)
                self.answered += 1
                self.latest = time.monotonic()
                self.slowest = max(self.slowest, self.latest - start)
            except OSError as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {error!r}")

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


class EventStream:
    """A connection that receives lines until its end, in a thread."""

    def __init__(self, client: Host, vip: Address, port: int = 80, *, path: str = "/stream") -> None:
        self.lines = 0
        self.latest = time.monotonic()
        with client.entered():
            self._socket = socket.create_connection((str(vip), port), 30)
        self._socket.settimeout(None)
        self._socket.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        client.stack.callback(self.close)
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        with suppress(OSError, ValueError), self._socket.makefile("rb") as stream:
            for _ in stream:
                self.lines += 1
                self.latest = time.monotonic()
