"""Hostile TCP and UDP servers in threads, with one conversation per connection, until they behave."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

from tests.harness.hostile_server import Datagrams, Talk

Conversation = Callable[[], Talk]
"""Begins the server's side of one connection."""

_WAIT = 0.05
"""Seconds between two steps of a conversation that waits or drips."""
_STALLED = 30.0


class Reset(Exception):  # noqa: N818  # an end, not an error
    """A conversation that raises it resets its connection."""


class HostilePeer:
    """A TCP server with a conversation per connection: ``talk``, and after :meth:`behave` ``healed``.

    ``host`` may be the wildcard address, for many addresses with one server. ``conversations`` counts the connections.
    """

    def __init__(self, host: str, port: int, talk: Conversation, healed: Conversation | None = None) -> None:
        self.host = host
        self.conversations = 0
        self._talk = talk
        self._healed = healed or responding(OK)
        self._closed = False
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()

    def behave(self) -> None:
        """End all hostile conversations, and have the next ones with ``healed``."""
        self._talk = self._healed
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.conversations += 1
                self._open.add(connection)
                threading.Thread(target=self._converse, args=(connection, self._talk()), daemon=True).start()

    def _converse(self, connection: socket.socket, talk: Talk) -> None:
        try:
            with contextlib.suppress(OSError, StopIteration, ssl.SSLError):
                connection.settimeout(_STALLED)
                piece = next(talk)
                while not self._closed:
                    if piece:
                        connection.sendall(piece)
                    piece = talk.send(_received(connection, 0.0 if piece else _WAIT))
        except Reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            talk.close()
            self._open.discard(connection)
            connection.close()


def _received(connection: socket.socket, within: float) -> bytes:
    """Return the bytes that arrive within these seconds; raise OSError at the end of the connection."""
    if not select.select([connection], [], [], within)[0]:
        return b""
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


class HostileDatagrams:
    """A UDP server that sends what ``datagrams`` returns for each query; ``queries`` counts them."""

    def __init__(self, host: str, port: int, datagrams: Datagrams) -> None:
        self.datagrams = datagrams
        self.queries = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.2)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closed:
            with contextlib.suppress(OSError):
                query, client = self._socket.recvfrom(65535)
                self.queries += 1
                for datagram in self.datagrams(query):
                    self._socket.sendto(datagram, client)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def http(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a complete response with a length."""
    head = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *fields)
    return b"\r\n".join((*head, b"", body))


def responding(response: bytes | Callable[[], bytes]) -> Conversation:
    """Send a response after the first bytes of the client, and close."""

    def talk() -> Talk:
        received = yield b""
        while not received:
            received = yield b""
        yield response if isinstance(response, bytes) else response()

    return talk


def silent() -> Talk:
    """Read, and send nothing."""
    while True:
        yield b""


def cut(response: bytes) -> Conversation:
    """Send one byte more of a response in each conversation, and reset the connection."""
    length = 0

    def talk() -> Talk:
        nonlocal length
        length = length % len(response) + 1
        received = yield b""
        while not received:
            received = yield b""
        yield response[:length]
        raise Reset

    return talk


def secured(context: ssl.SSLContext, inner: Conversation) -> Conversation:
    """Have a conversation over TLS."""

    def talk() -> Talk:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        secure = False
        while not secure:
            incoming.write((yield outgoing.read()))
            try:
                tls.do_handshake()
                secure = True
            except ssl.SSLWantReadError:
                pass
        script = inner()
        piece = next(script)
        while True:
            if piece:
                tls.write(piece)
            incoming.write((yield outgoing.read()))
            received = b""
            with contextlib.suppress(ssl.SSLWantReadError):
                received = tls.read(65536)
            try:
                piece = script.send(received)
            except StopIteration:
                return

    return talk
