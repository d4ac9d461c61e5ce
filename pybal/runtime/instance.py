"""One daemon per network namespace: a lock that no other user can take.

The kernel releases it with the process. Two daemons would repair each other's IPVS table for ever. An IPVS table belongs to a network namespace, so the lock does as well:

* a lock file belongs to a file system, which containers that share a network namespace do not share, and which may be full;
* a fixed name in the abstract socket namespace belongs to the network namespace, but any user could bind it first;
* so each daemon listens on a *random* abstract name with a known prefix, and finds the others by listing ``/proc/net/unix``. It then
  asks the kernel whose socket each one is (SO_PEERCRED). Only a process that could write IPVS counts: root, our own user, or one
  with CAP_NET_ADMIN. The sockets of other users are ignored, and their number does not matter.

A daemon listens before it looks, so of two that start at the same moment at least one sees the other.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.runtime.peercred import Credentials, credentials

PREFIX = "pybal-daemon/"
_CAP_NET_ADMIN = 12
_BACKLOG = 128
_TRIES = 5
"""Connections to a socket whose backlog is full; a running daemon accepts immediately."""


class AlreadyRunningError(Exception):
    """Another daemon runs in this network namespace; the text has its process and user."""

    def __init__(self, other: Credentials) -> None:
        process = f"process {other.process}" if other.process else "a process of another PID namespace"
        super().__init__(
            f"another pybal runs in this network namespace: {process} of user {other.user} "
            "(stop it first; -n and ipvs-backend = memory may run beside it)"
        )
        self.other = other


@implementer(IReadDescriptor)
class InstanceLock:
    """The lock, held from a successful :meth:`acquire` until :meth:`release` or the end of the process.

    Add it to the reactor as a reader: it accepts the connections with which others ask for its owner. ``proc`` is for tests.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._name = f"{PREFIX}{secrets.token_hex(8)}"
        self._socket: socket.socket | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunningError, or OSError if the system has no place for a socket."""
        held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            held.bind(f"\0{self._name}")
            held.listen(_BACKLOG)
            other = next(self._others(), None)
        except OSError:
            held.close()
            raise
        if other is not None:
            held.close()
            raise AlreadyRunningError(other)
        self._socket = held

    def release(self) -> None:
        """Release the lock."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _others(self) -> Iterator[Credentials]:
        """Yield the owners of other locks that count."""
        marker = f"@{PREFIX}"
        for line in (self._proc / "net/unix").read_text(errors="replace").splitlines():
            name = line.rpartition(" ")[2]
            if name.startswith(marker) and name != f"@{self._name}":
                owner = _owner(f"\0{name[1:]}")
                if owner is not None and self._counts(owner):
                    yield owner

    def _counts(self, owner: Credentials) -> bool:
        """Return whether a process could write IPVS."""
        if owner.user in (0, os.geteuid()):
            return True
        try:
            ours = (self._proc / "self/ns/user").readlink()
            theirs = (self._proc / str(owner.process) / "ns/user").readlink()
            status = (self._proc / str(owner.process) / "status").read_text()
        except OSError:
            return False
        effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
        # Every user has all capabilities in its own user namespace, but not over IPVS.
        return ours == theirs and bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)

    # -- IReadDescriptor

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        if self._socket is not None:
            for _ in range(_BACKLOG):
                try:
                    self._socket.accept()[0].close()
                except OSError:
                    return

    def logPrefix(self) -> str:  # noqa: N802  # Twisted's name
        return "instance"

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        """Keep the lock: the end of the process releases it."""


def _owner(name: str) -> Credentials | None:
    """Return the process that listens on an abstract name, ``None`` if it has ended or does not accept."""
    for _ in range(_TRIES):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
            try:
                probe.connect(name)
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError:
                return None
            return credentials(probe)
    return None
