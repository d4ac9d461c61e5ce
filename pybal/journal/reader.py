"""Reads a journal: one segment, or a directory of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeGuard

from pybal.journal.records import VERSION

LONGEST_LINE = 64 << 20
"""Bytes of a line, at most."""


_NAME = re.compile(r"[0-9]{8}\.jsonl")


def segments_of(directory: Path) -> list[Path]:
    """Return the segments of a journal, the oldest first. Raises OSError."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


class JournalError(Exception):
    """A journal that cannot be replayed; the text has the reason and what to do."""


@dataclass(slots=True)
class Reader:
    """Reads the records of a journal in order; ``problems`` are the parts that were left out so far.

    With ``sizes``, it reads these files only, each up to its size in bytes: a daemon may be writing.
    """

    path: Path
    problems: list[str] = field(default_factory=list)
    sizes: Mapping[Path, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield each record. Raises OSError or JournalError."""
        found = False
        for path in self.sizes or self._paths():
            for record in self._segment(path):
                found = True
                yield record
        if not found:
            raise JournalError(f"{self.path}: no journal: it has no record (use a segment, or the directory of all)")

    def fix(self) -> int:
        """Limit the reading to what is there now; return its bytes, 0 without a limit for a pipe.

        Raises OSError or JournalError.
        """
        found: dict[Path, int] = {}
        for path in self._paths():
            try:
                status = path.stat()
            except FileNotFoundError:
                if path == self.path:
                    raise
                continue  # the daemon has deleted it since
            if not S_ISREG(status.st_mode):
                return 0
            found[path] = status.st_size
        self.sizes = found
        return sum(found.values())

    def _paths(self) -> list[Path]:
        """Return the files. Raises OSError or JournalError."""
        paths = segments_of(self.path) if self.path.is_dir() else [self.path]
        if not paths:
            raise JournalError(f"{self.path}: no journal in this directory (set journal = yes in [global])")
        return paths

    def _segment(self, path: Path) -> Iterator[Mapping[str, Any]]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            if path == self.path:
                raise
            # The daemon has deleted it since.
            self.problems.append(f"{path.name}: deleted by the daemon during the reading")
            return
        with file:
            left = self.sizes.get(path, sys.maxsize)
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
                if left <= 0:
                    return
                left -= len(line)
                if not line.endswith(b"\n"):
                    self.problems.append(f"{path.name}:{number}: cut a torn record of {len(line)} bytes")
                    return
                record = record_of(line)
                if number == 1:
                    check_version(record, path)
                if not is_record(record):
                    self.problems.append(f"{path.name}:{number}: left out a damaged record of {len(line)} bytes")
                    continue
                yield record


def record_of(line: bytes) -> object:
    """Return the JSON value of a line, ``None`` if it is damaged."""
    try:
        text = line.decode()
        found, end = _decode(text)
    except (ValueError, RecursionError):
        return None
    return None if text[end:].strip() else found


_decode = json.JSONDecoder().raw_decode


def check_version(header: object, path: Path) -> None:
    """Raise JournalError for the first line of another format."""
    if isinstance(header, dict) and header.get("journal") != VERSION:
        raise JournalError(f"{path}: not a journal of version {VERSION}")


def is_record(found: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a value is the line of a server, or has the head of a record."""
    if not isinstance(found, dict):
        return False
    if "server" in found:
        return True
    return isinstance(found.get("n"), int) and isinstance(found.get("at"), _NUMBER) and _is_time(found.get("time"))


_NUMBER = (int, float)


def _is_time(found: object) -> bool:
    try:
        return isinstance(found, str) and datetime.fromisoformat(found).utcoffset() is not None
    except ValueError:
        return False


def lines_of(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of records."""
    return (json.dumps(record, separators=(",", ":")) + "\n" for record in records)
