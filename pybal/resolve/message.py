"""Responses of DNS servers: address and SRV records (RFC 1035 §4, RFC 2782, RFC 3596). Pure.

::

    message   ID 2 · flags 2 · counts of questions, answers, authorities, additionals 4 x 2 · question · records
    record    name · type 2 · class 2 · TTL 4 · length 2 · data
    name      (length 1, below 64 · label)*, then 0, or a pointer: bits 11 and 14 bits of a lower offset

twisted.names is not used: it expands the names of all records before anything is compared, and neither the length of a name nor
the work is limited. Here the ID and the question are compared first, names of records are skipped, and each part of a message is
read at most once, so the time is linear in its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from struct import unpack_from
from typing import NamedTuple

from pybal.core.model import Address

A, AAAA, SRV = 1, 28, 33

_HEAD = 12
_KIND, _RESPONSE = 0xF8, 0x80
"""QR and opcode; a response to a standard query."""
_TRUNCATED, _CODE = 0x02, 0x0F
_POINTER, _OFFSET = 0xC0, 0x3FFF
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
_INTERNET = 1
_FIELDS = 10
"""Bytes of a record between its name and its data."""
_SIZES = {A: 4, AAAA: 16}
_SRV_TARGET = 6
OPT = 41
_OPT_HEAD = b"\0\0\x29"
"""The root name and the type of an OPT record, which is in the additional section."""
_LONGEST_TTL = 0x7FFFFFFF


class Target(NamedTuple):
    """The data of an SRV record; ``host`` has no trailing dot, so it is empty for ``.``."""

    priority: int
    weight: int
    port: int
    host: str


class Record(NamedTuple):
    """A record of the answer section; ``data`` is ``None`` for types that are not read."""

    kind: int
    ttl: int
    data: Address | Target | None


class Response(NamedTuple):
    """The code of a response, whether it is truncated, its answer section, and whether it has EDNS."""

    code: int
    truncated: bool
    records: tuple[Record, ...] = ()
    edns: bool = False


def response(message: bytes, query: bytes) -> Response | None:
    """Return the response in a message to this query, ``None`` if it is invalid or of another query."""
    question = query[_HEAD:].lower()
    end = _HEAD + len(question)
    if len(message) < end or message[:2] != query[:2] or message[2] & _KIND != _RESPONSE:
        return None
    if message[4:6] != query[4:6] or message[_HEAD:end].lower() != question:
        return None
    code = message[3] & _CODE
    if message[2] & _TRUNCATED:
        return Response(code, truncated=True)
    try:
        records = tuple(_records(message, end))
        edns = message.find(_OPT_HEAD, end) >= 0 and message[10:12] != b"\0\0"
        return Response(code, truncated=False, records=records, edns=edns)
    except (IndexError, ValueError):
        return None


def _records(message: bytes, at: int) -> Iterator[Record]:
    """Yield the answers; raise IndexError or ValueError if the message is incomplete or invalid."""
    names = _Names(message)
    (answers,) = unpack_from(">H", message, 6)
    for _ in range(answers):
        at = _after_name(message, at)
        if at + _FIELDS > len(message):
            raise ValueError("incomplete record")
        kind, group, ttl, length = unpack_from(">HHIH", message, at)
        at += _FIELDS
        if at + length > len(message):
            raise ValueError("incomplete record")
        data = _data(message, kind, at, length, names) if group == _INTERNET else None
        yield Record(kind, ttl if ttl <= _LONGEST_TTL else 0, data)  # RFC 2181 §8
        at += length


def _data(message: bytes, kind: int, at: int, length: int, names: _Names) -> Address | Target | None:
    if kind in _SIZES and length != _SIZES[kind]:
        raise ValueError("invalid length of an address")
    if kind == A:
        return IPv4Address(message[at : at + length])
    if kind == AAAA:
        return IPv6Address(message[at : at + length])
    if kind == SRV and length > _SRV_TARGET:
        priority, weight, port = unpack_from(">HHH", message, at)
        return Target(priority, weight, port, names.at(at + _SRV_TARGET).decode("latin-1"))
    return None


def _after_name(message: bytes, at: int) -> int:
    """Return the end of the name at this offset."""
    start = at
    while length := message[at]:
        if length >= _POINTER:
            return at + 2
        at += 1 + length
        if length > _LONGEST_LABEL or at - start >= _LONGEST_NAME:
            raise ValueError("invalid name")
    return at + 1


class _Names:
    """The expanded names of a message by offset: each label is read only once."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._known: dict[int, bytes] = {}

    def at(self, offset: int) -> bytes:
        message, known = self._message, self._known
        path: list[tuple[int, bytes]] = []
        at = start = offset
        while at not in known and (length := message[at]):
            if length >= _POINTER:
                target = (length << 8 | message[at + 1]) & _OFFSET
                if target >= start:
                    raise ValueError("pointer that points forward")
                path.append((at, b""))
                at = start = target
            elif length > _LONGEST_LABEL:
                raise ValueError("invalid label")
            else:
                path.append((at, message[at + 1 : at + 1 + length]))
                at += 1 + length
        name = known.get(at, b"")
        for place, label in reversed(path):
            name = (label + b"." + name if name else label) if label else name
            if len(name) > _LONGEST_NAME - 2:  # without the first length and the last 0
                raise ValueError("name of more than 255 bytes")
            known[place] = name
        return name
