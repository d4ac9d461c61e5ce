"""HTTP/1.x as a check needs it: the bytes of a request, and when a response is complete (RFC 9112).

Pure: bytes in, facts out. Nothing of a body is kept, its bytes are counted and given on. Two readers agree on every response:

* :func:`glance` judges a whole ordinary response by a few searches and declines everything else;
* :class:`Response` takes any response in any pieces: interim responses, chunks, lengths, ends by closing.

Both are lenient where it does not matter to a check (header lines without a colon, bare line feeds, unknown reason
phrases) and strict where the end of the response is at stake: lengths, chunks, the status line.

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

from pybal.config.settings import MOST_BODY
from pybal.http.errors import ResponseError, ResponsePart

HEAD_LIMIT = 64 * 1024
"""Bytes of headers and trailers, interim responses included."""
BODY_LIMIT = MOST_BODY
"""Bytes of body."""

_VERBATIM = "".join(map(chr, range(0x21, 0x7F)))
_PREFIX = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.\d ([1-9]\d\d)(?: .*)?\Z")
_OTHER_FIELDS = rb"""
    (?:
        (?! [Cc][Oo] | [Tt][Rr] ) [^\r\n]+ \r\n    # most: two letters tell
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
"""Exactly one content-length, no transfer-encoding, no line end but CRLF.

A line matches in one way only, so failing takes no longer than the lines are. Possessive quantifiers would say so, but
those of Debian 12's Python 3.11.2 are not right (gh-106052).
"""
_HEAD_END = re.compile(rb"\n\r?\n")
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
    """Return the GET request of PyBal 1.15 for ``url``: HTTP/1.0, Host without a port, User-Agent, nothing else.

    Or what differs from it: a Host other than the URL's, headers besides, and with version 1.1 the wish to close.
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
    """Return path and query of ``url`` as they stand in a request: quoted where they must be, nothing else changed."""
    parts = urlsplit(url)
    query = f"?{quote(parts.query, safe=_VERBATIM)}" if parts.query else ""
    return quote(parts.path or "/", safe=_VERBATIM) + query


def host_of(url: str) -> str:
    """Return the host of ``url`` in ASCII, lower case, without port and brackets."""
    host = urlsplit(url).hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")


def glance(data: bytes) -> int:
    """Return the status of ``data`` if that is, for certain, a complete response with a content-length; else 0."""
    ordinary = _ORDINARY.match(data)
    if ordinary is None:
        return 0
    end, size, status = ordinary.end(), int(ordinary[2]), int(ordinary[1])
    if len(data) - end < size or size > BODY_LIMIT or end > HEAD_LIMIT or status in _BODILESS:
        return 0
    return status


class Response:
    """A response in the making.

    A body of more bytes than ``limit`` is refused; none is waited for if ``bodiless``, as after HEAD. ``body`` is given
    the bytes of the body.

    ``status`` is 0 until its headers are complete. ``received`` counts the bytes of the body, ``expected`` is how
    many there will be, ``None`` if that is not announced. ``arrived`` counts all bytes. ``encoding`` is how a body that
    is given to ``body`` is compressed, as it may stand in a message: ``'gzip'``, empty if it is not. ``surplus`` counts
    the bytes that came with the end of the response and are none of it.
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_buffer",
        "_chunk",
        "_head",
        "_heads",
        "_limit",
        "_read",
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
        self._buffer = bytearray()
        self._head: list[bytes] = []
        self._heads = 0
        self._chunk = 0
        self._read: Callable[[Response], bool] = Response._read_head  # unbound, lest each response be a cycle

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; tell whether the response is complete. Raise ResponseError for what is no response."""
        if not self.complete:
            self.arrived += len(data)
            self._buffer += data
            while self._read(self):
                pass
        return self.complete

    def close(self) -> None:
        """Take the end of the connection as the end of the response, or raise ResponseError."""
        if self.complete:
            return
        if self._read is Response._read_head:
            if not self._buffer:
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
        """How much of the body has come: ``1043 of 2000 bytes``."""
        if self.expected is None:
            return f"{self.received} bytes of unknown length"
        return f"{self.received} of {self.expected} bytes"

    def field(self, name: str) -> str:
        """Return the values of all header lines of a name, in small letters, with commas between; empty if there are none."""
        return b", ".join(_lines(self._head, name.encode())).decode("latin-1")

    @property
    def persists(self) -> bool:
        """Whether the connection is good for another request (RFC 9112 §9.3); no, where HTTP/1.0 would have to say so."""
        newer = self._head[0].startswith(b"HTTP/1.1") if self._head else False
        delimited = self.complete and self._read is not Response._read_rest and not self.surplus
        return newer and delimited and b"close" not in map(bytes.lower, _values(self._head, b"connection"))

    def _finish(self, surplus: int = 0) -> bool:
        self.complete = True
        self.surplus = surplus
        self._buffer.clear()
        return False

    def _sniff(self, *, closed: bool = False) -> None:
        """Refuse what is not HTTP as soon as that is sure, the same whatever the pieces it comes in."""
        first = bytes(self._buffer[:_SNIFFED])
        line = first.split(b"\n", 1)[0]
        if (closed or len(first) == _SNIFFED or len(line) < len(first)) and not line.startswith(_PREFIX):
            shown = _shown(line.rstrip(b"\r"))
            raise ResponseError(ResponsePart.HEADERS, f"not HTTP/1: {shown}", "not HTTP/1")

    def _read_head(self) -> bool:
        if not self._buffer:
            return False
        self._sniff()
        end = _HEAD_END.search(self._buffer)
        size = end.end() if end else len(self._buffer)
        if self._heads + size > HEAD_LIMIT:
            raise ResponseError(ResponsePart.HEADERS, f"more than {HEAD_LIMIT} bytes")
        if not end:
            return False
        head = self._take(size)[: end.start()]
        self._heads += size
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
        """Decide how the end of the body will be known (RFC 9112 §6.3)."""
        self.status = status
        codings = _values(fields, b"transfer-encoding")
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
        self.received += size
        if self.received > self._limit:
            raise ResponseError(ResponsePart.BODY, f"more than {self._limit} bytes")
        if self._body is not None:
            self._body(bytes(self._buffer[:size]))

    def _read_counted(self) -> bool:
        wanted = (self.expected or 0) - self.received
        self._count(min(len(self._buffer), wanted))
        if len(self._buffer) >= wanted:
            return self._finish(len(self._buffer) - wanted)
        self._buffer.clear()
        return False

    def _read_rest(self) -> bool:
        self._count(len(self._buffer))
        self._buffer.clear()
        return False

    def _read_size(self) -> bool:
        line = self._line()
        if not line:
            return False
        size = _CHUNK_SIZE.fullmatch(line)
        if not size:
            raise ResponseError(ResponsePart.BODY, f"bad chunk size {_shown(line[:20].rstrip())}", "bad chunk size")
        self._chunk = int(size[1], 16)
        self._read = Response._read_chunk if self._chunk else Response._read_trailer
        return True

    def _read_chunk(self) -> bool:
        size = min(len(self._buffer), self._chunk)
        self._count(size)
        self._chunk -= size
        del self._buffer[:size]
        if self._chunk:
            return False
        self._read = Response._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        if bytes(self._buffer[:2]) in {b"", b"\r"}:
            return False
        end = self._take(2 if self._buffer.startswith(b"\r") else 1)
        if end not in {b"\n", b"\r\n"}:
            raise ResponseError(ResponsePart.BODY, f"a chunk longer than its size by {_shown(end)}", "bad chunk")
        self._read = Response._read_size
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if not line:
            return False
        self._heads += len(line)
        if self._heads > HEAD_LIMIT:
            raise ResponseError(ResponsePart.BODY, f"more than {HEAD_LIMIT} bytes of trailers")
        return True if line.rstrip(b"\r\n") else self._finish(len(self._buffer))

    def _line(self) -> bytes:
        """Take a line off the buffer, empty if it is not complete yet."""
        end = self._buffer.find(b"\n") + 1
        if end > _CHUNK_LINE_LIMIT or (not end and len(self._buffer) > _CHUNK_LINE_LIMIT):
            raise ResponseError(ResponsePart.BODY, f"a chunk's line longer than {_CHUNK_LINE_LIMIT} bytes")
        return self._take(end)

    def _take(self, size: int) -> bytes:
        """Take bytes off the front, which bytearray does without moving the rest."""
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _shown(data: bytes) -> str:
    """Return bytes as they may stand in a message: quoted, and escaped where they are not ASCII."""
    return repr(data)[1:]


def _values(fields: list[bytes], name: bytes) -> list[bytes]:
    """Return the comma-separated values of all header lines of that name."""
    return [value.strip(b" \t") for line in _lines(fields, name) for value in line.split(b",")]


def _lines(fields: list[bytes], name: bytes) -> list[bytes]:
    """Return what all header lines of that name say."""
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
