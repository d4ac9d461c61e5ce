"""The expiry of certificates in DER form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.tls_handshake import not_after

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(end: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(1960, 1, 1, tzinfo=UTC)).not_valid_after(end)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


GOOD = certificate(datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC))


@pytest.mark.parametrize(
    "end",
    [
        datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_expiry_is_parsed(end: datetime) -> None:
    assert not_after(certificate(end)) == end


@given(st.binary(max_size=80) | st.just(GOOD[:-1]))
def test_garbage_has_no_expiry(data: bytes) -> None:
    assert not_after(data) is None


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_damaged_certificate_has_an_aware_expiry_or_none(position: int, byte: int) -> None:
    data = bytearray(GOOD)
    data[position] = byte
    expiry = not_after(bytes(data))
    assert expiry is None or expiry.tzinfo is UTC
