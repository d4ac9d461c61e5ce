"""Notifications to systemd: ready, reloading, stopping, status and watchdog (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

from pybal.runtime.activity import Activity


def watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return the interval of the service manager's watchdog (``WATCHDOG_USEC``) in seconds, 0 without one."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0


class Notifier:
    """Sends states to the service manager; does nothing if ``NOTIFY_SOCKET`` is unset.

    ``environ`` is read once: ``NOTIFY_SOCKET`` is the address, ``WATCHDOG_USEC`` the interval in microseconds within
    which the manager requires a notification. ``clock`` is monotonic.
    """

    def __init__(self, environ: Mapping[str, str], clock: IReactorTime) -> None:
        self._clock = clock
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog_seconds(environ)
        self._beat = Activity("watchdog", self._notify_watchdog, clock, interval=self._watchdog / 2 or None)

    def ready(self, status: str) -> None:
        """Report that the daemon is ready, and notify the watchdog at half its interval from now on."""
        self.notify(f"READY=1\nSTATUS={status}")
        if self._watchdog and not self._beat.running:
            self._beat.start(now=True)

    def reloading(self) -> None:
        """Report that a reload has begun; :meth:`ready` reports its end."""
        self.notify(f"RELOADING=1\nMONOTONIC_USEC={self._clock.seconds() * 1e6:.0f}")

    def stopping(self) -> None:
        """Report that the daemon is stopping."""
        self._beat.stop()
        self.notify("STOPPING=1")

    def _notify_watchdog(self) -> None:
        self.notify("WATCHDOG=1")

    def notify(self, state: str) -> None:
        """Send one datagram; ignore errors, because an absent manager must not stop the daemon."""
        if not self._address:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendto(state.encode(), self._address)
        except OSError:
            return
