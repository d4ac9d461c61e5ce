"""HTTP messages: exact bytes of requests, and responses in any pieces."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pybal.http import message
from pybal.http.errors import ResponseError
from pybal.http.message import Response, glance, host_of, request

Outcome = str | tuple[int, int, bool]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def outcome(pieces: list[bytes], *, closed: bool = False) -> Outcome:
    """Return the error of a response in these pieces, or its status, body size and completeness."""
    response = Response()
    try:
        for piece in pieces:
            response.feed(piece)
        if closed:
            response.close()
    except ResponseError as error:
        return f"{error.part}: {error}"
    return (response.status, response.received, response.complete)


def read_to_the_end(data: bytes) -> None:
    response = Response()
    response.feed(data)
    response.close()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


class TestRequest:
    def test_request_matches_pybal_115(self) -> None:
        assert request("http://en.wikipedia.org/wiki/Main_Page") == (
            b"GET /wiki/Main_Page HTTP/1.0\r\nHost: en.wikipedia.org\r\nUser-Agent: Twisted PageGetter\r\n\r\n"
        )

    @pytest.mark.parametrize(
        ("url", "line", "host"),
        [
            ("http://a.example", "GET / HTTP/1.0", "a.example"),
            ("http://a.example?x=1", "GET /?x=1 HTTP/1.0", "a.example"),
            ("https://a.example:8443/x/y?q=a%20b&c=d#part", "GET /x/y?q=a%20b&c=d HTTP/1.0", "a.example"),
            ("http://user:secret@a.example/", "GET / HTTP/1.0", "a.example"),
            ("http://[2001:db8::1]:80/x", "GET /x HTTP/1.0", "[2001:db8::1]"),
            ("http://192.0.2.1:8080/x", "GET /x HTTP/1.0", "192.0.2.1"),
            ("http://a.example/a b\u00e9", "GET /a%20b%C3%A9 HTTP/1.0", "a.example"),
            ("http://b\u00fccher.example/", "GET / HTTP/1.0", "xn--bcher-kva.example"),
        ],
    )
    def test_request_has_path_query_and_host_without_a_port(self, url: str, line: str, host: str) -> None:
        lines = request(url).decode("ascii").split("\r\n")
        assert lines == [line, f"Host: {host}", "User-Agent: Twisted PageGetter", "", ""]

    @given(st.text())
    def test_request_has_four_lines_for_any_path(self, path: str) -> None:
        assert request("http://a.example/" + path.replace("[", "").replace("]", "")).count(b"\n") == 4

    def test_host_of_strips_port_and_brackets(self) -> None:
        assert host_of("https://A.example:443/") == "a.example"
        assert host_of("https://[2001:db8::1]:443/") == "2001:db8::1"


class TestGlance:
    @pytest.mark.parametrize(
        "data",
        [
            OK,
            OK + b"more than was announced",
            b"HTTP/1.0 200\r\ncontent-length:5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nServer: x\r\nCONTENT-LENGTH:  5 \r\nDate: y\r\n\r\nhello",
        ],
    )
    def test_glance_accepts_complete_ordinary_responses(self, data: bytes) -> None:
        assert glance(data) == 200

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            OK[:-1],
            OK.replace(b"\r\n\r\n", b"\r\n"),
            OK.replace(b"HTTP", b"HTCP"),
            OK.replace(b"200 OK", b"2000 OK"),
            OK.replace(b"200 OK", b"20"),
            OK.replace(b"200", b"100"),
            OK.replace(b"200", b"204"),
            OK.replace(b"200", b"304"),
            OK.replace(b": 5", b": +5"),
            OK.replace(b": 5", b": 5, 5"),
            OK.replace(b": 5", b": 5\r\nContent-Length: 4"),
            OK.replace(b": 5", b": 5\r\nTransfer-Encoding: chunked"),
            OK.replace(b"Content-Length: 5", b"Server: x"),
            OK.replace(b"OK\r\n", b"OK\n\n"),
            OK.replace(b"OK\r\n", b"OK\n\r\n"),
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n\r\n",
        ],
    )
    def test_glance_declines_everything_else(self, data: bytes) -> None:
        assert glance(data) == 0

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"HTTP/1.1 200 OK",
                    b"HTTP/1.0 404",
                    b"HTTP/1.1 100 Continue",
                    b"HTTP/1.1 204 No Content",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"\r\n\r\n",
                    b"Content-Length: 3",
                    b"content-length:",
                    b"Content-Length : 2",
                    b" 1",
                    b"Transfer-Encoding: chunked",
                    b"3\r\nabc\r\n0",
                    b"abc",
                ]
            ),
            max_size=12,
        )
    )
    @example([b"HTTP/1.1 200 OK", b"\r\n", b"Content-Length: 3", b"\r\n\r\n", b"abc"])
    def test_glance_agrees_with_response(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        status = glance(data)
        if status:
            response = Response()
            assert response.feed(data)
            assert response.status == status


RESPONSES: dict[str, tuple[bytes, Outcome]] = {
    "content-length": (OK, (200, 5, True)),
    "more than announced": (OK + b"xx", (200, 5, True)),
    "no body announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, 0, True)),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        (200, 13, True),
    ),
    "chunked wins over content-length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        (200, 1, True),
    ),
    "interim responses": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, (200, 5, True)),
    "204": (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", (204, 0, True)),
    "304": (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", (304, 0, True)),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00\x01", (101, 0, True)),
    "bare line feeds": (b"HTTP/1.0 200 OK\nContent-Length: 2\n\nok", (200, 2, True)),
    "the same length twice": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok",
        (200, 2, True),
    ),
    "until closed, still open": (b"HTTP/1.0 200 OK\r\n\r\nhello", (200, 5, False)),
    "a line without a colon": (b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok", (200, 2, True)),
    "body short": (OK[:-2], (200, 3, False)),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "headers: not HTTP/1: 'SSH-2.0-OpenSSH_9.2p'"),
    "a short line that is not HTTP": (b"+OK\r\n", "headers: not HTTP/1: '+OK'"),
    "bad status line": (b"HTTP/1.1 2x0 OK\r\n\r\n", "headers: bad status line 'HTTP/1.1 2x0 OK'"),
    "bad content-length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        "headers: bad content-length '0x5'",
    ),
    "negative content-length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "headers: bad content-length '-5'",
    ),
    "conflicting content-lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "headers: conflicting content-lengths",
    ),
    "more than is read": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "body: more than 67108864 bytes",
    ),
    "bad chunk size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
        "body: bad chunk size 'xyz'",
    ),
    "chunk exceeds its size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        "body: chunk exceeds its size by 'c'",
    ),
    "headers without end": (
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * message.HEAD_LIMIT,
        "headers: more than 65536 bytes",
    ),
    "interim responses without end": (
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
        "headers: more than 65536 bytes",
    ),
    "trailers without end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 11000,
        "body: more than 65536 bytes of trailers",
    ),
    "endless chunk size line": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000,
        "body: chunk size line longer than 4096 bytes",
    ),
}


class TestResponse:
    @pytest.mark.parametrize("name", RESPONSES)
    def test_response_parses_in_one_piece(self, name: str) -> None:
        data, expected = RESPONSES[name]
        assert outcome([data]) == expected

    @pytest.mark.parametrize("name", [name for name in RESPONSES if len(RESPONSES[name][0]) < 1000])
    def test_response_parses_byte_by_byte(self, name: str) -> None:
        data, expected = RESPONSES[name]
        assert outcome([data[i : i + 1] for i in range(len(data))]) == expected

    @given(st.sampled_from(sorted(RESPONSES)), st.lists(st.integers(0, 70000), max_size=6))
    def test_response_parses_the_same_in_any_pieces(self, name: str, cuts: list[int]) -> None:
        data, expected = RESPONSES[name]
        assert outcome(split(data, cuts)) == expected

    @given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.booleans())
    def test_response_parses_arbitrary_bytes_the_same_in_any_pieces(
        self, data: bytes, cuts: list[int], closed: bool
    ) -> None:
        assert outcome(split(data, cuts), closed=closed) == outcome([data], closed=closed)

    @given(
        st.sampled_from(sorted(RESPONSES)),
        st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3)), max_size=5),
        st.lists(st.integers(0, 500), max_size=4),
        st.booleans(),
    )
    def test_response_parses_damaged_input_the_same_in_any_pieces(
        self, name: str, changes: list[tuple[int, bytes]], cuts: list[int], closed: bool
    ) -> None:
        data = RESPONSES[name][0][:500]
        for place, new in changes:
            data = data[:place] + new + data[place + 1 :]
        assert outcome(split(data, cuts), closed=closed) == outcome([data], closed=closed)

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "headers: connection closed before a response"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "headers: connection closed before a response"),
            (b"HTTP/1.1 200", "headers: connection closed after 12 bytes"),
            (b"SSH", "headers: not HTTP/1: 'SSH'"),
            (OK[:-2], "body: connection closed after 3 of 5 bytes"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
                "body: connection closed after 2 bytes of unknown length",
            ),
            (b"HTTP/1.0 200 OK\r\n\r\nhello", (200, 5, True)),
            (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", (200, 5, True)),
            (OK, (200, 5, True)),
        ],
    )
    def test_response_reports_an_early_end_of_the_connection(self, data: bytes, expected: Outcome) -> None:
        assert outcome([data], closed=True) == expected

    @pytest.mark.parametrize(
        ("data", "cause"),
        [
            (b"SSH-2.0\r\n", "not HTTP/1"),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", "bad status line"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad content-length"),
            (OK[:-2], "connection closed"),
            (OK[:12], "connection closed"),
        ],
    )
    def test_error_cause_has_no_measured_values(self, data: bytes, cause: str) -> None:
        with pytest.raises(ResponseError) as raised:
            read_to_the_end(data)
        assert raised.value.cause == cause

    def test_response_refuses_a_body_over_the_limit(self) -> None:
        response = Response()
        response.feed(b"HTTP/1.0 200 OK\r\n\r\n")
        piece = bytes(1024 * 1024)
        for _ in range(64):
            response.feed(piece)
        with pytest.raises(ResponseError, match="more than 67108864 bytes"):
            response.feed(b"x")

    def test_response_refuses_more_chunk_headers_than_data(self) -> None:
        response = Response()
        response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(65):
            response.feed(b"1;" + b"x" * 4000 + b"\r\na\r\n")
        with pytest.raises(ResponseError) as refused:
            response.feed(b"1;" + b"x" * 4000 + b"\r\na\r\n")
        assert str(refused.value) == "264443 bytes of chunk headers for 66 bytes of the body"
        assert refused.value.cause == "more chunk headers than data"

    def test_response_accepts_many_chunks_of_one_byte(self) -> None:
        response = Response()
        response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        response.feed(b"1\r\na\r\n" * 50_000)
        assert response.feed(b"0\r\n\r\n")
        assert response.received == 50_000

    def test_response_refuses_more_than_1000_header_lines(self) -> None:
        accepted = Response()
        accepted.feed(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 999 + b"\r\n")
        assert accepted.status == 200
        with pytest.raises(ResponseError, match=r"more than 1000 header lines"):
            Response().feed(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1001 + b"\r\n")

    def test_response_does_not_store_the_body(self) -> None:
        response = Response()
        piece = bytes(2**20)
        tracemalloc.start()
        response.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n")
        for _ in range(30):
            response.feed(piece)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert response.progress == "31457280 of 33554432 bytes"
        assert used < len(piece)

    def test_field_returns_header_values_by_name(self) -> None:
        response = Response()
        response.feed(
            b'HTTP/1.1 103 Early\r\nETag: no\r\n\r\nHTTP/1.1 200 OK\r\nETAG :  "a" \r\nVary: a\r\nvary: \xe9\r\n\r\n'
        )
        assert (response.field("etag"), response.field("vary"), response.field("var")) == ('"a"', "a, \xe9", "")

    def test_field_is_empty_before_the_headers_arrive(self) -> None:
        assert (Response().field("etag"), Response().persists) == ("", False)

    @pytest.mark.parametrize(
        ("data", "persists", "surplus"),
        [
            (OK, True, 0),
            (OK[:-1], False, 0),
            (OK + b"HT", False, 2),
            (OK.replace(b"1.1", b"1.0"), False, 0),
            (OK.replace(b"OK\r\n", b"OK\r\nConnection: x, Close\r\n"), False, 0),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", True, 0),
            (b"HTTP/1.1 304 Not Modified\r\n\r\nhello", False, 5),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True, 0),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nxyz", False, 3),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", False, 0),
        ],
    )
    def test_persists_is_true_only_for_a_reusable_connection(self, data: bytes, persists: bool, surplus: int) -> None:
        response = Response()
        response.feed(data)
        assert (response.persists, response.surplus) == (persists, surplus)


@pytest.mark.parametrize(
    "line", [b"Cache: x\r\n", b"Content-Type: x\r\n", b"Trailer: x\r\n", b"A:" + b" " * 60 + b"\r\n"]
)
def test_glance_takes_linear_time_for_many_fields(line: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + line * 500
    assert message.glance(head) == 0
    assert message.glance(head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok") == 0
    assert message.glance(head + b"Content-Length: 2\r\n\r\nok") == 200
