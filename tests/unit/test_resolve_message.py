"""Responses of DNS servers: which messages are responses, and their records."""

from __future__ import annotations

import struct
import time
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.names import dns

from pybal.resolve.message import AAAA, SRV, A, Record, Response, Target, response

NUMBER = 0x1234


def query(name: bytes = b"www.example.org", kind: int = A) -> bytes:
    message = dns.Message(id=NUMBER, recDes=1)
    message.queries = [dns.Query(name, kind)]
    return message.toStr()


QUERY = query()


def answered(*records: dns.RRHeader, to: bytes = QUERY, **fields: Any) -> bytes:  # of twisted.names
    """Return the response of twisted.names with these records."""
    asked = dns.Message()
    asked.fromStr(to)
    made = dns.Message(**{"id": asked.id, "answer": 1, "recDes": 1, "recAv": 1, "maxSize": 0} | fields)
    made.queries = asked.queries
    made.answers = list(records)
    return made.toStr()


def record(payload: dns.IEncodableRecord, kind: int, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(b"www.example.org", kind, ttl=ttl, payload=payload)


ADDRESS = record(dns.Record_A("10.0.0.1"), A)


def test_response_has_the_addresses_and_their_ttl() -> None:
    data = answered(
        record(dns.Record_CNAME(b"lb.example.org"), 5, ttl=7),
        ADDRESS,
        record(dns.Record_AAAA("2001:db8::1"), AAAA, ttl=3),
    )
    assert response(data, QUERY) == Response(
        0,
        truncated=False,
        records=(
            Record(5, 7, None),
            Record(A, 60, ip_address("10.0.0.1")),
            Record(AAAA, 3, ip_address("2001:db8::1")),
        ),
    )


def test_response_has_the_targets_of_srv_records() -> None:
    data = answered(
        record(dns.Record_SRV(1, 2, 80, b"web1.example.org"), SRV),
        record(dns.Record_SRV(1, 2, 81, b""), SRV),
        to=query(kind=SRV),
    )
    found = response(data, query(kind=SRV))
    assert found is not None
    assert [one.data for one in found.records] == [Target(1, 2, 80, "web1.example.org"), Target(1, 2, 81, "")]


def test_names_of_targets_are_expanded() -> None:
    to = query(b"web.example.org", SRV)
    data = (
        to[:2]
        + struct.pack(">5H", 0x8180, 1, 2, 0, 0)
        + to[12:]
        + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", SRV, 1, 9, 6 + len(target)) + struct.pack(">HHH", 0, 0, 80) + target
            for target in (b"\x02w1\xc0\x10", b"\x02w2\xc0\x10")
        )
    )
    found = response(data, to)
    assert found is not None
    hosts = [one.data.host for one in found.records if isinstance(one.data, Target)]
    assert hosts == ["w1.example.org", "w2.example.org"]


def test_truncated_response_has_no_records() -> None:
    assert response(answered(ADDRESS, trunc=1), QUERY) == Response(0, truncated=True)


def test_code_is_kept() -> None:
    assert response(answered(rCode=dns.ENAME), QUERY) == Response(3, truncated=False)


def test_case_of_the_name_does_not_matter() -> None:
    data = answered(ADDRESS).replace(b"\x03www\x07example", b"\x03wWw\x07eXample")
    assert response(data, QUERY) is not None


HEAD = QUERY[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + QUERY[12:]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        answered(ADDRESS, id=1),
        answered(ADDRESS, answer=0),
        answered(ADDRESS, opCode=2),
        answered(ADDRESS, to=query(b"www.example.com")),
        answered(ADDRESS, to=query(kind=AAAA)),
        answered(ADDRESS)[:-1],
        HEAD,
        HEAD + b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 60, 5) + bytes(5),
        HEAD + b"\xc0\x0c" + struct.pack(">HHIH", AAAA, 1, 60, 4) + bytes(4),
        HEAD + b"\x40" + b"a" * 64 + b"\0" + struct.pack(">HHIH", A, 1, 60, 4) + bytes(4),
        HEAD + b"\1a" * 128 + b"\0" + struct.pack(">HHIH", A, 1, 60, 4) + bytes(4),
        HEAD + b"\0" + struct.pack(">HHIH", SRV, 1, 60, 8) + bytes(6) + b"\xff\xff",
        HEAD + b"\0" + struct.pack(">HHIH", SRV, 1, 60, 8) + bytes(6) + struct.pack(">H", 0xC000 | len(HEAD) + 17),
        HEAD + b"\0" + struct.pack(">HHIH", SRV, 1, 60, 263) + bytes(6) + b"\1a" * 128 + b"\0",
    ],
    ids=[
        "empty",
        "other number",
        "query",
        "other opcode",
        "other name",
        "other type",
        "cut off",
        "no record",
        "address of five bytes",
        "IPv6 address of four bytes",
        "label of 64 bytes",
        "name of 257 bytes",
        "target beyond the message",
        "target that points to itself",
        "target of 257 bytes",
    ],
)
def test_response_is_refused_when_invalid_or_of_another_query(message: bytes) -> None:
    assert response(message, QUERY) is None


def chained(records: int) -> bytes:
    """Return SRV records whose targets begin at any label of some long names."""
    labels = b"".join(b"\1a" * 120 + b"\0" for _ in range(30))
    first = b"\0" + struct.pack(">HHIH", 10, 1, 60, len(labels)) + labels
    base = len(HEAD) + 11
    found = [HEAD[:6] + struct.pack(">H", records + 1) + HEAD[8:], first]
    for number in range(records):
        offset = base + number % 30 * 241 + number // 30 % 120 * 2
        found.append(b"\0" + struct.pack(">HHIHHHHH", SRV, 1, 60, 8, 0, 0, 80, 0xC000 | offset))
    return b"".join(found)


def cost(message: bytes) -> float:
    """Return the least CPU seconds of five attempts."""
    times = []
    for _ in range(5):
        began = time.thread_time()
        response(message, QUERY)
        times.append(time.thread_time() - began)
    return min(times)


@pytest.mark.parametrize(
    "message",
    [
        chained(2900),
        HEAD[:6] + b"\xff\xff" + HEAD[8:] + (b"\0" + struct.pack(">HHIH", A, 1, 60, 4) + b"\x0a\0\0\1") * 4300,
        HEAD[:6] + b"\xff\xff" + HEAD[8:] + (b"\0" + struct.pack(">HHIH", 99, 1, 60, 0)) * 5900,
        HEAD[:6] + b"\0\1" + HEAD[8:] + b"\1a" * 30_000,
    ],
    ids=["names in names", "addresses", "empty records", "one long name"],
)
def test_response_takes_less_than_50_ms_of_cpu(message: bytes) -> None:
    assert len(message) < 65536
    assert cost(message) < 0.05
