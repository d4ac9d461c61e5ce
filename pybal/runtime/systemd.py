"""What the daemon tells systemd: ready, stopping, a status line, and that its loop still turns (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall


class Notifier:
    """Sends states to the service manager; does nothing where there is none.

    ``environ`` is read once: ``NOTIFY_SOCKET`` for the address, ``WATCHDOG_USEC`` for the interval, in microseconds, in
    which the manager wants a sign of life. ``clock`` is monotonic.
    """

    def __init__(self, environ: Mapping[str, str], clock: IReactorTime) -> None:
        self._clock = clock
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.get("WATCHDOG_USEC", "")
        self._watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0
        self._beat = LoopingCall(self.notify, "WATCHDOG=1")
        self._beat.clock = clock

    def ready(self, status: str) -> None:
        """Say that the daemon serves, and beat from now on at half the interval of the watchdog."""
        self.notify(f"READY=1\nSTATUS={status}")
        if self._watchdog and not self._beat.running:
            self._beat.start(self._watchdog / 2)

    def reloading(self) -> None:
        """Say that the configuration is being read anew, from this moment on; :meth:`ready` ends that."""
        self.notify(f"RELOADING=1\nMONOTONIC_USEC={self._clock.seconds() * 1e6:.0f}")

    def stopping(self) -> None:
        """Say that the daemon is on its way out."""
        if self._beat.running:
            self._beat.stop()
        self.notify("STOPPING=1")

    def notify(self, state: str) -> None:
        """Send one datagram. A manager that does not listen must not hinder us: failures are ignored."""
        if not self._address:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendto(state.encode(), self._address)
        except OSError:
            return
