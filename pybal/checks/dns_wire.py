"""DNS messages of a check: encoding of a query and parsing of its answer (RFC 1035 §4). Pure.

Records are counted, not decoded; compression pointers are not followed.

    message   ID 2 · flags 2 · counts of questions, answers, authorities, additionals 4 x 2 · question · records
    flags     QR 1 bit · opcode 4 · AA 1 · TC 1 · RD 1 · RA 1 · Z 3 · code 4
    question  name · type 2 · class 2
    record    name · type 2 · class 2 · TTL 4 · length 2 · data
    name      (length 1, below 64 · label)*, then 0, or a pointer: bits 11 and 14 bits of a lower offset
"""

from __future__ import annotations

from enum import IntEnum
from struct import unpack_from
from typing import NamedTuple

NOERROR, NXDOMAIN = 0, 3

_CODES = {
    NOERROR: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
}
_HEAD = 12
_QUERY = bytes((0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0))
"""A header without its ID: recursion desired, one question."""
_KIND_OF_MESSAGE, _ANSWER = 0xF8, 0x80
"""QR and opcode; an answer to a standard query."""
_TRUNCATED = 0x02
_CODE = 0x0F
_POINTER, _OFFSET = 0xC0, 0x3FFF
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
_RECORD = 10
_NO_QUESTION, _ONE_QUESTION = b"\0\0", b"\0\1"


class RecordType(IntEnum):
    """The record types of queries."""

    A = 1
    AAAA = 28


class Malformed(Exception):  # noqa: N818  # a property of the answer, not a bug
    """An inconsistent answer."""


class Question(NamedTuple):
    """A query, shared by many checks. ``data`` is the message without its ID of two bytes."""

    text: str
    """The text for people: ``www.example.org A``."""
    data: bytes
    echo: bytes
    """The question section of an answer, in lower case."""


class Reply(NamedTuple):
    """The code of an answer, and whether it is truncated."""

    code: int
    truncated: bool


def question(name: str, kind: RecordType) -> Question:
    """Return the query for a host name accepted by :func:`pybal.config.convert.hostname`."""
    labels = name.removesuffix(".").encode("ascii").split(b".")
    encoded = b"".join(bytes((len(label),)) + label for label in labels)
    section = encoded + bytes((0, 0, kind, 0, 1))  # class IN
    return Question(f"{name} {kind.name}", _QUERY + section, section.lower())


def code_name(code: int) -> str:
    """Return ``SERVFAIL`` for 2."""
    return _CODES.get(code) or f"RCODE {code}"


def reply(message: bytes, number: bytes, asked: Question) -> Reply | None:
    """Return the reply in a message if it answers this query with this ID, else ``None``.

    Some servers omit the question of a query that they refuse. Raises Malformed if the records do not match the counts of the
    header; a truncated answer may end anywhere.
    """
    if len(message) < _HEAD or message[:2] != number or message[2] & _KIND_OF_MESSAGE != _ANSWER:
        return None
    code = message[3] & _CODE
    answered = code in (NOERROR, NXDOMAIN)
    questions, end = message[4:6], _HEAD + len(asked.echo)
    if questions != _ONE_QUESTION or message[_HEAD:end].lower() != asked.echo:
        return Reply(code, truncated=False) if questions == _NO_QUESTION and not answered else None
    truncated = message[2] & _TRUNCATED != 0
    if answered and not truncated:
        _walk(message, end)
    return Reply(code, truncated)


def _walk(message: bytes, at: int) -> None:
    """Skip over all records."""
    records = sum(unpack_from(">3H", message, 6))
    for number in range(records):
        try:
            at = _after_name(message, at)
            at += _RECORD + (message[at + 8] << 8 | message[at + 9])
        except IndexError:
            at = len(message) + 1
        if at > len(message):
            raise Malformed(f"record {number + 1} of {records} is truncated")


def _after_name(message: bytes, at: int) -> int:
    """Return the end of the name at this offset. Raises IndexError beyond the message."""
    start = at
    while length := message[at]:
        if length >= _POINTER:
            if (length << 8 | message[at + 1]) & _OFFSET >= start:
                raise Malformed("compression pointer that points forward")
            return at + 2
        at += 1 + length
        if length > _LONGEST_LABEL or at - start >= _LONGEST_NAME:
            raise Malformed("invalid name")
    return at + 1
