"""Who is at the other end of a unix socket: the kernel's word, from the moment of the connection (unix(7))."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_PEERCRED = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""Of asm-generic/socket.h; Python's socket module has no name for it."""
_MOST_GROUPS = 256
"""Python's getsockopt returns no more than 1024 bytes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A process, with its effective user and group."""

    process: int
    user: int
    group: int


def credentials(connection: socket.socket) -> Credentials:
    """Return who connected; at the connecting end, who listened."""
    return Credentials(*_PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)))


def supplementary_groups(connection: socket.socket) -> frozenset[int]:
    """Return the supplementary groups of who connected; none where there are more than 256 of them."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:
        return frozenset()
    return frozenset(number for (number,) in struct.iter_unpack("I", raw))
