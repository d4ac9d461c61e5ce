"""DNS messages as a check needs them: the bytes of a question, and what an answer to it says (RFC 1035 §4).

Pure: bytes in, facts out. Records are counted, not read; pointers are not followed.

    message   number 2 · flags 2 · counts of questions, answers, authorities, additionals 4 x 2 · question · records
    flags     QR 1 bit · opcode 4 · AA 1 · TC 1 · RD 1 · RA 1 · Z 3 · code 4
    question  name · type 2 · class 2
    record    name · type 2 · class 2 · TTL 4 · length 2 · so many bytes
    name      (length 1, below 64 · label)*, and then a 0, or a pointer: 11 and 14 bits of an offset before it
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
_TO_ASK = bytes((0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0))
"""A header without its number: recursion desired, one question."""
_KIND_OF_MESSAGE, _ANSWER = 0xF8, 0x80
"""QR and opcode; an answer to a standard query."""
_TRUNCATED = 0x02
_CODE = 0x0F
_POINTER, _OFFSET = 0xC0, 0x3FFF
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
_RECORD = 10
_NO_QUESTION, _ONE_QUESTION = b"\0\0", b"\0\1"


class RecordType(IntEnum):
    """What is asked for."""

    A = 1
    AAAA = 28


class Malformed(Exception):  # noqa: N818  # a fact about the server, not an error of ours
    """An answer that contradicts itself."""


class Question(NamedTuple):
    """What to ask, made once for many checks. ``data`` is the message without its number of two bytes."""

    text: str
    """For people: ``www.example.org A``."""
    data: bytes
    echo: bytes
    """What an answer repeats, in lower case."""


class Reply(NamedTuple):
    """What an answer says: its code, and whether there is more than fits in a datagram."""

    code: int
    truncated: bool


def question(name: str, kind: RecordType) -> Question:
    """Return the question for the records of a host, whose name :func:`pybal.config.convert.hostname` took."""
    labels = name.removesuffix(".").encode("ascii").split(b".")
    encoded = b"".join(bytes((len(label),)) + label for label in labels)
    section = encoded + bytes((0, 0, kind, 0, 1))  # class IN
    return Question(f"{name} {kind.name}", _TO_ASK + section, section.lower())


def code_name(code: int) -> str:
    """Return ``SERVFAIL`` for 2."""
    return _CODES.get(code) or f"RCODE {code}"


def reply(message: bytes, number: bytes, asked: Question) -> Reply | None:
    """Return what the message says if it answers this question of this number, ``None`` if it does not.

    Some servers do not repeat the question that they refuse. Raise Malformed for an answer whose records are not those
    that its header announces; one that is truncated may end anywhere.
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
    """Go through all records."""
    records = sum(unpack_from(">3H", message, 6))
    for number in range(records):
        try:
            at = _after_name(message, at)
            at += _RECORD + (message[at + 8] << 8 | message[at + 9])
        except IndexError:
            at = len(message) + 1
        if at > len(message):
            raise Malformed(f"record {number + 1} of {records} is cut short")


def _after_name(message: bytes, at: int) -> int:
    """Return where the name that begins here ends; IndexError if that is beyond the message."""
    start = at
    while length := message[at]:
        if length >= _POINTER:
            if (length << 8 | message[at + 1]) & _OFFSET >= start:
                raise Malformed("a name that points forward")
            return at + 2
        at += 1 + length
        if length > _LONGEST_LABEL or at - start >= _LONGEST_NAME:
            raise Malformed("a name that is none")
    return at + 1
