"""The files of the journal: numbered segments in one directory, of a bounded size in all.

Only the thread of the journal writes them. A record is a line; after a failed write, its text is removed and nothing is written
until the next segment begins, because the records between are lost.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pybal.journal.reader import segments_of
from pybal.journal.records import HEAD
from pybal.runtime.log_writer import write_all

MODE = 0o640


class SegmentFiles:
    """Writes lines to the newest segment; a line that begins with :data:`HEAD` begins the next one.

    The oldest segments are deleted while all have more than ``most`` bytes.
    """

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self._file = -1
        self._path: Path
        """The file of the newest segment."""
        self._size = 0
        self._failure: OSError | None = None
        """The reason why no segment is open."""

    def write(self, text: bytes) -> None:
        """Write lines. Raises OSError, after a failure for all lines until the next segment begins."""
        try:
            self._write(text)
        except OSError as error:
            self._failure = error
            raise
        if self._file < 0 and self._failure is not None:
            raise self._failure

    def _write(self, text: bytes) -> None:
        for segment in _split(text):
            if segment.startswith(HEAD):
                self._close()
                self._begin()
            if self._file < 0:
                continue
            try:
                write_all(self._file, segment)
            except OSError:
                with suppress(OSError):
                    self._cut()
                self._close()
                raise
            self._size += len(segment)
        self._delete()

    def _begin(self) -> None:
        self._directory.mkdir(mode=0o750, exist_ok=True)
        last = segments_of(self._directory)[-1:]
        number = 1 + (int(last[0].stem) if last else 0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
        self._path = self._directory / f"{number:08}.jsonl"
        self._file = os.open(self._path, flags, MODE)
        self._size = 0

    def _close(self) -> None:
        if self._file >= 0:
            descriptor, self._file = self._file, -1
            os.close(descriptor)

    def _cut(self) -> None:
        """Remove what a failed write left, and the segment if nothing else is in it."""
        if self._size:
            os.ftruncate(self._file, self._size)
        else:
            self._path.unlink()

    def _delete(self) -> None:
        """Delete the oldest segments, never the newest one."""
        found = [(path, path.stat().st_size) for path in segments_of(self._directory)] if self._file >= 0 else []
        total = sum(size for _, size in found)
        for path, size in found[:-1]:
            if total <= self._most:
                break
            path.unlink()
            total -= size


def _split(text: bytes) -> list[bytes]:
    """Return the lines in parts, each of one segment."""
    first, *others = text.split(b"\n" + HEAD)
    if not others:
        return [text]
    return [first + b"\n", *(HEAD + other + b"\n" for other in others[:-1]), HEAD + others[-1]]
