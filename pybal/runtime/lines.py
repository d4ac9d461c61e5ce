"""The lines of a stream that comes in pieces. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.sources.base import SourceError, Trouble


class Lines:
    """Cuts what comes in pieces into lines, each of at most ``longest`` bytes; empty ones are left out."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that are complete now. Raises :class:`SourceError` for one that is too long, complete or not."""
        *complete, rest = data.split(b"\n")
        for end in complete:
            self._add(end)
            line = b"".join(self._pieces)
            self._pieces, self._size = [], 0
            if line.strip():
                yield line
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._longest:
            raise SourceError(f"a message of more than {self._longest} bytes", Trouble.MALFORMED)
