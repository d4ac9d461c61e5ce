"""Any input on the control socket is a request or raises RequestError."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from pybal.control.wire import Request, RequestError, read_reply, read_request, write_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
LINE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=100)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 5000)
@example(b'{"version": ' + b"9" * 5000 + b"}")
def test_bytes_are_a_request_or_refused(line: bytes) -> None:
    with suppress(RequestError):
        assert isinstance(read_request(line), Request)
    with suppress(RequestError):
        read_reply(line)


@given(st.fixed_dictionaries({"version": st.just(1)}, optional={"command": JSON, "arguments": JSON, "reason": JSON}))
def test_accepted_request_has_a_printable_reason(fields: object) -> None:
    with suppress(RequestError):
        request = read_request(json.dumps(fields).encode())
        assert request.reason.isprintable()
        for name in request.arguments:
            for read in (request.text, request.flag, lambda n: request.seconds(n, 1.0, 10.0)):
                with suppress(RequestError):
                    read(name)


@given(LINE, st.dictionaries(st.text(), st.integers() | st.text()), LINE)
def test_request_survives_a_round_trip(command: str, arguments: dict[str, object], reason: str) -> None:
    request = Request(command, arguments, reason)
    line = write_request(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_request(line) == request
