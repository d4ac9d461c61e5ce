"""Responses that repeat the credentials of their request are refused, and no part of these is shown."""

from __future__ import annotations

from base64 import b64encode

import pytest

from pybal.http.echo import REFUSAL, Secrets
from pybal.http.errors import Fault, ProtocolError

TOKEN = "tokenSECRET0123456789"
BASIC = b64encode(b"joe:passSECRETword").decode()
ODD = b64encode(b'joe:SECRET/"<&+ word').decode()


@pytest.mark.parametrize(
    ("value", "echo"),
    [
        (f"Bearer {TOKEN}", f"{{ 'host': 'Bearer {TOKEN}' }}"),
        (f"Bearer {TOKEN}", TOKEN),
        (TOKEN, f"Location: /?{TOKEN}"),
        (f"Basic {BASIC}", f"Authorization: Basic {BASIC}"),
        (f"Basic {BASIC}", "user joe:passSECRETword"),
        (f"Basic {BASIC}", "wrong password passSECRETword"),
        ("Basic ?broken?", "x ?broken?"),
        (f"Basic {ODD}", 'wrong password SECRET/"<&+ word'),
        (f"Basic {ODD}", r'{"message": "wrong password SECRET/\"<&+ word"}'),
        (f"Basic {ODD}", "wrong password SECRET/&quot;&lt;&amp;+ word"),
        (f"Basic {ODD}", "Location: /login?password=SECRET%2F%22%3C%26%2B%20word"),
        (f"Basic {ODD}", "Location: /login?password=SECRET%2f%22%3c%26%2b+word"),
        (f"Basic {ODD}", "http://joe:SECRET/%22%3C%26%2B%20word@pools/"),
    ],
)
def test_repeated_credentials_are_refused(value: str, echo: str) -> None:
    secrets = Secrets({"Authorization": value})
    secrets.refuse(b"HTTP/1.1 200 OK", b"joe")
    with pytest.raises(ProtocolError, match=REFUSAL) as caught:
        secrets.refuse(b"HTTP/1.1 200 OK", echo.encode())
    assert "SECRET" not in str(caught.value)


def test_other_secrets_of_a_request_are_refused_too() -> None:
    with pytest.raises(ProtocolError, match=REFUSAL):
        Secrets({}, ["passSECRETword"]).refuse(b'{"error":"no user passSECRETword"}')


@pytest.mark.parametrize("fields", [{}, {"Authorization": ""}, {"Authorization": "Bearer abc"}])
def test_request_without_a_long_secret_accepts_any_response(fields: dict[str, str]) -> None:
    Secrets(fields).refuse(b"abc", b"")


def test_error_with_a_part_of_a_secret_is_replaced() -> None:
    secrets = Secrets({"Authorization": f"Bearer {TOKEN}"})
    secrets.refuse_text(ProtocolError("no response", Fault.NO_RESPONSE))
    with pytest.raises(ProtocolError) as caught:
        secrets.refuse_text(ProtocolError(f"bad header {TOKEN[:12]}...", Fault.MALFORMED))
    assert (str(caught.value), caught.value.fault) == (REFUSAL, Fault.MALFORMED)


def test_secret_in_two_pieces_of_a_stream_is_refused() -> None:
    pieces = list[bytes]()
    guard = Secrets({"Authorization": f"Bearer {TOKEN}"}).guarded(pieces.append)
    data = f"first line{TOKEN}".encode()
    for at in range(len(data) - 1):
        guard(data[at : at + 1])
    with pytest.raises(ProtocolError, match=REFUSAL):
        guard(data[-1:])
    assert b"".join(pieces) == data[:-1]
