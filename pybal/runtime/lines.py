"""Splits a byte stream into lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator


class LineTooLong(ValueError):  # noqa: N818  # a fact about the stream
    """A line exceeds the limit."""


class LineSplitter:
    """Splits a stream that arrives in pieces into lines of at most ``longest`` bytes; omits blank lines.

    A longer line raises :class:`LineTooLong`, or with ``truncate`` is cut to its first ``longest`` bytes.
    """

    def __init__(self, longest: int, *, truncate: bool = False) -> None:
        self._longest = longest
        self._truncate = truncate
        self._line = bytearray()
        self._truncated = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield each line that ``piece`` completes, without its newline. Raises :class:`LineTooLong`."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            if not end and not self._line and not self._truncated:
                continue
            yield from self._append(end)
            line = bytes(self._line)
            self._line.clear()
            self._truncated = False
            if line.strip():
                yield line
        yield from self._append(rest)

    def _append(self, piece: bytes) -> Iterator[bytes]:
        """Extend the unfinished line; yield its beginning once, when it exceeds the limit."""
        if self._truncated:
            return
        self._line += piece
        if len(self._line) <= self._longest:
            return
        if not self._truncate:
            raise LineTooLong(f"line longer than {self._longest} bytes")
        self._truncated = True
        beginning = bytes(self._line[: self._longest])
        self._line.clear()
        yield beginning
