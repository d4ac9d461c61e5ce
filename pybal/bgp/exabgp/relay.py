"""ExaBGP's API process: joins its pipes to the daemon's socket, and is the dead man's switch.

``relay.py SOCKET SECONDS``. Lines from ExaBGP (standard input) go to the daemon, those of the daemon to ExaBGP (standard
output). Lines that begin with ``!`` are between the daemon and us: each is a heartbeat and comes back. At the daemon's end
of file, or after so many seconds without a heartbeat, ExaBGP is told to close its sessions, and killed if it does not.

ExaBGP's writes to us block it, so we read always. Standard library only, run with -I -S.
"""

import ctypes
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

MOST = 16 * 1024 * 1024
"""Bytes that may wait for either side before we give up on it."""

SHUTDOWN_SECONDS = 0.5
"""How long ExaBGP may take to close its sessions before it is killed."""

STDIN, STDOUT = 0, 1
_PR_SET_PDEATHSIG = 1
_READ = 65536


class GaveUp(Exception):  # noqa: N818  # it is an end, not an error
    """ExaBGP must not go on announcing; why."""


class Relay:
    """Joins the pipes with the socket until one of them ends."""

    def __init__(self, daemon: socket.socket, timeout: float) -> None:
        self.daemon = daemon
        self.timeout = timeout
        self.exabgp = os.getppid()
        self.exabgp_ended = False
        self.to_daemon = bytearray(b"!hello %d\n" % os.getpid())
        self.to_exabgp = bytearray()
        self.unfinished = bytearray()
        self.heard = time.monotonic()
        self.selector = selectors.DefaultSelector()
        for file in (STDIN, STDOUT):
            os.set_blocking(file, False)
        daemon.setblocking(False)
        self.selector.register(STDIN, selectors.EVENT_READ)
        self.selector.register(daemon, selectors.EVENT_READ)
        # A handler could run between a write and its note of how much was written: it only wakes the loop.
        self.signalled, woken = os.pipe()
        for file in (self.signalled, woken):
            os.set_blocking(file, False)
        self.selector.register(self.signalled, selectors.EVENT_READ)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, lambda *_: None)

    def run(self) -> None:
        """Return when ExaBGP has ended, or ended us; raises :class:`GaveUp`."""
        while True:
            self._wait()
            ending = self._signalled()
            while self._hear_exabgp() and ending:
                pass  # what it said before it ended us is in the pipe
            if self.exabgp_ended or ending:
                self.write()
                return
            self._hear_daemon()
            self.write()
            if max(len(self.to_daemon), len(self.to_exabgp)) > MOST:
                raise GaveUp("too much waits to be read")
            if time.monotonic() - self.heard > self.timeout:
                raise GaveUp(f"no heartbeat from the daemon for {self.timeout:g} s")

    def _wait(self) -> None:
        writing = selectors.EVENT_WRITE if self.to_daemon else 0
        self.selector.modify(self.daemon, selectors.EVENT_READ | writing)
        registered = STDOUT in self.selector.get_map()
        if self.to_exabgp and not registered:
            self.selector.register(STDOUT, selectors.EVENT_WRITE)
        elif registered and not self.to_exabgp:
            self.selector.unregister(STDOUT)
        self.selector.select(max(0.0, self.heard + self.timeout - time.monotonic()) + 0.01)

    def _signalled(self) -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(self.signalled, _READ))
        return False

    def _hear_exabgp(self) -> bool:
        """Return whether there may be more."""
        with suppress(BlockingIOError):
            said = os.read(STDIN, _READ)
            self.to_daemon += said
            self.exabgp_ended = not said
            return bool(said)
        return False

    def _hear_daemon(self) -> None:
        try:
            said = self.daemon.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise GaveUp(f"lost the daemon: {error.strerror}") from error
        if not said:
            raise GaveUp("the daemon has ended")
        self.unfinished += said
        *lines, self.unfinished = self.unfinished.split(b"\n")
        for line in lines:
            if line.startswith(b"!"):
                self.heard = time.monotonic()
                self.to_daemon += line + b"\n"
            else:
                self.to_exabgp += line + b"\n"

    def write(self) -> None:
        """Write what can be written now."""
        with suppress(BlockingIOError, BrokenPipeError):  # an end is noticed where we read
            if self.to_exabgp:
                del self.to_exabgp[: os.write(STDOUT, self.to_exabgp)]
        with suppress(OSError):
            if self.to_daemon:
                del self.to_daemon[: self.daemon.send(self.to_daemon)]

    def end_exabgp(self) -> None:
        """Have the sessions closed, kindly if that works at once."""
        with suppress(OSError):
            os.write(STDOUT, b"\nshutdown\n")
        end = time.monotonic() + SHUTDOWN_SECONDS
        while (left := end - time.monotonic()) > 0 and os.getppid() == self.exabgp:
            with suppress(OSError):
                if not os.read(STDIN, _READ):
                    return
            time.sleep(min(left, 0.01))
        if os.getppid() == self.exabgp:
            os.kill(self.exabgp, signal.SIGKILL)


def main() -> int:
    """Run until the end of either side; return the exit status."""
    # With the death of ExaBGP there is nothing to relay; its pipe may be held open by others.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        daemon.connect(sys.argv[1])
    except OSError as error:
        sys.exit(f"relay: {sys.argv[1]}: {error.strerror}")
    relay = Relay(daemon, float(sys.argv[2]))
    try:
        relay.run()
    except GaveUp as reason:
        with suppress(OSError):
            os.write(2, f"relay: {reason}: closing all sessions\n".encode())
        relay.end_exabgp()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
