"""The memory of an HTTP connection: the body of a response, and what is kept of it afterwards."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from pybal.http.connection import HTTPConnection, HTTPConnectionFactory
from pybal.http.errors import ProtocolError

LIMIT = 4 * 2**20
MIB = 2**20
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    tracemalloc.start()
    connection = HTTPConnectionFactory(Clock(), LIMIT, secure=False).buildProtocol(None)
    connection.makeConnection(StringTransport())  # type: ignore[no-untyped-call]  # Twisted's
    yield connection
    tracemalloc.stop()


def test_connection_keeps_no_body_of_a_response_that_is_too_long(connection: HTTPConnection) -> None:
    failed: list[str] = []
    connection.send(b"", None, None).addErrback(lambda failure: failed.append(failure.getErrorMessage()))
    connection.dataReceived(HEAD + b"\r\n")
    while not failed:
        connection.dataReceived(bytes(65536))
    assert failed == [f"more than {LIMIT} bytes"]
    assert tracemalloc.get_traced_memory()[0] < MIB


def test_connection_keeps_no_body_of_a_response_that_was_returned(connection: HTTPConnection) -> None:
    lengths: list[int] = []
    connection.send(b"", None, None).addCallback(lambda answer: lengths.append(len(answer.body)))
    connection.dataReceived(HEAD + b"Content-Length: 3145728\r\n\r\n")
    for _ in range(48):
        connection.dataReceived(bytes(65536))
    assert lengths == [3 * MIB]
    assert connection.is_free
    assert tracemalloc.get_traced_memory()[0] < MIB


def test_body_in_chunks_of_4_bytes_takes_little_more_than_its_size(connection: HTTPConnection) -> None:
    connection.send(b"", None, None).addErrback(lambda failure: failure.trap(ProtocolError))
    connection.dataReceived(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(64):
        connection.dataReceived(b"4\naaaa\n" * 1024)
    assert tracemalloc.get_traced_memory()[0] < 0.75 * MIB
    connection.abort()
