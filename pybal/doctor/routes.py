"""Which addresses the kernel takes for its own: its routes of type ``local``, in all tables.

They hold the addresses of all devices, and what ``ip route add local 192.0.2.0/24 dev lo`` adds to them. A dump of
NETLINK_ROUTE, all in the byte order of the host (linux/rtnetlink.h):

    ========= ==== ======================================================================
    part      size fields
    ========= ==== ======================================================================
    nlmsghdr  16   as in :mod:`pybal.ipvs.framing`; type is GETROUTE, that of an answer NEWROUTE
    rtmsg     12   u8 family, u8 length of the destination in bits, u8 of the source, u8 tos,
                   u8 table, u8 protocol, u8 scope, u8 type, u32 flags
    nlattr         1 the destination, absent where its length is 0; 4 u32 index of the device
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
from pybal.ipvs.framing import DONE, DUMP, ERROR, REQUEST, attributes, messages, outcome

_TIMEOUT = 5
_LARGEST_DATAGRAM = 1 << 16
_ROUTE, _SOL_NETLINK, _STRICT = 0, 270, 12
_NEW, _GET, _LOCAL = 24, 26, 2
_DESTINATION, _DEVICE = 1, 4
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=8BI")


def read_local() -> tuple[Local, ...]:
    """Return what is local in the network namespace of this thread. Raises OSError, or ValueError for nonsense."""
    names = dict(socket.if_nameindex())
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _TIMEOUT, 0))
        with suppress(OSError):  # before Linux 4.20 it tells of all routes
            made.setsockopt(_SOL_NETLINK, _STRICT, 1)
        made.bind((0, 0))
        return tuple(
            Local(local.prefix, names.get(int(local.device), local.device))
            for family in (socket.AF_INET, socket.AF_INET6)
            for local in _dump(made, family)
        )


def local(payload: bytes) -> Local | None:
    """Return what the payload of an answer says is local, the device by its number; ``None`` for another route."""
    family, bits, *_, kind, _flags = _MESSAGE.unpack_from(payload)
    said = attributes(payload[_MESSAGE.size :])
    if kind != _LOCAL or _DEVICE not in said:
        return None
    nowhere = bytes(4 if family == socket.AF_INET else 16)
    prefix = ip_network((ip_address(said.get(_DESTINATION, nowhere)), bits))
    return Local(prefix, str(int.from_bytes(said[_DEVICE], sys.byteorder)))


def _dump(made: socket.socket, family: int) -> Iterator[Local]:
    body = _MESSAGE.pack(family, 0, 0, 0, 0, 0, 0, _LOCAL, 0)
    made.send(_HEADER.pack(_HEADER.size + len(body), _GET, REQUEST | DUMP, family, 0) + body)
    while True:
        for message in messages(made.recv(_LARGEST_DATAGRAM)):
            if message.kind in (ERROR, DONE):
                code, _ = outcome(message)
                if code:
                    raise OSError(code, os.strerror(code))
                return
            if message.kind == _NEW and (found := local(message.payload)):
                yield found
