"""The commands and replies of the Redis check, and their limits."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.redis import BULK_LIMIT, LINE_LIMIT, Reply, Role, check, command, split
from pybal.checks.result import CheckFailed

LINES = st.binary(max_size=200).filter(lambda line: b"\r\n" not in line and not line.endswith(b"\r"))


def test_command_is_an_array_of_bulk_strings() -> None:
    assert command("AUTH", "é x") == b"*2\r\n$4\r\nAUTH\r\n$4\r\n\xc3\xa9 x\r\n"


@given(LINES, st.booleans(), st.binary(max_size=20))
def test_split_returns_a_line_and_the_rest(line: bytes, error: bool, rest: bytes) -> None:
    data = (b"-" if error else b"+") + line + b"\r\n"
    assert split(data + rest) == (Reply(line, error), rest)
    assert all(split(data[:end]) is None for end in range(len(data)))


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_split_returns_a_bulk_string_and_the_rest(text: bytes, rest: bytes) -> None:
    data = b"$%d\r\n%b\r\n" % (len(text), text)
    assert split(data + rest) == (Reply(text), rest)
    assert all(split(data[:end]) is None for end in range(len(data)))


@given(st.one_of(st.binary(max_size=3000), st.binary(max_size=200).map(lambda data: b"$" + data)))
def test_split_accepts_or_refuses_any_bytes(data: bytes) -> None:
    try:
        found = split(data)
    except CheckFailed:
        return
    assert found is not None or len(data) <= LINE_LIMIT + BULK_LIMIT


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"$x\r\n",
        b"$65537\r\n",
        b"$99999999999999999999\r\n",
        b"$2\r\nabcd",
        b"+" + bytes(LINE_LIMIT + 1),
        b"-" + bytes(LINE_LIMIT + 1) + b"\r\n",
    ],
)
def test_split_refuses_other_protocols_and_long_replies(data: bytes) -> None:
    with pytest.raises(CheckFailed, match="wanted a Redis reply"):
        split(data)


@given(st.sampled_from(["AUTH", "PING", "INFO"]), st.binary(max_size=300), st.booleans(), st.sampled_from(Role))
def test_check_accepts_or_refuses_any_reply(name: str, text: bytes, error: bool, role: Role) -> None:
    with suppress(CheckFailed):
        check(name, Reply(text, error), role)


@pytest.mark.parametrize(
    ("name", "reply", "reason"),
    [
        ("PING", Reply(b"PONG"), ""),
        ("PING", Reply(b"PONG "), "answer: 'PONG ', wanted a Redis reply"),
        ("PING", Reply(b"LOADING in memory", error=True), "answer: PING: LOADING in memory"),
        ("PING", Reply(b"\x1b[2J", error=True), "answer: PING: \\x1b[2J"),
        ("AUTH", Reply(b"OK"), ""),
        ("INFO", Reply(b"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"), ""),
        ("INFO", Reply(b"role:slave\r\nmaster_host:role:master\r\n"), "answer: role replica, wanted master"),
        ("INFO", Reply(b"role:sentinel\r\n"), "answer: role sentinel, wanted master"),
        ("INFO", Reply(b""), "answer: role unknown, wanted master"),
    ],
)
def test_check_compares_the_reply_with_the_expected_one(name: str, reply: Reply, reason: str) -> None:
    found = ""
    try:
        check(name, reply, Role.MASTER)
    except CheckFailed as failed:
        found = str(failed)
    assert found == reason
