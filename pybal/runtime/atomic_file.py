"""Atomic replacement of a file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Permissions before the umask, as of open().
DEFAULT_MODE = 0o666


def replace(path: Path, data: bytes, *, mode: int = DEFAULT_MODE) -> None:
    """Replace the content of a file, whole or not at all, also across a power failure. Raises OSError.

    The steps are: write a temporary file in the same directory, fsync it, rename it, fsync the directory. The name of
    the temporary file contains the process ID, so that two processes do not share one.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        _write(temporary, data, mode)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync(path.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    # A file of an earlier process with the same ID may remain after a crash.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
