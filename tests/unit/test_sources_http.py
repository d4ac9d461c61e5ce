"""Validators and age of HTTP responses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.http.message import Response
from pybal.sources.base import SourceError
from pybal.sources.http import refuse_old, validators

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"
LATER = "Sat, 21 Nov 2026 12:00:02 GMT"


def response(*fields: str) -> Response:
    made = Response()
    made.feed("\r\n".join(("HTTP/1.1 200 OK", *fields, "", "")).encode("latin-1"))
    return made


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ((), {}),
        (('ETag: "a"',), {"If-None-Match": '"a"'}),
        (('ETag: W/"a"',), {"If-None-Match": 'W/"a"'}),
        ((f"Last-Modified: {NOON}", f"Date: {LATER}"), {"If-Modified-Since": NOON}),
        (
            (f"Last-Modified: {NOON}", f"Date: {LATER}", 'ETag: "a"'),
            {"If-None-Match": '"a"', "If-Modified-Since": NOON},
        ),
        ((f"Last-Modified: {NOON}", "Date: Sat, 21 Nov 2026 12:00:01 GMT", 'ETag: "a"'), {}),
        ((f"Last-Modified: {LATER}", f"Date: {NOON}", 'ETag: "a"'), {}),
        ((f"Last-Modified: {NOON}", 'ETag: "a"'), {}),
        ((f"Last-Modified: {NOON}", "Date: yesterday"), {}),
        (("Last-Modified: -1", f"Date: {LATER}"), {}),
        ((f"Last-Modified: {NOON}", "Date: Sat, 21 Nov 2026 12:00:02 -0000"), {}),
        ((f"Last-Modified: {NOON}", f"Date: Sat, 21 Nov {10**30} 12:00:02 GMT"), {}),
        (('ETag: "\xe9"',), {}),
        (('ETag: "a\x00b"',), {}),
    ],
)
def test_validators_are_sent_unless_two_lists_may_share_them(fields: tuple[str, ...], found: dict[str, str]) -> None:
    assert validators(response(*fields)) == found


@given(*[st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)] * 3)
def test_validators_are_valid_header_fields_for_any_response(etag: str, modified: str, date: str) -> None:
    found = validators(response(f"ETag: {etag}", f"Last-Modified: {modified}", f"Date: {date}"))
    assert all(value.isprintable() and value.isascii() and value for value in found.values())


@pytest.mark.parametrize("age", ["", "0", "300", "-1", "1e9", "²", "301x"])
def test_source_accepts_an_age_that_is_invalid_or_small(age: str) -> None:
    refuse_old(response(f"Age: {age}"), 300.0)


@pytest.mark.parametrize("age", ["301", "9" * 400])
def test_source_refuses_a_cached_response_that_is_too_old(age: str) -> None:
    with pytest.raises(SourceError, match=r"cached response is .* s old, wanted at most 300 s"):
        refuse_old(response(f"Age: {age}"), 300.0)
