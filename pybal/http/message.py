"""HTTP/1.x messages for checks and sources: builds requests and finds the end of responses (RFC 9112).

Pure: bytes in, facts out. A body is counted and passed on, not stored. Two parsers agree on every response:

* :func:`glance` parses a complete, ordinary response with one regular expression and declines everything else;
* :class:`Response` parses any response in any pieces: interim responses, chunks, lengths, ends by closing.

Both are lenient if it does not affect the result (header lines without a colon, bare line feeds, unknown reason phrases)
and strict if it affects the end of the response: lengths, chunks, the status line.

    head ── 1xx ──▶ head
      ├── 101, 204, 304 ─────────────────────────▶ done
      ├── chunked ──▶ size ⇄ chunk ──▶ trailer ──▶ done
      ├── content-length ──▶ counted ────────────▶ done
      └── else ──▶ until closed ─────────────────▶ done
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlsplit

from pybal.http.errors import ResponseError, ResponsePart

HEAD_LIMIT = 64 * 1024
"""Limit on the bytes of headers and trailers, including interim responses."""
BODY_LIMIT = 64 * 1024 * 1024
"""Default limit on the bytes of a body."""
LINES_LIMIT = 1000
"""Limit on the header lines of one message; servers accept 100 of a client by default."""
FRAMING_LIMIT = 256 * 1024
"""Limit on the bytes around a body (headers, chunk headers), in addition to its own size."""

_VERBATIM = "".join(map(chr, range(0x21, 0x7F)))
_PREFIX = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.\d ([1-9]\d\d)(?: .*)?\Z")
_OTHER_FIELDS = rb"""
    (?:
        (?! [Cc][Oo] | [Tt][Rr] ) [^\r\n]+ \r\n    # most: two letters suffice
      | (?= [Cc][Oo] | [Tt][Rr] ) (?! (?i: content-length | transfer-encoding ) ) [^\r\n]+ \r\n
    )*
"""
_ORDINARY = re.compile(
    rb"HTTP/1\.\d\ ([2-9]\d\d) (?: \ [^\r\n]* )? \r\n"
    + _OTHER_FIELDS
    + rb"(?i: content-length ) : [ \t]* (\d{1,8}) [ \t]* \r\n"
    + _OTHER_FIELDS
    + rb"\r\n",
    re.VERBOSE,
)
"""Exactly one content-length, no transfer-encoding, CRLF line ends only.

Each line matches in one way only, so a mismatch takes linear time. Possessive quantifiers would express it, but Python
3.11.2 (Debian 12) has a bug in them (gh-106052).
"""
_HEAD_END = re.compile(rb"\n\r?\n")
_HEAD_END_LENGTH = 3
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_CHUNK_LINE_LIMIT = 4096
_SNIFFED = 20
_LENGTH_DIGITS = 18
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_OK = 200
_SWITCHING = 101
_BODILESS = frozenset((_SWITCHING, 204, 304))


def request(
    url: str,
    agent: str = "Twisted PageGetter",
    *,
    method: str = "GET",
    version: str = "1.0",
    host: str = "",
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """Return a request for ``url``, by default the one of PyBal 1.15.

    That is GET, HTTP/1.0, a Host without a port, a User-Agent and no other header.
    ``host`` overrides the Host of the URL, ``headers`` are appended, and HTTP/1.1 adds ``Connection: close``.
    """
    if not host:
        host = host_of(url)
        host = f"[{host}]" if ":" in host else host
    lines = [f"{method} {target_of(url)} HTTP/{version}", f"Host: {host}"]
    if not any(name.lower() == "user-agent" for name, _ in headers):
        lines.append(f"User-Agent: {agent}")
    lines += [f"{name}: {value}" for name, value in headers]
    if method in _WITH_BODY:
        lines.append("Content-Length: 0")
    if version != "1.0":
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("ascii")


def target_of(url: str) -> str:
    """Return path and query of ``url`` for a request line, with invalid characters quoted."""
    parts = urlsplit(url)
    query = f"?{quote(parts.query, safe=_VERBATIM)}" if parts.query else ""
    return quote(parts.path or "/", safe=_VERBATIM) + query


def host_of(url: str) -> str:
    """Return the host of ``url`` in ASCII (IDNA), lower case, without port and brackets."""
    host = urlsplit(url).hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def glance(data: bytes) -> int:
    """Return the status if ``data`` is certainly a complete response with a content-length; else 0."""
    ordinary = _ORDINARY.match(data)
    if ordinary is None:
        return 0
    end, size, status = ordinary.end(), int(ordinary[2]), int(ordinary[1])
    if len(data) - end < size or size > BODY_LIMIT or end > HEAD_LIMIT or status in _BODILESS:
        return 0
    return status


class Response:
    """An incremental parser of one response.

    Refuses a body of more than ``limit`` bytes; expects none if ``bodiless`` (a response to HEAD). Passes the bytes of
    the body to ``body``.

    ``status`` is 0 until the headers are complete. ``received`` counts the bytes of the body; ``expected`` is their
    announced number, ``None`` if unknown. ``arrived`` counts all bytes. ``encoding`` is the quoted content-encoding
    (``'gzip'``) of a body passed to ``body``, empty if none. ``surplus`` counts bytes received after the end.
    """

    __slots__ = (
        "_at",
        "_bodiless",
        "_body",
        "_buffer",
        "_chunk",
        "_head",
        "_heads",
        "_limit",
        "_read",
        "_searched",
        "arrived",
        "complete",
        "encoding",
        "expected",
        "received",
        "status",
        "surplus",
    )

    def __init__(
        self, limit: int = BODY_LIMIT, *, bodiless: bool = False, body: Callable[[bytes], None] | None = None
    ) -> None:
        self._limit = limit
        self._bodiless = bodiless
        self._body = body
        self.status = 0
        self.received = 0
        self.expected: int | None = None
        self.arrived = 0
        self.complete = False
        self.encoding = ""
        self.surplus = 0
        self._buffer = b""
        self._at = 0
        """The offset of the first byte in the buffer that is not parsed; what is before it goes once per feed."""
        self._searched = 0
        """The offset until which the buffer has no end of headers."""
        self._head: list[bytes] = []
        self._heads = 0
        self._chunk = 0
        self._read: Callable[[Response], bool] = (
            Response._read_head
        )  # unbound: a bound method would be a reference cycle

    def feed(self, data: bytes) -> bool:
        """Parse the next bytes; return whether the response is complete. Raises ResponseError."""
        if self.complete:
            return True
        self.arrived += len(data)
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        while self._read(self):
            pass
        framing = self.arrived - self.received
        if self.status and not self.complete and framing > FRAMING_LIMIT + self.received:
            raise ResponseError(
                ResponsePart.BODY,
                f"{framing} bytes of chunk headers for {self.received} bytes of the body",
                "more chunk headers than data",
            )
        return self.complete

    def close(self) -> None:
        """Parse the end of the connection. Raises ResponseError if the response is incomplete."""
        if self.complete:
            return
        if self._read is Response._read_head:
            if self._at == len(self._buffer):
                raise ResponseError(ResponsePart.HEADERS, "connection closed before a response")
            self._sniff(closed=True)
            raise ResponseError(
                ResponsePart.HEADERS, f"connection closed after {self.arrived} bytes", "connection closed"
            )
        if self._read is not Response._read_rest:
            raise ResponseError(ResponsePart.BODY, f"connection closed after {self.progress}", "connection closed")
        self._finish()

    @property
    def progress(self) -> str:
        """The received part of the body: ``1043 of 2000 bytes``."""
        if self.expected is None:
            return f"{self.received} bytes of unknown length"
        return f"{self.received} of {self.expected} bytes"

    @property
    def until_closed(self) -> bool:
        """True if the end of the connection is the end of the body."""
        return self._read is Response._read_rest

    def field(self, name: str) -> str:
        """Return the values of all header lines of ``name`` (lower case), joined by commas, or an empty text."""
        return b", ".join(_lines(self._head, name.encode())).decode("latin-1")

    @property
    def head(self) -> Sequence[bytes]:
        """The lines of the header."""
        return self._head

    @property
    def persists(self) -> bool:
        """True if the connection can be reused (RFC 9112 §9.3); never with HTTP/1.0."""
        newer = self._head[0].startswith(b"HTTP/1.1") if self._head else False
        delimited = self.complete and self._read is not Response._read_rest and not self.surplus
        return newer and delimited and b"close" not in map(bytes.lower, _values(self._head, b"connection"))

    def _finish(self, surplus: int = 0) -> bool:
        self.complete = True
        self.surplus = surplus
        self._buffer, self._at = b"", 0
        return False

    def _sniff(self, *, closed: bool = False) -> None:
        """Refuse a response that is not HTTP as early as possible, independent of the pieces."""
        first = self._buffer[self._at : self._at + _SNIFFED]
        line = first.split(b"\n", 1)[0]
        if (closed or len(first) == _SNIFFED or len(line) < len(first)) and not line.startswith(_PREFIX):
            shown = _shown(line.rstrip(b"\r"))
            raise ResponseError(ResponsePart.HEADERS, f"not HTTP/1: {shown}", "not HTTP/1")

    def _read_head(self) -> bool:
        available = len(self._buffer) - self._at
        if not available:
            return False
        self._sniff()
        end = _HEAD_END.search(self._buffer, self._at + self._searched)
        size = end.end() - self._at if end else available
        if self._heads + size > HEAD_LIMIT:
            raise ResponseError(ResponsePart.HEADERS, f"more than {HEAD_LIMIT} bytes")
        if not end:
            self._searched = max(0, available - _HEAD_END_LENGTH + 1)
            return False
        head = self._buffer[self._at : end.start()]
        self._at, self._searched = end.end(), 0
        self._heads += size
        if head.count(b"\n") > LINES_LIMIT:
            raise ResponseError(ResponsePart.HEADERS, f"more than {LINES_LIMIT} header lines")
        first, *fields = (line.removesuffix(b"\r") for line in head.split(b"\n"))
        status_line = _STATUS_LINE.match(first)
        if not status_line:
            raise ResponseError(ResponsePart.HEADERS, f"bad status line {_shown(first[:40])}", "bad status line")
        status = int(status_line[1])
        if status >= _OK or status == _SWITCHING:
            self._head = [first, *fields]
            self._frame(status, fields)
        return True

    def _frame(self, status: int, fields: list[bytes]) -> None:
        """Select how the end of the body is found (RFC 9112 §6.3)."""
        self.status = status
        # "identity" is no coding (RFC 2616 §3.6); old servers send it beside a content-length.
        codings = [
            coding for coding in _values(fields, b"transfer-encoding") if coding.lower() not in {b"", b"identity"}
        ]
        lengths = set(_values(fields, b"content-length"))
        compressions = _values(fields, b"content-encoding") if self._body is not None else []
        if compressions:
            self.encoding = _shown(b", ".join(compressions)[:_SNIFFED])
        if self._bodiless or status in _BODILESS:
            self.expected = 0
            self._read = Response._read_counted
        elif codings:
            self._read = Response._read_size if codings[-1].lower() == b"chunked" else Response._read_rest
        elif lengths:
            self.expected = _length(lengths, self._limit)
            self._read = Response._read_counted
        else:
            self._read = Response._read_rest

    def _count(self, size: int) -> None:
        """Count and pass on the next bytes of the body."""
        at, self._at = self._at, self._at + size
        self.received += size
        if self.received > self._limit:
            raise ResponseError(ResponsePart.BODY, f"more than {self._limit} bytes")
        if self._body is not None:
            self._body(self._buffer[at : at + size])

    def _read_counted(self) -> bool:
        wanted = (self.expected or 0) - self.received
        self._count(min(len(self._buffer) - self._at, wanted))
        if self.received == self.expected:
            return self._finish(len(self._buffer) - self._at)
        return False

    def _read_rest(self) -> bool:
        self._count(len(self._buffer) - self._at)
        return False

    def _read_size(self) -> bool:
        """Read the size of a chunk, and the chunk with it if all of it has arrived."""
        buffer = self._buffer
        line = _CHUNK_SIZE.match(buffer, self._at, self._at + _CHUNK_LINE_LIMIT)
        if line is None:
            return self._refuse_size()
        self._at = line.end()
        self._chunk = size = int(line[1], 16)
        end = self._at + size
        line_end = 2 if buffer[end : end + 2] == b"\r\n" else 1 if buffer[end : end + 1] == b"\n" else 0
        if size and line_end:
            self._count(size)
            self._at = end + line_end
        else:
            self._read = Response._read_chunk if size else Response._read_trailer
        return True

    def _refuse_size(self) -> bool:
        """Raise ResponseError if the next line is complete, and thus no size of a chunk."""
        line = self._line()
        if line:
            raise ResponseError(ResponsePart.BODY, f"bad chunk size {_shown(line[:20].rstrip())}", "bad chunk size")
        return False

    def _read_chunk(self) -> bool:
        size = min(len(self._buffer) - self._at, self._chunk)
        self._count(size)
        self._chunk -= size
        if self._chunk:
            return False
        self._read = Response._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        end = self._buffer[self._at : self._at + 2]
        if end in {b"", b"\r"}:
            return False
        if end[:1] != b"\n" and end != b"\r\n":
            wrong = end if end.startswith(b"\r") else end[:1]
            raise ResponseError(ResponsePart.BODY, f"chunk exceeds its size by {_shown(wrong)}", "bad chunk")
        self._at += 1 if end[:1] == b"\n" else 2
        self._read = Response._read_size
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if not line:
            return False
        self._heads += len(line)
        if self._heads > HEAD_LIMIT:
            raise ResponseError(ResponsePart.BODY, f"more than {HEAD_LIMIT} bytes of trailers")
        return True if line.rstrip(b"\r\n") else self._finish(len(self._buffer) - self._at)

    def _line(self) -> bytes:
        """Return the next line of the buffer; empty if it is incomplete."""
        at = self._at
        end = self._buffer.find(b"\n", at, at + _CHUNK_LINE_LIMIT) + 1
        if not end and len(self._buffer) - at >= _CHUNK_LINE_LIMIT:
            raise ResponseError(ResponsePart.BODY, f"chunk size line longer than {_CHUNK_LINE_LIMIT} bytes")
        if not end:
            return b""
        self._at = end
        return self._buffer[at:end]


def _shown(data: bytes) -> str:
    """Return bytes quoted for a message, with non-ASCII bytes escaped."""
    return repr(data)[1:]


def _values(fields: list[bytes], name: bytes) -> list[bytes]:
    """Return the comma-separated values of all header lines of that name."""
    return [value.strip(b" \t") for line in _lines(fields, name) for value in line.split(b",")]


def _lines(fields: list[bytes], name: bytes) -> list[bytes]:
    """Return the value of each header line of that name."""
    return [
        field.split(b":", 1)[1].strip(b" \t")
        for field in fields
        if field[: len(name)].lower() == name and field[len(name) :].lstrip(b" \t").startswith(b":")
    ]


def _length(lengths: set[bytes], limit: int) -> int:
    if len(lengths) > 1:
        raise ResponseError(ResponsePart.HEADERS, "conflicting content-lengths")
    length = lengths.pop()
    if not length.isdigit():
        raise ResponseError(ResponsePart.HEADERS, f"bad content-length {_shown(length[:20])}", "bad content-length")
    if len(length) > _LENGTH_DIGITS or int(length) > limit:
        raise ResponseError(ResponsePart.BODY, f"more than {limit} bytes")
    return int(length)
