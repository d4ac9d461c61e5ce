"""A file in memory for parsers that read files themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def scratch_file(data: bytes) -> Iterator[Path]:
    """Yield the path of a file with this content."""
    descriptor = os.memfd_create("fuzz")
    try:
        os.write(descriptor, data)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder in memory."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)
