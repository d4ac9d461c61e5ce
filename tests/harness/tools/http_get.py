"""One HTTP request as the tools of users make it: a new connection, a timeout, no redirects."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

UNREACHABLE = (OSError, HTTPException)
"""The exceptions of a request without a complete response; ``TimeoutError`` is one of them."""


class Response(NamedTuple):
    status: int
    body: str

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def http_get(url: str, timeout: float, headers: Mapping[str, str]) -> Response:
    """Return the response; the Host header is host and port of ``url``. Raises :data:`UNREACHABLE`."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request("GET", parts.path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return Response(answer.status, answer.read().decode())
    finally:
        connection.close()
