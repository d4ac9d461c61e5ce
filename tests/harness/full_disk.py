"""A disk that is full for this process: writes to files fail, those to pipes and sockets do not."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

REASON = os.strerror(errno.EFBIG)
"""The reason of each failure."""


@contextmanager
def full_disk(size: int = 0) -> Iterator[None]:
    """Let writes beyond ``size`` bytes of a file fail with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
