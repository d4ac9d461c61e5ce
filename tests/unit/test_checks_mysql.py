"""The packets of the MySQL check, and their limits."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.mysql import PAYLOAD_LIMIT, PROTOCOL_41, check_login, login, read_greeting, split
from pybal.checks.result import CheckFailed

GREETING = b"\x0a10.11.19-MariaDB\0" + bytes(12) + b"\0" + b"\xfe\xf7" + b"\x08\x02\x00" + bytes(30)
DENIED = b"\xff\x15\x04#28000Access denied"


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def failure(call: object, *arguments: object) -> str:
    with pytest.raises(CheckFailed) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


@given(st.binary(min_size=1, max_size=300), st.binary(max_size=20))
def test_split_returns_the_first_packet_and_the_rest(payload: bytes, rest: bytes) -> None:
    data = packet(payload)
    assert split(data + rest) == (payload, rest)
    assert all(split(data[:end]) is None for end in range(len(data)))


@given(st.binary(max_size=10_000))
def test_split_accepts_or_refuses_any_bytes(data: bytes) -> None:
    try:
        found = split(data)
    except CheckFailed:
        return
    assert found is not None or len(data) < PAYLOAD_LIMIT + 4


@given(st.binary(min_size=1, max_size=200))
def test_greeting_and_login_are_read_or_refused_for_any_payload(payload: bytes) -> None:
    for read in (read_greeting, check_login):
        with suppress(CheckFailed):
            read(payload)


def test_greeting_has_the_capabilities() -> None:
    assert read_greeting(GREETING) == 0xF7FE
    assert read_greeting(GREETING) & PROTOCOL_41


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\x10\x04Too many connections", "answer: error 1040: Too many connections"),
        (b"\xff\x69\x04#HY000Host '\x1b[2J' is blocked", "answer: error 1129: Host '\\x1b[2J' is blocked"),
        (b"\xff\x10", "answer: error 16: "),
        (b"\x095.0\0" + bytes(40), "answer: '\\t5.0\\x00\\x00\\x00\\x00\\x00', wanted a MySQL greeting"),
        (b"\x0a5.0\0" + bytes(14), "answer: '\\n5.0\\x00\\x00\\x00\\x00\\x00', wanted a MySQL greeting"),
        (b"\x0a5.0", "answer: '\\n5.0', wanted a MySQL greeting"),
    ],
)
def test_other_greeting_is_refused(payload: bytes, reason: str) -> None:
    assert failure(read_greeting, payload) == reason


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", b"SSH-2.0-x", bytes(4), b"\0\xff\0\0"])
def test_other_protocol_is_refused_without_waiting_for_more(data: bytes) -> None:
    assert failure(split, data).endswith("wanted a MySQL greeting")


def test_login_has_the_format_of_protocol_41() -> None:
    expected = "2e00000100820000000000012100000000000000000000000000000000000000000000007573657231323334353637380000"
    assert login("user12345678", PROTOCOL_41).hex() == expected


def test_login_of_an_old_server_has_the_old_format() -> None:
    assert login("u", 0) == b"\x08\0\0\x01" + b"\0\0" + b"\0\0\x01" + b"u\0" + b"\0"


def test_login_is_refused_by_an_error_and_by_another_method() -> None:
    check_login(b"\0\0\0\x02\0\0\0")
    assert failure(check_login, DENIED) == "answer: login: error 1045: Access denied"
    assert failure(check_login, b"\xfe") == "answer: login: the account requires another authentication method"
