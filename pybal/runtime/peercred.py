"""Peer credentials of a unix socket, recorded by the kernel when it was connected (unix(7))."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_PEERCRED = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""Value of asm-generic/socket.h, missing from Python's socket module."""
_MOST_GROUPS = 256
"""Limit: Python's getsockopt returns at most 1024 bytes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A process with its effective user and group."""

    process: int
    user: int
    group: int


def credentials(connection: socket.socket) -> Credentials:
    """Return the credentials of the peer: of the connecting process, or for a client of the listening one."""
    return Credentials(*_PEERCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)))


def supplementary_groups(connection: socket.socket) -> frozenset[int]:
    """Return the supplementary groups of the connecting process; empty if it has more than 256."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:
        return frozenset()
    return frozenset(number for (number,) in struct.iter_unpack("I", raw))
