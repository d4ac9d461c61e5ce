"""Reads regular files of bounded size: a FIFO would block, and a device could be endless."""

from __future__ import annotations

import errno
import os
import stat


def read(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes. Raises OSError for all others."""
    content = begin(path, most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"longer than {most} bytes", str(path))
    return content


def begin(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the first ``most`` bytes of a regular file. Raises OSError for all others."""
    # Without O_NONBLOCK, opening a FIFO waits for its writer.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(most)


def first_line(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the first line, without its end, of at most ``most`` bytes. Raises OSError as :func:`begin`."""
    return begin(path, most).partition(b"\n")[0].rstrip(b"\r")
