"""HTTP responses of servers and sources."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

import h11

from pybal.config.errors import InvalidValueError
from pybal.config.url_options import check_url
from pybal.http.echo import Secrets
from pybal.http.errors import ProtocolError, ResponseError
from pybal.http.message import HEAD_LIMIT, Response, glance, host_of, request, target_of
from pybal.sources.base import SourceError
from pybal.sources.http import refuse_old, validators
from tests.fuzz.target import Fuzzed, choices, is_line, target

LIMIT = 300
"""Bytes of a body that the target accepts, so that small inputs exceed it."""


class Parsed(NamedTuple):
    """A response, and the reason if it was refused."""

    refused: str
    status: int
    body: bytes
    complete: bool


def parsed(pieces: list[bytes], *, bodiless: bool, closed: bool) -> tuple[Parsed, Response]:
    """Feed a response in pieces, then the end of the connection."""
    body: list[bytes] = []
    response = Response(LIMIT, bodiless=bodiless, body=body.append)
    refused = ""
    try:
        for piece in pieces:
            response.feed(piece)
        if closed:
            response.close()
    except ResponseError as error:
        refused = str(error)
        is_line(refused, 200)
        is_line(error.cause, 100)
    assert response.received == len(b"".join(body)) or refused
    assert not (refused and response.complete)
    if response.complete:
        assert response.expected in (None, response.received)
    return Parsed(refused, response.status, b"" if refused else b"".join(body), response.complete), response


@target(
    "pybal.http.message",
    seeds=[
        choices(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 1, 0),
        choices(b"HTTP/1.0 404 Not\r\nA: b\r\n\r\nbody", 1, 0, 5),
        choices(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: x\r\n\r\n", 0, 0, 9),
        choices(b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1", 0, 0, 1),
        choices(b"HTTP/1.1 200 OK\nContent-Encoding: gzip\nTransfer-Encoding: identity\nContent-Length: 1\n\na", 0, 1, 2),
    ],
    words=("chunked", "identity", "gzip", "Content-Length: ", "Transfer-Encoding: ", "\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
)  # fmt: skip
def http_response(data: bytes) -> None:
    """Any split gives the same result; `glance` and h11 agree on what they accept."""
    fuzzed = Fuzzed(data)
    bodiless, closed = fuzzed.flag(), fuzzed.flag()
    pieces = fuzzed.pieces()
    text = b"".join(pieces)
    whole, response = parsed([text], bodiless=bodiless, closed=closed)
    split, _ = parsed(pieces, bodiless=bodiless, closed=closed)
    assert split == whole, (split, whole)
    if status := glance(text):
        assert (whole.status, whole.complete or bodiless) == (status, True)
    judged = judge(text, "HEAD" if bodiless else "GET", closed=closed)
    if judged is not None and whole.complete:
        assert judged == (whole.status, whole.body)
    if response.complete and response.persists:
        assert text.startswith(b"HTTP/1.1")


def judge(text: bytes, method: str, *, closed: bool) -> tuple[int, bytes] | None:
    """Return status and body of the complete response that h11 finds, ``None`` without one."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    with suppress(h11.RemoteProtocolError):
        client.receive_data(text)
        if closed and text:
            client.receive_data(b"")
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    return None


@target(
    "pybal.sources.http",
    seeds=[
        b'ETag: "a"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nDate: Mon, 01 Jan 2024 00:02:00 GMT\r\nAge: 1',
        b"Age: 99999999999999999999\r\nLast-Modified: 0\r\nDate: x",
    ],
    words=("ETag: ", "Last-Modified: ", "Date: ", "Age: ", "GMT", "-0000"),
)
def http_source_head(data: bytes) -> None:
    """Fields of a source's response never break the next request."""
    response = Response(body=lambda _: None)
    try:
        response.feed(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
    except ResponseError:
        return
    for name, value in validators(response).items():
        assert re.fullmatch("[A-Za-z-]+", name)
        is_line(value, HEAD_LIMIT)
        assert value.isascii()
    try:
        refuse_old(response, 60.0)
    except SourceError as error:
        is_line(str(error))


@target("pybal.http.echo", seeds=[b"token\0abc tok&quot;en", b'p"<w&rd+/=\0x p%22%3cw%26rd%2B%2f%3D'])
def http_echo(data: bytes) -> None:
    """A secret is found in a body cut anywhere."""
    fuzzed = Fuzzed(data)
    pieces = fuzzed.pieces()
    secret = b"".join(pieces).partition(b"\0")[0].decode("latin-1")
    if not secret.isprintable() or not secret.isascii():
        return
    secrets = Secrets({"Authorization": f"Bearer {secret}"} if " " not in secret else {}, [secret])
    received: list[bytes] = []
    guard = secrets.guarded(received.append)
    refused = False
    try:
        for piece in pieces:
            guard(piece)
    except ProtocolError:
        refused = True
    try:
        secrets.refuse(b"".join(pieces))
    except ProtocolError:
        assert refused
    else:
        assert not refused
        assert b"".join(received) == b"".join(pieces)


@target(
    "pybal.http.message",
    seeds=[b"http://a.example:80/x?y=z#f", b"http://[::1]/\xc3\xa4?%", b"https://b\xc3\xbccher.example/ "],
)
def http_request(data: bytes) -> None:
    """The request for any URL that options accept is one request, to its path only."""
    try:
        url = check_url(data.decode("latin-1"))
    except InvalidValueError:
        return
    made = request(url, version="1.1")
    server = h11.Connection(h11.SERVER)
    server.receive_data(made)
    asked = server.next_event()
    assert isinstance(asked, h11.Request), asked
    assert asked.target == target_of(url).encode()
    assert dict(asked.headers)[b"host"].decode().strip("[]") == host_of(url)
    assert isinstance(server.next_event(), h11.EndOfMessage)
    assert server.trailing_data == (b"", False)
