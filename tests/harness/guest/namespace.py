"""Network namespaces: IPVS has a table for each, so a test that has its own disturbs nobody."""

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
    """Return whether there is a real IPVS here that we may write to."""
    return (
        os.geteuid() == 0
        and Path("/proc/net/ip_vs").exists()
        and subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    )


def create() -> int:
    """Return a descriptor of a new namespace, which lasts as long as something refers to it."""
    home = os.open(_MINE, os.O_RDONLY)
    try:
        _check(_LIBC.unshare(_NEWNET))
        return os.open(_MINE, os.O_RDONLY)
    finally:
        _check(_LIBC.setns(home, _NEWNET))
        os.close(home)


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Have this thread in a namespace for a while. Sockets and processes made meanwhile stay in it."""
    home = os.open(_MINE, os.O_RDONLY)
    try:
        _check(_LIBC.setns(namespace, _NEWNET))
        yield
    finally:
        _check(_LIBC.setns(home, _NEWNET))
        os.close(home)


@contextmanager
def fresh() -> Iterator[None]:
    """Have this thread in a new namespace for a while.

    Its loopback is up: before its first interface the kernel takes every IPv4 destination for a broadcast address.
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
