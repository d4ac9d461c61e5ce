"""Sockets of this process, found by their local address."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_socket(address: tuple[str, int]) -> Iterator[socket.socket]:
    """Yield a duplicate of this process's socket with this local address, such as that of a check."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.is_socket():
            with socket.socket(fileno=os.dup(int(descriptor.name))) as duplicate:
                if duplicate.getsockname()[:2] == address:
                    yield duplicate
                    return
    raise AssertionError(f"this process has no socket at {address}")


def cause_icmp_error(address: tuple[str, int]) -> None:
    """Send a datagram from the socket at ``address`` to a stopped server, which causes an ICMP error."""
    with own_socket(address) as sock:
        sock.send(b"")


def has_input(address: tuple[str, int]) -> bool:
    """Return whether the socket at ``address`` has data that its owner has not read."""
    with own_socket(address) as sock:
        try:
            sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True
