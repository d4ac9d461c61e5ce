"""A file system that hangs like NFS without its server: FUSE without a daemon. Needs root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def hung_mount(directory: Path) -> Iterator[None]:
    """Hang every access to ``directory``; at the end, hung calls fail (ENOTCONN) and its files are back."""
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
        _check(_libc.mount(b"pybal-test", bytes(directory), b"fuse", 0, options))
        try:
            yield
        finally:
            # The files come back first: some callers repeat a failed call immediately.
            _check(_libc.umount2(bytes(directory), _MNT_DETACH))
    finally:
        os.close(descriptor)


def can_mount() -> bool:
    """Return whether this process may mount FUSE."""
    return os.geteuid() == 0 and Path("/dev/fuse").exists()


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
