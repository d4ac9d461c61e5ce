"""Encoding of a DNS query and parsing of its answer."""

from __future__ import annotations

import pytest

from pybal.checks.dns_wire import Malformed, RecordType, Reply, code_name, question, reply

NUMBER = b"\x12\x34"
ASKED = question("www.example.org", RecordType.A)
SECTION = b"\3www\7example\3org\0\0\1\0\1"
POINTER = b"\xc0\x0c"
RECORD = POINTER + b"\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"


def message(  # the parts of a message, one by one
    records: bytes = b"",
    *,
    number: bytes = NUMBER,
    flags: bytes = b"\x81\x80",
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    section: bytes = SECTION,
) -> bytes:
    return number + flags + b"".join(count.to_bytes(2, "big") for count in counts) + section + records


def test_question_is_a_header_without_id_and_a_section() -> None:
    assert ASKED.data == bytes.fromhex("0100 0001 0000 0000 0000") + SECTION
    assert question("www.example.org.", RecordType.AAAA).data[10:] == b"\3www\7example\3org\0\0\x1c\0\1"


def test_question_has_a_text_for_people() -> None:
    assert ASKED.text == "www.example.org A"
    assert question("WWW.example.", RecordType.AAAA).text == "WWW.example. AAAA"


def test_longest_name_is_encoded() -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(question(name, RecordType.A).data) == 10 + 255 + 4


@pytest.mark.parametrize(
    "data",
    [
        message(),
        message(RECORD, counts=(1, 1, 0, 0)),
        message(RECORD * 3, counts=(1, 1, 1, 1)),
        message(b"\3www" + RECORD, counts=(1, 1, 0, 0)),
        message(b"\0" + RECORD[2:], counts=(1, 1, 0, 0)),
        message(RECORD, counts=(1, 0, 0, 0)),
        message(section=SECTION.upper()),
    ],
    ids=["no records", "one", "of each section", "label and pointer", "root", "more than announced", "other letters"],
)
def test_answer_contains_its_code(data: bytes) -> None:
    assert reply(data, NUMBER, ASKED) == Reply(0, truncated=False)


@pytest.mark.parametrize("code", range(16))
def test_every_code_is_returned(code: int) -> None:
    assert reply(message(flags=bytes((0x81, 0x80 | code))), NUMBER, ASKED) == Reply(code, truncated=False)


def test_codes_have_names() -> None:
    assert [code_name(code) for code in (0, 1, 2, 3, 4, 5, 15)] == [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "RCODE 15",
    ]


def test_truncated_answer_may_end_anywhere() -> None:
    data = message(RECORD[:9], flags=b"\x83\x80", counts=(1, 7, 0, 0))
    assert reply(data, NUMBER, ASKED) == Reply(0, truncated=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        message()[:11],
        message(number=b"\x12\x35"),
        message(flags=b"\x01\x80"),
        message(flags=b"\x91\x80"),
        message(section=b"\3www\7example\3net\0\0\1\0\1"),
        message(section=b"\3www\7example\3org\0\0\x1c\0\1"),
        message(section=b"\3www\7example\3org\0\0\1\0\3"),
        message(section=SECTION[:-1]),
        message(counts=(2, 0, 0, 0)),
        message(counts=(0, 0, 0, 0)),
        message(counts=(0, 0, 0, 0), section=b""),
        message(counts=(0, 0, 0, 0), section=b"", flags=b"\x81\x83"),
    ],
    ids=[
        "empty",
        "half a header",
        "other number",
        "a query",
        "other opcode",
        "other name",
        "other type",
        "other class",
        "half a question",
        "two questions",
        "no question, but there",
        "no question",
        "no question and no such name",
    ],
)
def test_answer_to_another_query_is_ignored(data: bytes) -> None:
    assert reply(data, NUMBER, ASKED) is None


def test_error_may_omit_the_question() -> None:
    data = message(counts=(0, 0, 0, 0), section=b"", flags=b"\x83\x81")
    assert reply(data, NUMBER, ASKED) == Reply(1, truncated=False)


def test_records_of_an_error_are_ignored() -> None:
    data = message(RECORD[:5], counts=(1, 9, 9, 9), flags=b"\x81\x82")
    assert reply(data, NUMBER, ASKED) == Reply(2, truncated=False)


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize(
    ("records", "counts", "reason"),
    [
        (b"", (1, 1, 0, 0), "record 1 of 1 is truncated"),
        (RECORD, (1, 0, 1, 1), "record 2 of 2 is truncated"),
        (RECORD[:-1], (1, 0, 0, 1), "record 1 of 1 is truncated"),
        (RECORD[:3], (1, 1, 0, 0), "record 1 of 1 is truncated"),
        (b"\xc0", (1, 1, 0, 0), "record 1 of 1 is truncated"),
        (b"\x0dexample", (1, 1, 0, 0), "record 1 of 1 is truncated"),
        (b"\xc0\x21" + RECORD[2:], (1, 1, 0, 0), "compression pointer that points forward"),
        (b"\xff\xff" + RECORD[2:], (1, 1, 0, 0), "compression pointer that points forward"),
        (b"\x40" + b"a" * 64 + RECORD, (1, 1, 0, 0), "invalid name"),
        (b"\x3f" + b"\x3f" * 400 + RECORD, (1, 1, 0, 0), "invalid name"),
    ],
)
def test_inconsistent_answer_is_malformed(
    code: int, records: bytes, counts: tuple[int, int, int, int], reason: str
) -> None:
    with pytest.raises(Malformed, match=reason):
        reply(message(records, counts=counts, flags=bytes((0x81, 0x80 | code))), NUMBER, ASKED)
