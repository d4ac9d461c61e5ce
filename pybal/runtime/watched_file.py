"""A small file that is read again when its stat changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

FileIdentity = tuple[int, ...]
"""Device, inode, size, and the times of modification and status change in nanoseconds."""


def identity_of(status: os.stat_result) -> FileIdentity:
    """Return the part of a stat that changes whenever the file changes."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def identity(path: str | Path) -> FileIdentity | None:
    """Return the identity of a file, ``None`` if its stat cannot be read."""
    try:
        return identity_of(os.stat(path))  # noqa: PTH116  # takes both types
    except OSError:
        return None


class WatchedFile(Generic[T]):
    """The parsed content of a file, ``unreadable`` while the file cannot be read."""

    def __init__(self, path: str | Path, parse: Callable[[bytes], T], unreadable: T) -> None:
        self._path = Path(path)
        self._parse = parse
        self._unreadable = unreadable
        self._value = unreadable
        self._identity: FileIdentity | None = None

    def value(self) -> T:
        """Return the parsed content; read the file only if its stat has changed since the last call."""
        try:
            # The stat comes first: a change during the read is found by the next call.
            seen = identity_of(self._path.stat())
            if seen != self._identity:
                self._value = self._parse(self._path.read_bytes())
                self._identity = seen
        except OSError:
            self._identity, self._value = None, self._unreadable
        return self._value
