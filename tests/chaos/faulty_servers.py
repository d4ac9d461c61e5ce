"""Checked servers and a name server in threads of the test, with faults that the test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum

from twisted.names import dns

#: Time to live of an address, in seconds.
TTL = 5


class Mode(StrEnum):
    """The behaviour of a server.

    ``HUNG`` accepts and never responds, ``FAILING`` returns HTTP 500, ``LYING`` returns garbage.
    """

    SERVING = "serving"
    STOPPED = "stopped"
    HUNG = "hung"
    FAILING = "failing"
    LYING = "lying"


class FaultyServer:
    """A web server that returns ``body()`` while it serves.

    ``since`` is the monotonic time of the last change of its mode. ``within`` is a context for the call that opens the listener,
    such as another network namespace.
    """

    def __init__(
        self,
        host: str,
        port: int,
        body: Callable[[], bytes] = lambda: b"ok",
        within: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self.host = host
        self._within = within
        self.mode = Mode.SERVING
        self.since = time.monotonic()
        self._port = port
        self._body = body
        self._open: set[socket.socket] = set()
        self._listener = self._listen()

    def change(self, mode: Mode) -> None:
        """Change the behaviour; a server that stops closes its connections."""
        if mode is self.mode:
            return
        was, self.mode, self.since = self.mode, mode, time.monotonic()
        if mode is Mode.STOPPED:
            self.close()
        elif was is Mode.STOPPED:
            self._listener = self._listen()

    def close(self) -> None:
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> socket.socket:
        with self._within():
            listener = socket.create_server((self.host, self._port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while connection.recv(65536):
                if response := self._response():
                    connection.sendall(response)
                    break
        self._open.discard(connection)

    def _response(self) -> bytes:
        match self.mode:
            case Mode.FAILING:
                return b"HTTP/1.0 500 Error\r\nContent-Length: 0\r\n\r\n"
            case Mode.LYING:
                return b"\x16\x03\x01\x00 200 OK\r\n\r\n"
            case Mode.SERVING:
                body = self._body()
                return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        return b""


class FaultyNames:
    """A DNS server at port 53 of ``host`` with one A record per name.

    ``code`` is the code of all responses, ``None`` for silence.
    """

    def __init__(self, host: str, addresses: dict[str, str]) -> None:
        self.addresses = addresses
        self.code: int | None = dns.OK
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = host
        self._socket.bind((host, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread, which would keep the port
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, client = self._socket.recvfrom(4096)
                if not query:
                    return
                if self.code is not None:
                    self._socket.sendto(self._response(query, self.code), client)

    def _response(self, query: bytes, code: int) -> bytes:
        message = dns.Message()
        message.fromStr(query)
        message.answer, message.rCode, message.additional = 1, code, []
        for asked in message.queries if code == dns.OK else ():
            address = self.addresses.get(str(asked.name))
            if address is None:
                message.rCode = dns.ENAME
            elif asked.type == dns.A:
                message.answers.append(
                    dns.RRHeader(asked.name.name, dns.A, ttl=TTL, payload=dns.Record_A(address, TTL))
                )
        return bytes(message.toStr())
