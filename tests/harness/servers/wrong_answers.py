"""Invalid responses for :attr:`tests.harness.servers.relay.Relay.canned`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator


def drip() -> Iterator[bytes]:
    """Yield a response that is slow and endless."""
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        time.sleep(0.2)
        yield b" "


def endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while True:
        yield b" " * 65536


def said(text: bytes, status: str = "200 OK", length: int | None = None) -> Callable[[], Iterable[bytes]]:
    length = len(text) if length is None else length
    return lambda: [f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n".encode() + text]
