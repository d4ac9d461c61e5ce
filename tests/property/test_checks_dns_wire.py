"""The DNS codec accepts any bytes and agrees with twisted.names on messages that both parse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns

from pybal.checks.dns_wire import Malformed, RecordType, Reply, question, reply

LABELS = st.text("abcXYZ019-_", min_size=1, max_size=12)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
KINDS = st.sampled_from(RecordType)
NUMBERS = st.integers(0, 0xFFFF)
ASKED = question("www.example", RecordType.A)
NUMBER = b"\x12\x34"


def payloads() -> st.SearchStrategy[dns.RRHeader]:
    octets = st.integers(0, 255)
    addresses = st.tuples(octets, octets, octets, octets).map(lambda four: ".".join(map(str, four)))
    return st.one_of(
        st.builds(lambda n, a: dns.RRHeader(n, dns.A, payload=dns.Record_A(a)), NAMES, addresses),
        st.builds(lambda n, a: dns.RRHeader(n, dns.AAAA, payload=dns.Record_AAAA(f"::{a}")), NAMES, addresses),
        st.builds(lambda n, m: dns.RRHeader(n, dns.CNAME, payload=dns.Record_CNAME(m)), NAMES, NAMES),
        st.builds(lambda n, m: dns.RRHeader(n, dns.MX, payload=dns.Record_MX(5, m)), NAMES, NAMES),
        st.builds(lambda n, m: dns.RRHeader(n, dns.SOA, payload=dns.Record_SOA(m, m)), NAMES, NAMES),
        st.builds(lambda n, t: dns.RRHeader(n, dns.TXT, payload=dns.Record_TXT(t)), NAMES, st.binary(max_size=99)),
    )


SECTIONS = st.lists(payloads(), max_size=4)


def encoded(
    number: int, name: str, kind: RecordType, code: int, sections: tuple[list[dns.RRHeader], ...], *, truncated: bool
) -> bytes:
    made = dns.Message(id=number, answer=1, recDes=1, recAv=1, rCode=code, maxSize=0)
    made.trunc = truncated
    made.queries = [dns.Query(name, kind, dns.IN)]
    made.answers, made.authority, made.additional = sections
    return made.toStr()


@given(NAMES, KINDS, NUMBERS)
def test_question_equals_that_of_twisted_names(name: str, kind: RecordType, number: int) -> None:
    made = dns.Message(id=number, recDes=1)
    made.queries = [dns.Query(name, kind, dns.IN)]
    assert number.to_bytes(2, "big") + question(name, kind).data == made.toStr()


@given(
    NAMES, KINDS, NUMBERS, st.tuples(SECTIONS, SECTIONS, SECTIONS), st.builds(Reply, st.integers(0, 15), st.booleans())
)
def test_answer_of_twisted_names_is_parsed(
    name: str, kind: RecordType, number: int, sections: tuple[list[dns.RRHeader], ...], said: Reply
) -> None:
    data = encoded(number, name, kind, said.code, sections, truncated=said.truncated)
    assert reply(data, number.to_bytes(2, "big"), question(name, kind)) == said
    assert reply(data, (number ^ 1).to_bytes(2, "big"), question(name, kind)) is None
    assert reply(data, number.to_bytes(2, "big"), question(f"{name}.org", kind)) is None


@given(st.tuples(SECTIONS, SECTIONS, SECTIONS), st.sampled_from((0, 3)), st.data())
def test_part_of_an_answer_is_never_a_complete_reply(
    sections: tuple[list[dns.RRHeader], ...], code: int, data: st.DataObject
) -> None:
    whole = encoded(0x1234, "www.example", RecordType.A, code, sections, truncated=False)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert parsed(part) is None


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=600).map(lambda data: NUMBER + b"\x81\x80" + data)))
def test_any_bytes_are_a_reply_or_ignored_or_malformed(data: bytes) -> None:
    parsed(data)


@given(
    st.binary(min_size=2, max_size=2),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
    st.lists(st.one_of(st.binary(max_size=20), st.sampled_from((b"\xc0\x0c", b"\0\1\0\1\0\0\0\0\0\0", b"\0")))),
)
def test_bytes_after_the_question_are_parsed_like_twisted_names(
    flags: bytes, counts: list[int], rest: list[bytes]
) -> None:
    header = NUMBER + bytes((flags[0] | 0x80, flags[1])) + b"\0\1" + b"".join(n.to_bytes(2, "big") for n in counts)
    data = header + ASKED.data[10:] + b"".join(rest)
    ours = parsed(data)
    theirs = dns.Message()
    try:
        theirs.fromStr(data)
    except Exception:  # noqa: BLE001  # decoding raises whatever it meets
        return
    if ours is not None:
        assert (ours.code, ours.truncated) == (theirs.rCode, bool(theirs.trunc))
        assert theirs.id == 0x1234


def parsed(data: bytes) -> Reply | None:
    try:
        return reply(data, NUMBER, ASKED)
    except Malformed:
        return None
