"""Encoding and parsing of grpc.health.v1 messages."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.grpc_health import CODES, code_name, request, status


def frame(message: bytes, compressed: int = 0) -> bytes:
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


def test_server_is_requested_by_the_empty_name() -> None:
    assert request("") == b"\0\0\0\0\0"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("a.B", b"\0\0\0\0\x05\x0a\x03a.B"),
        ("é", b"\0\0\0\0\x04\x0a\x02\xc3\xa9"),
        ("x" * 300, b"\0\0\0\x01\x2f\x0a\xac\x02" + b"x" * 300),
    ],
)
def test_service_is_requested_by_its_name(service: str, expected: bytes) -> None:
    assert request(service) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", "UNKNOWN"),
        (b"\x08\x00", "UNKNOWN"),
        (b"\x08\x01", "SERVING"),
        (b"\x08\x02", "NOT_SERVING"),
        (b"\x08\x03", "SERVICE_UNKNOWN"),
        (b"\x08\x04", "status 4"),
        (b"\x08\x81\x00", "SERVING"),
        (b"\x08\x02\x08\x01", "SERVING"),
        (b"\x12\x02\x08\x02\x08\x01\x18\x02\x25abcd\x29abcdefgh", "SERVING"),
    ],
)
def test_status_is_field_1_among_other_fields(message: bytes, expected: str) -> None:
    assert status(frame(message)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        frame(b"\x08\x01")[:-1],
        frame(b"\x08\x01") + b"\0",
        frame(b"\x08\x01", compressed=1),
        frame(b"\x08"),
        frame(b"\x08" + b"\xff" * 10 + b"\x01"),
        frame(b"\x12\x05\x08\x01"),
        frame(b"\x0b"),
        frame(b"\x25abc"),
    ],
)
def test_invalid_response_raises_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        status(data)


@given(st.binary(max_size=60))
def test_any_message_is_a_status_or_an_error(message: bytes) -> None:
    with suppress(ValueError):
        assert status(frame(message))


def test_codes_have_names() -> None:
    assert [code_name(str(number)) for number in range(17)] == list(CODES)
    assert (code_name("5"), code_name("12"), code_name("14")) == ("NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE")
    assert [code_name(code) for code in ("17", "-1", "", "x", "9" * 5000, "²")] == [
        "gRPC status '17'",
        "gRPC status '-1'",
        "gRPC status ''",
        "gRPC status 'x'",
        "gRPC status '99999999999999999999'",
        "gRPC status '²'",
    ]
