"""The socket of a service manager, which keeps what a notifier sends to it."""

from __future__ import annotations

import socket
from pathlib import Path


class NotifySocket:
    """A bound socket: ``environ`` leads a notifier to it, :meth:`received` returns the new datagrams."""

    def __init__(self, directory: Path, **more: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / "notify"))
        self.socket.setblocking(False)
        self.environ = {"NOTIFY_SOCKET": str(directory / "notify"), **more}

    def received(self) -> list[str]:
        """Return the datagrams since the last call."""
        states = []
        while True:
            try:
                states.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return states

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
