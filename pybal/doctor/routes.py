"""The local prefixes of the kernel: its routes of type ``local`` in all tables.

They contain the addresses of all devices, and prefixes added with ``ip route add local 192.0.2.0/24 dev lo``. The dump
comes from NETLINK_ROUTE, in the byte order of the host (linux/rtnetlink.h):

    ========= ==== ======================================================================
    part      size fields
    ========= ==== ======================================================================
    nlmsghdr  16   as in :mod:`pybal.ipvs.framing`; type GETROUTE in requests, NEWROUTE in replies
    rtmsg     12   u8 family, u8 length of the destination in bits, u8 of the source, u8 tos,
                   u8 table, u8 protocol, u8 scope, u8 type, u32 flags
    nlattr         1 the destination, absent if its length is 0; 4 u32 index of the device
    ========= ==== ======================================================================
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network

from pybal.doctor.host import Local
from pybal.ipvs.framing import DONE, DUMP, ERROR, REQUEST, FramingError, attributes, messages, outcome

_TIMEOUT = 5
_LARGEST_DATAGRAM = 1 << 16
_ROUTE, _SOL_NETLINK, _STRICT = 0, 270, 12
_NEW, _GET, _LOCAL = 24, 26, 2
_DESTINATION, _DEVICE = 1, 4
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=8BI")


def read_local() -> tuple[Local, ...]:
    """Return the local prefixes of this thread's network namespace. Raises OSError or ValueError."""
    names = dict(socket.if_nameindex())
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIMEOUT, 0))
        with suppress(OSError):  # before Linux 4.20 the dump contains all routes
            connection.setsockopt(_SOL_NETLINK, _STRICT, 1)
        connection.bind((0, 0))
        return tuple(
            Local(local.prefix, names.get(int(local.device), local.device))
            for family in (socket.AF_INET, socket.AF_INET6)
            for local in _dump(connection, family)
        )


def local(payload: bytes) -> Local | None:
    """Return the local prefix of a reply, with the index of its device; ``None`` for any other route.

    Raises ValueError if the reply is invalid.
    """
    if len(payload) < _MESSAGE.size:
        raise FramingError("truncated route")
    family, bits, *_, kind, _flags = _MESSAGE.unpack_from(payload)
    attrs = attributes(payload[_MESSAGE.size :])
    if kind != _LOCAL or _DEVICE not in attrs:
        return None
    default = bytes(4 if family == socket.AF_INET else 16)
    prefix = ip_network((ip_address(attrs.get(_DESTINATION, default)), bits))
    return Local(prefix, str(int.from_bytes(attrs[_DEVICE], sys.byteorder)))


def _dump(connection: socket.socket, family: int) -> Iterator[Local]:
    body = _MESSAGE.pack(family, 0, 0, 0, 0, 0, 0, _LOCAL, 0)
    connection.send(_HEADER.pack(_HEADER.size + len(body), _GET, REQUEST | DUMP, family, 0) + body)
    while True:
        for message in messages(connection.recv(_LARGEST_DATAGRAM)):
            if message.kind in (ERROR, DONE):
                code, _ = outcome(message)
                if code:
                    raise OSError(code, os.strerror(code))
                return
            if message.kind == _NEW and (found := local(message.payload)):
                yield found
