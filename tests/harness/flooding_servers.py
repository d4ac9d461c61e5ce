"""Checked servers that mean harm: endless small pieces of HTTP and of TLS, one kind per address."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

PIECES: Sequence[tuple[bytes, bytes]] = (
    (_CHUNKED, b"1\r\nx\r\n"),
    (_CHUNKED, b"1;" + b"e" * 200 + b"\r\nx\r\n"),
    (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"x"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    (b"", b"\r\n"),
    (b"", b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"),  # handshake messages HelloRequest
    (b"", b"\x15\x03\x03\x00\x02\x01\x00"),  # warnings
    (b"", b"\x17\x03\x03\x00\x00"),  # records without data
    (b"", b"\x16\x03\x03\x00\x01\x02"),  # a handshake message in records of one byte
)
"""The begin of each server's response, and what it repeats without end."""


@contextmanager
def flooding_servers(port: int) -> Iterator[list[str]]:
    """Run one server for each of :data:`PIECES`; yield their addresses."""
    with ExitStack() as stack:
        hosts = []
        for number, (begin, piece) in enumerate(PIECES):
            hosts.append(f"127.240.0.{1 + number}")
            listener = stack.enter_context(socket.create_server((hosts[-1], port), backlog=64))
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=_serve, args=(listener, begin, piece * 2000), daemon=True).start()
        yield hosts


def _serve(listener: socket.socket, begin: bytes, pieces: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_harm, args=(connection, begin, pieces), daemon=True).start()


def _harm(connection: socket.socket, begin: bytes, pieces: bytes) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(30)
        connection.recv(1)
        connection.sendall(begin)
        while True:
            connection.sendall(pieces)
