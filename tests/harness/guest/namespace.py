"""Network namespaces: each has its own IPVS table, so tests do not interfere."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_MINE = "/proc/thread-self/ns/net"


def available() -> bool:
    """Return whether a writable IPVS table exists on this machine."""
    return (
        os.geteuid() == 0
        and Path("/proc/net/ip_vs").exists()
        and subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    )


def present() -> int:
    """Return a descriptor of the namespace of the current thread."""
    return os.open(_MINE, os.O_RDONLY)


def create() -> int:
    """Return a descriptor of a new namespace, which exists while a reference to it exists."""
    home = os.open(_MINE, os.O_RDONLY)
    try:
        _check(_LIBC.unshare(_NEWNET))
        return os.open(_MINE, os.O_RDONLY)
    finally:
        _check(_LIBC.setns(home, _NEWNET))
        os.close(home)


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Move the current thread to a namespace; sockets and processes created there stay in it."""
    home = os.open(_MINE, os.O_RDONLY)
    try:
        _check(_LIBC.setns(namespace, _NEWNET))
        yield
    finally:
        _check(_LIBC.setns(home, _NEWNET))
        os.close(home)


@contextmanager
def fresh() -> Iterator[None]:
    """Move the current thread to a new namespace.

    Its loopback is up: without any interface the kernel treats every IPv4 destination as a broadcast address.
    """
    namespace = create()
    try:
        with entered(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
            yield
    finally:
        os.close(namespace)


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
