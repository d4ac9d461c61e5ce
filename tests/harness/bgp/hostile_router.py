"""A router that means harm: the messages of BGP, and its side of a session as a conversation."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address

from tests.harness.hostile_peers import Conversation, Reset
from tests.harness.hostile_server import Talk

ASN = 64601
_MARKER = b"\xff" * 16
_OPEN, _UPDATE, _NOTIFICATION, _KEEPALIVE, _REFRESH = 1, 2, 3, 4, 5
_MULTIPROTOCOL, _ROUTE_REFRESH, _ASN4 = 1, 2, 65
_IPV4_UNICAST = b"\0\1\0\1"
LARGEST = 4096
"""Bytes of a message, at most (RFC 4271 §4.1)."""


def message(kind: int, body: bytes = b"") -> bytes:
    """Return a message with its header."""
    return _MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def opened(
    *, asn: int = ASN, hold: int = 180, capabilities: bytes | None = None, version: int = 4, router: str = "10.9.0.3"
) -> bytes:
    """Return an OPEN; ``capabilities`` are the bytes of its optional parameters."""
    if capabilities is None:
        found = (
            capability(_MULTIPROTOCOL, _IPV4_UNICAST)
            + capability(_ROUTE_REFRESH)
            + capability(_ASN4, struct.pack("!I", asn))
        )
        capabilities = parameter(found)
    head = struct.pack("!BHH4sB", version, asn, hold, IPv4Address(router).packed, len(capabilities))
    return message(_OPEN, head + capabilities)


def capability(code: int, value: bytes = b"") -> bytes:
    return bytes((code, len(value))) + value


def parameter(capabilities: bytes) -> bytes:
    return bytes((2, len(capabilities))) + capabilities


KEEPALIVE = message(_KEEPALIVE)
REFRESH = message(_REFRESH, _IPV4_UNICAST)


def notification(code: int, subcode: int, data: bytes = b"") -> bytes:
    return message(_NOTIFICATION, bytes((code, subcode)) + data)


def update(prefixes: bytes, attributes: bytes = b"", withdrawn: bytes = b"") -> bytes:
    """Return an UPDATE from encoded prefixes and attributes."""
    return message(
        _UPDATE,
        struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", len(attributes)) + attributes + prefixes,
    )


def prefixes(first: int, count: int) -> bytes:
    """Return this many prefixes of 32 bits from 100.64.0.0 on."""
    return b"".join(b"\x20" + struct.pack("!I", 0x64400000 + first + number) for number in range(count))


def attributes(path: tuple[int, ...] = (ASN,), more: bytes = b"") -> bytes:
    """Return the mandatory attributes of a route: origin, path (4-byte numbers), next hop."""
    segment = bytes((2, len(path))) + b"".join(struct.pack("!I", asn) for asn in path)
    return b"\x40\1\1\0" + b"\x50\2" + struct.pack("!H", len(segment)) + segment + b"\x40\3\4\x0a\x09\x00\x03" + more


def session(then: Callable[[], Talk], greeting: bytes | None = None) -> Conversation:
    """Establish a session, and go on with ``then``, which need not send a KEEPALIVE first."""

    def talk() -> Talk:
        received = yield b""
        while len(received) < 19:
            received += yield b""
        yield (opened() if greeting is None else greeting) + KEEPALIVE
        yield from then()

    return talk


def flooding(unit: bytes) -> Conversation:
    """Send a message without end."""

    def talk() -> Talk:
        block = unit * max(1, 65536 // len(unit))
        while True:
            yield block

    return session(talk)


def ending(last: bytes, *, reset: bool = False) -> Conversation:
    """Send a last message and close the session, or reset the connection."""

    def talk() -> Talk:
        yield last
        if reset:
            raise Reset

    return session(talk)


def peaceful() -> Talk:
    """Keep the session with a KEEPALIVE for each message."""
    while True:
        received = yield b""
        if received:
            yield KEEPALIVE
