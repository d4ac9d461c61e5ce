"""The ICMP check: an echo request, and its reply (RFC 792, RFC 4443 §4).

::

    type (8 or 128; of a reply 0 or 129) + code (0) + checksum (2) + identifier (2) + sequence number (2) + data

The socket is a ping socket if net.ipv4.ping_group_range allows it, else a raw one, which needs CAP_NET_RAW. On a ping socket the
kernel sets the identifier and delivers our replies only; a raw one receives all ICMP of the server, with IPv4 including the IP
header. Random data identifies our reply.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from socket import (
    AF_INET,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SocketType,
)
from typing import Self

from typing_extensions import override

from pybal.checks.datagram import DatagramCheck
from pybal.checks.engine import Engine
from pybal.checks.result import CheckFailed, Phase, Result
from pybal.checks.socket_check import Target
from pybal.core.text import format_duration

_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC
_HEADER = struct.Struct("!BBHHH")
_REPLY_IPV4, _REPLY_IPV6 = 0, 129
_NONCE = 16
_IPV4_UNIT = 4
_ONLY_REPLIES_IPV4 = (255, 1, struct.pack("I", ~1 & 0xFFFFFFFF))
"""SOL_RAW and ICMP_FILTER of linux/icmp.h: a bit for each type to drop."""
_ALL = 0xFFFFFFFF
_ONLY_REPLIES_IPV6 = (IPPROTO_ICMPV6, 1, struct.pack("8I", _ALL, _ALL, _ALL, _ALL, _ALL & ~(1 << 1), _ALL, _ALL, _ALL))
"""ICMPV6_FILTER of linux/icmpv6.h, likewise; a reply has type 129 = 4 * 32 + 1."""


def echo_socket(family: int) -> SocketType:
    """Return a ping or raw socket for echo requests. Raises PermissionError if neither is allowed."""
    protocol = IPPROTO_ICMP if family == AF_INET else IPPROTO_ICMPV6
    try:
        return SocketType(family, SOCK_DGRAM | _FLAGS, protocol)
    except PermissionError:
        raw = SocketType(family, SOCK_RAW | _FLAGS, protocol)
    raw.setsockopt(*(_ONLY_REPLIES_IPV4 if family == AF_INET else _ONLY_REPLIES_IPV6))
    return raw


class ICMPCheck(DatagramCheck):
    """A check of one server, at port 0."""

    __slots__ = ("_has_ip_header", "_nonce", "_random", "_strays")

    def __init__(
        self,
        engine: Engine,
        target: Target,
        timeout: float,
        done: Callable[[Self, Result], None],
        *,
        random: Random,
    ) -> None:
        super().__init__(engine, target, timeout, done)
        self._random = random
        self._nonce = b""
        self._strays = 0
        self._has_ip_header = False
        """True if received packets begin with an IPv4 header."""

    @override
    def _new_socket(self) -> SocketType:
        sock = echo_socket(self._target.family)
        self._has_ip_header = sock.type == SOCK_RAW and self._target.family == AF_INET
        return sock

    @override
    def _datagram(self) -> bytes:
        self._strays = 0
        self._nonce = self._random.getrandbits(8 * _NONCE).to_bytes(_NONCE, "big")
        if self._target.family != AF_INET:
            return _HEADER.pack(128, 0, 0, 0, 1) + self._nonce  # the kernel sets the checksum
        identifier = self._random.getrandbits(16)
        checksum = _checksum(_HEADER.pack(8, 0, 0, identifier, 1) + self._nonce)
        return _HEADER.pack(8, 0, checksum, identifier, 1) + self._nonce

    @override
    def _received_datagram(self, data: bytes) -> bool:
        if not self._in_flight:
            return False
        kind = _REPLY_IPV4 if self._target.family == AF_INET else _REPLY_IPV6
        if is_echo_reply(data, kind, self._nonce, ip_header=self._has_ip_header):
            self._passed()
            return True
        self._strays += 1
        return False

    @override
    def _refused(self, error: OSError) -> None:
        if self._in_flight:
            self._errored(error)
        else:
            self._close()

    @override
    @property
    def _phase(self) -> Phase:
        return Phase.ICMP

    @override
    def _overdue(self) -> CheckFailed:
        others = f" ({self._strays} other replies)" if self._strays else ""
        return CheckFailed(Phase.ICMP, f"{format_duration(self.timeout)} without an echo reply{others}", "timeout")


def is_echo_reply(packet: bytes, kind: int, nonce: bytes, *, ip_header: bool) -> bool:
    """Return whether a packet is an echo reply with our data.

    With ``ip_header`` it begins with an IPv4 header.
    """
    if ip_header:
        packet = packet[(packet[:1] or b"\0")[0] % 16 * _IPV4_UNIT :]
    return packet[:1] == bytes((kind,)) and packet[_HEADER.size :] == nonce


def _checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071 over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
