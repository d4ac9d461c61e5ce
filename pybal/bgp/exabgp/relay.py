"""ExaBGP's API process: relays lines between ExaBGP and the daemon, and is the dead man's switch.

``relay.py SOCKET HEARTBEAT SHUTDOWN``. Lines from ExaBGP (standard input) go to the daemon, lines from the daemon to ExaBGP
(standard output). Lines from the daemon that begin with ``!`` are heartbeats, which the relay echoes. At the daemon's end of
file, or after HEARTBEAT seconds without a heartbeat, the relay orders ExaBGP to close its sessions, and kills it if it has
not ended after SHUTDOWN seconds.

Only time in which the relay itself ran counts: after a pause of the whole machine, the daemon had no chance to send a heartbeat,
and the router's hold time decides about the sessions.

The relay always reads: ExaBGP blocks while its output is not read. Standard library only, run with -I -S.
"""

import ctypes
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress

BUFFER_LIMIT = 16 * 1024 * 1024
"""Bytes buffered for either side before the relay gives up."""

TICK = 0.25
"""The relay wakes at least this often, in seconds; a longer sleep was a pause, and counts as one tick."""

STDIN, STDOUT = 0, 1
_PR_SET_PDEATHSIG = 1
_READ = 65536


class GaveUp(Exception):  # noqa: N818  # an end, not an error
    """The reason why ExaBGP must stop announcing."""


class Relay:
    """Relay between the pipes and the socket until one of them ends."""

    def __init__(self, daemon: socket.socket, timeout: float) -> None:
        self.daemon = daemon
        self.timeout = timeout
        self.exabgp = os.getppid()
        self.exabgp_ended = False
        self.to_daemon = bytearray(b"!hello %d\n" % os.getpid())
        self.to_exabgp = bytearray()
        self.unfinished = bytearray()
        self.silence = 0.0
        """Time without a heartbeat, in seconds in which the relay ran."""
        self.woken = time.monotonic()
        self.selector = selectors.DefaultSelector()
        for file in (STDIN, STDOUT):
            os.set_blocking(file, False)
        daemon.setblocking(False)
        self.selector.register(STDIN, selectors.EVENT_READ)
        self.selector.register(daemon, selectors.EVENT_READ)
        # A handler could run between a write and the removal of the written bytes: it only wakes the loop.
        self.signalled, woken = os.pipe()
        for file in (self.signalled, woken):
            os.set_blocking(file, False)
        self.selector.register(self.signalled, selectors.EVENT_READ)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, lambda *_: None)

    def run(self) -> None:
        """Return when ExaBGP has ended, or terminated the relay; raises :class:`GaveUp`."""
        while True:
            self._wait()
            ending = self._signalled()
            while self._read_exabgp() and ending:
                pass  # the pipe still holds the lines from before the signal
            if self.exabgp_ended or ending:
                self.write()
                return
            self._count()
            self._read_daemon()
            self.write()
            if max(len(self.to_daemon), len(self.to_exabgp)) > BUFFER_LIMIT:
                raise GaveUp(f"more than {BUFFER_LIMIT} bytes unread")
            if self.silence > self.timeout:
                raise GaveUp(f"no heartbeat from the daemon for {self.timeout:g} s")

    def _wait(self) -> None:
        writing = selectors.EVENT_WRITE if self.to_daemon else 0
        self.selector.modify(self.daemon, selectors.EVENT_READ | writing)
        registered = STDOUT in self.selector.get_map()
        if self.to_exabgp and not registered:
            self.selector.register(STDOUT, selectors.EVENT_WRITE)
        elif registered and not self.to_exabgp:
            self.selector.unregister(STDOUT)
        self.selector.select(min(TICK, max(0.0, self.timeout - self.silence) + 0.01))

    def _count(self) -> None:
        now = time.monotonic()
        self.silence += min(TICK, now - self.woken)
        self.woken = now

    def _signalled(self) -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(self.signalled, _READ))
        return False

    def _read_exabgp(self) -> bool:
        """Read once; return whether more may be available."""
        with suppress(BlockingIOError):
            data = os.read(STDIN, _READ)
            self.to_daemon += data
            self.exabgp_ended = not data
            return bool(data)
        return False

    def _read_daemon(self) -> None:
        try:
            data = self.daemon.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise GaveUp(f"connection to the daemon lost: {error.strerror}") from error
        if not data:
            raise GaveUp("daemon ended")
        self.unfinished += data
        *lines, self.unfinished = self.unfinished.split(b"\n")
        for line in lines:
            if line.startswith(b"!"):
                self.silence = 0.0
                self.to_daemon += line + b"\n"
            else:
                self.to_exabgp += line + b"\n"

    def write(self) -> None:
        """Write without blocking."""
        with suppress(BlockingIOError, BrokenPipeError):  # reading detects the end
            if self.to_exabgp:
                del self.to_exabgp[: os.write(STDOUT, self.to_exabgp)]
        with suppress(OSError):
            if self.to_daemon:
                del self.to_daemon[: self.daemon.send(self.to_daemon)]

    def end_exabgp(self, seconds: float) -> None:
        """Order ExaBGP to shut down; kill it if it has not ended in time."""
        with suppress(OSError):
            os.write(STDOUT, b"\nshutdown\n")
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and os.getppid() == self.exabgp:
            with suppress(OSError):
                if not os.read(STDIN, _READ):
                    return
            time.sleep(min(left, 0.01))
        if os.getppid() == self.exabgp:
            os.kill(self.exabgp, signal.SIGKILL)


def main() -> int:
    """Relay until either side ends; return the exit status."""
    # End with ExaBGP, even if another process holds its pipe open.
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
            os.write(2, f"relay: {reason}; closing all sessions\n".encode())
        relay.end_exabgp(float(sys.argv[3]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
