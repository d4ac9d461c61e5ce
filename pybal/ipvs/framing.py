"""Netlink's framing: attributes, and the messages of generic netlink around them.

Pure. All fields are in the byte order of the host, aligned to four bytes (linux/netlink.h, linux/genetlink.h).

    ========= ==== ========================================== =============================================
    part      size fields                                     notes
    ========= ==== ========================================== =============================================
    nlmsghdr  16   u32 length, u16 type, u16 flags,           length counts the header, not the padding;
                   u32 sequence, u32 port                     type is the family of generic netlink
    genlmsghdr 4   u8 command, u8 version, u16 reserved
    nlattr    4    u16 length, u16 type                       the two upper bits of type are flags
    error     4    s32 -errno, then the request's header      in messages of type ERROR, 0 is an
                                                              acknowledgement
    ========= ==== ========================================== =============================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct

REQUEST, ACK, DUMP = 1, 4, 0x300
CAPPED, ACK_TLVS = 0x100, 0x200
ERROR, DONE = 2, 3
ERROR_TEXT = 1

_HEADER = Struct("=IHHII")
_GENERIC = Struct("=BBH")
_ATTRIBUTE = Struct("=HH")
_CODE = Struct("=i")
_KIND_BITS = 0x3FFF
_LARGEST_ERRNO = 4095  # MAX_ERRNO of linux/err.h


class FramingError(ValueError):
    """Bytes that are not valid netlink messages or attributes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received message; ``payload`` follows the netlink header."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """Return an attribute with its padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes) -> Mapping[int, bytes]:
    """Return the attributes by kind. Raises FramingError."""
    return {kind & _KIND_BITS: payload for kind, payload in _attributes(data)}


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + _ATTRIBUTE.size > len(data):
            raise FramingError("truncated netlink attribute")
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            raise FramingError("truncated netlink attribute")
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


def request(family: int, flags: int, sequence: int, command: int, body: bytes) -> bytes:
    """Return a request of generic netlink; ``body`` is its attributes."""
    length = _HEADER.size + _GENERIC.size + len(body)
    header = _HEADER.pack(length, family, flags | REQUEST, sequence, 0)
    return header + _GENERIC.pack(command, 1, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram. Raises FramingError."""
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise FramingError("truncated netlink message")
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise FramingError("truncated netlink message")
        yield Message(kind, flags, sequence, data[at + _HEADER.size : at + length])
        at += length + -length % 4


def answer(message: Message) -> Mapping[int, bytes]:
    """Return the attributes of a generic netlink reply."""
    return attributes(message.payload[_GENERIC.size :])


def outcome(message: Message) -> tuple[int, str]:
    """Return the errno of an ERROR or DONE message (0 for success) and the kernel's text, if any.

    Raises FramingError.
    """
    if len(message.payload) < _CODE.size:
        return 0, ""
    (code,) = _CODE.unpack_from(message.payload)
    if not -_LARGEST_ERRNO <= code <= 0:
        raise FramingError(f"invalid error number {code}")
    if message.kind != ERROR or not message.flags & ACK_TLVS:
        return -code, ""
    at = _CODE.size + _HEADER.size
    if not message.flags & CAPPED:  # the whole request precedes the attributes
        if len(message.payload) < at:
            raise FramingError("truncated netlink error")
        (length, *_) = _HEADER.unpack_from(message.payload, _CODE.size)
        at = _CODE.size + length + -length % 4
    return -code, attributes(message.payload[at:]).get(ERROR_TEXT, b"").rstrip(b"\0").decode(errors="replace")
