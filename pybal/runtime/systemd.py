"""Notifications to systemd (sd_notify(3)): ready, reloading, stopping, status, watchdog, descriptors."""

from __future__ import annotations

import array
import errno
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from pybal.core.text import printable
from pybal.runtime.activity import Activity

RESEND_SECONDS = 0.1
"""Pause until a notification is sent again for which the manager's queue had no place."""
LONGEST = 500
"""Characters of a status at most: the manager ignores datagrams of more than 4096 bytes."""

_FULL = {errno.EAGAIN, errno.ENOBUFS}
_MICROSECONDS = re.compile("[0-9]{1,20}")
"""A number of 64 bits."""


def watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return the interval of the service manager's watchdog (``WATCHDOG_USEC``) in seconds, 0 without one.

    A watchdog of another process (``WATCHDOG_PID``) does not count.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
    return int(microseconds) / 1e6 if ours and _MICROSECONDS.fullmatch(microseconds) else 0.0


@dataclass(frozen=True, slots=True)
class _Notification:
    """One datagram, and the socket that it carries, if any."""

    state: str
    carried: socket.socket | None = None


class Notifier:
    """Sends states to the service manager; does nothing if ``NOTIFY_SOCKET`` is unset.

    ``environ`` is read once: ``NOTIFY_SOCKET`` is the address, ``WATCHDOG_USEC`` the interval in microseconds within
    which the manager requires a notification. ``clock`` is monotonic. The watchdog is notified while ``alive`` returns true.

    A notification that the manager cannot take at present is sent again; a newer one of its kind replaces it.
    """

    def __init__(self, environ: Mapping[str, str], clock: IReactorTime) -> None:
        self.alive: Callable[[], bool] = lambda: True
        self._clock = clock
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog_seconds(environ)
        self._beat = Activity("watchdog", self._notify_watchdog, clock, interval=self._watchdog / 2 or None)
        self._unsent: dict[str, _Notification] = {}
        self._resending = Activity("notifications to systemd", self._send_all, clock)
        self._is_ready = self._is_stopping = False
        self._status = ""

    def start(self) -> None:
        """Notify the watchdog at half its interval from now on."""
        if self._watchdog:
            self._beat.start(now=True)

    def status(self, text: str) -> None:
        """Report a line for people, if it differs from the last one."""
        if text != self._status and not self._is_stopping:
            self._send("status", self._status_of(text))

    def ready(self, text: str) -> None:
        """Report that the daemon is ready."""
        self._is_ready = True
        self._send("ready", f"READY=1\n{self._status_of(text)}")

    def reloading(self) -> None:
        """Report that a reload has begun; :meth:`reloaded` reports its end. During the start: nothing."""
        if self._is_ready and not self._is_stopping:
            self._send("ready", f"RELOADING=1\nMONOTONIC_USEC={self._clock.seconds() * 1e6:.0f}")

    def reloaded(self, text: str) -> None:
        """Report the end of a reload, applied or refused."""
        if self._is_ready and not self._is_stopping:
            self.ready(text)

    def stopping(self, text: str, seconds: float) -> None:
        """Report that the daemon is stopping, and that it needs at most ``seconds`` for what ``text`` names."""
        self._beat.stop()
        self._is_stopping = True
        self._send("ready", f"STOPPING=1\nEXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}\n{self._status_of(text)}")

    def store(self, name: str, listener: socket.socket) -> None:
        """Let the manager keep a socket and pass it to the next process (``LISTEN_FDS``)."""
        self._send(f"descriptor {name}", f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", listener)

    def forget(self, name: str) -> None:
        """Let the manager close the sockets that it keeps by this name."""
        self._send(f"descriptor {name}", f"FDSTOREREMOVE=1\nFDNAME={name}")

    def close(self) -> None:
        """Send nothing any more."""
        self._beat.stop()
        self._resending.stop()
        self._unsent.clear()

    def _status_of(self, text: str) -> str:
        self._status = text
        return f"STATUS={printable(text)[:LONGEST]}"

    def _notify_watchdog(self) -> None:
        if self.alive():
            self._send("watchdog", "WATCHDOG=1")

    def _send(self, kind: str, state: str, carried: socket.socket | None = None) -> None:
        if not self._address:
            return
        self._unsent.pop(kind, None)
        self._unsent[kind] = _Notification(state, carried)
        if not self._resending.running:
            self._resending.start(now=True)

    def _send_all(self) -> float | None:
        while self._unsent:
            kind, first = next(iter(self._unsent.items()))
            if not self.notify(first.state, first.carried):
                return RESEND_SECONDS
            del self._unsent[kind]
        return None

    def notify(self, state: str, carried: socket.socket | None = None) -> bool:
        """Send one datagram; return false if the manager's queue is full.

        Other errors are ignored, because an absent manager must not stop the daemon; so is a socket that was closed.
        """
        if carried is not None and carried.fileno() < 0:
            return True
        rights = (
            [] if carried is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [carried.fileno()]))]
        )
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendmsg([state.encode(errors="replace")], rights, 0, self._address)
        except OSError as error:
            return error.errno not in _FULL
        return True
