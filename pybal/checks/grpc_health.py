"""The two messages of grpc.health.v1 and their gRPC frame. Pure.

On the wire, in protobuf (proto3)::

    frame    = compressed (1 byte, 0) + length (4 bytes) + message
    request  = [ field 1: service, text ]
    response = [ field 1: status, number ]
"""

from __future__ import annotations

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

_FRAME = 5
_NUMBER, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MORE = 0x80
_LONGEST_NUMBER = 10


def request(service: str) -> bytes:
    """Return the frame of a health request for a service, or for the server if it is empty."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def status(frame: bytes) -> str:
    """Return the name of the status in a response. Raises ValueError if it is invalid."""
    if len(frame) < _FRAME or int.from_bytes(frame[1:_FRAME], "big") != len(frame) - _FRAME:
        raise ValueError("not exactly one message")
    if frame[0]:
        raise ValueError("compressed message without negotiation")
    number = _first_number(frame[_FRAME:])
    return STATUSES[number] if number < len(STATUSES) else f"status {number}"


def code_name(code: str) -> str:
    """Return the name of a gRPC status code."""
    known = code.isascii() and code.isdigit() and len(code) <= len(str(len(CODES)))
    return CODES[int(code)] if known and int(code) < len(CODES) else f"gRPC status {code[:20]!r}"


def _first_number(message: bytes) -> int:
    """Return the last value of field 1, 0 if it is absent."""
    found, position = 0, 0
    while position < len(message):
        key, position = _read_varint(message, position)
        kind, value = key & 7, 0
        if kind == _NUMBER:
            value, position = _read_varint(message, position)
        elif kind == _BYTES:
            length, position = _read_varint(message, position)
            position += length
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("malformed message")
        if key == 1 << 3 | _NUMBER:
            found = value
    if position > len(message):
        raise ValueError("truncated message")
    return found


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= _MORE:
        encoded.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    number = 0
    for index, byte in enumerate(message[position : position + _LONGEST_NUMBER]):
        number |= (byte & (_MORE - 1)) << 7 * index
        if byte < _MORE:
            return number, position + index + 1
    raise ValueError("truncated message")
