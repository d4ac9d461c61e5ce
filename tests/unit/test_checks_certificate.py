"""When certificates end, in all the ways to write it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.certificate import not_after


def element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 128 | size)) + length.to_bytes(size, "big") + content


def certificate(end: bytes, tag: int = 0x17, *, version: bool = True, issuer: bytes = b"") -> bytes:
    fields = [element(0xA0, b"\x02\x01\x02")] if version else []
    fields += [element(2, b"\x01"), element(0x30, b""), element(0x30, issuer)]
    fields += [element(0x30, element(0x17, b"200101000000Z") + element(tag, end)), element(0x30, b"")]
    return element(0x30, element(0x30, b"".join(fields)) + element(0x30, b"") + element(3, b"\0"))


@pytest.mark.parametrize(
    ("end", "tag", "expected"),
    [
        (b"261125123456Z", 0x17, datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)),
        (b"491231235959Z", 0x17, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"500101000000Z", 0x17, datetime(1950, 1, 1, tzinfo=UTC)),
        (b"20500101000000Z", 0x18, datetime(2050, 1, 1, tzinfo=UTC)),
        (b"99991231235959Z", 0x18, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("version", [True, False])
@pytest.mark.parametrize("issuer", [b"", b"x" * 127, b"x" * 128, b"x" * 70_000])
def test_the_end_is_read(end: bytes, tag: int, expected: datetime, version: bool, issuer: bytes) -> None:
    assert not_after(certificate(end, tag, version=version, issuer=issuer)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"\x30\x85",
        certificate(b"261125123456Z")[:-1],
        certificate(b"261125123456+0100"),
        certificate(b"\xff"),
        certificate(b"261125123456Z", tag=4),
        certificate(b"20261325123456Z", tag=0x18),
    ],
)
def test_what_cannot_be_read_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        not_after(data)


@given(st.binary(max_size=80))
def test_garbage_is_an_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ValueError):
        not_after(data)


@given(st.integers(0, 200), st.integers(0, 255))
def test_damage_is_an_error_or_another_date(position: int, byte: int) -> None:
    data = bytearray(certificate(b"261125123456Z", issuer=b"x" * 130))
    data[position % len(data)] = byte
    with suppress(ValueError):
        assert not_after(bytes(data)).tzinfo is UTC
