"""Starts commands without holding the event loop, through a small helper process.

A fork of the daemon copies its page tables, and any start from its process waits for the exec, which hangs with a network file
system. The daemon sends each command to a helper process instead (:mod:`pybal.runtime.spawner_process`), and the operating system
makes the command a child of the daemon. Commands inherit from the helper: a clean environment, a soft limit of 1024 descriptors,
no other descriptor, the default signal handling, the usual OOM score, and the capabilities of the daemon except CAP_NET_ADMIN
and CAP_NET_BIND_SERVICE.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, Popen

from twisted.logger import Logger

from pybal.runtime import child
from pybal.runtime.child import Capability

RESTART_SECONDS = 1.0
"""Least time between two starts of the helper process."""

_PROGRAM = str(Path(__file__).with_name("spawner_process.py"))
_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}


class Spawned:
    """A command from the request for its start until it is reaped; nothing here waits.

    ``output`` and ``status`` are descriptors to read, which the owner closes. ``pid`` is 0 until the process exists. ``error``
    is the errno if the program could not be executed; it is ``unstarted`` if there was no process at all.
    """

    __slots__ = ("_received", "error", "exitcode", "output", "pid", "status", "unstarted")

    def __init__(self, output: int, status: int) -> None:
        self.output = output
        self.status = status
        self.pid = 0
        self.error = 0
        self.unstarted = False
        self.exitcode = 0
        """The exit status after :meth:`reap`, or the signal that ended the process, negative."""
        self._received = b""

    def ended(self) -> bool:
        """Return whether the process, which is not reaped yet, has ended or will never exist."""
        self._read_status()
        if self.unstarted:
            return True
        if not self._has_exited():
            return False
        self._read_status()  # which is complete now
        return True

    def kill(self) -> None:
        """Kill the process and its group; before :meth:`reap`, so the number is not reused."""
        if self.pid:
            for kill in (os.killpg, os.kill):  # the process too, in case it left its group
                with suppress(OSError):  # may lack the permission
                    kill(self.pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Reap the process if it has ended; return whether nothing is left."""
        if not self.ended():
            return False
        if self.pid:
            _, status = os.waitpid(self.pid, 0)
            self.exitcode = os.waitstatus_to_exitcode(status)
            self.pid = 0
        return True

    def close(self) -> None:
        """Close ``output`` and ``status``."""
        for fileno in (self.output, self.status):
            os.close(fileno)

    def _has_exited(self) -> bool:
        return bool(self.pid and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))

    def _read_status(self) -> None:
        try:
            while data := os.read(self.status, 64):
                self._received += data
        except BlockingIOError:
            complete = False
        else:
            complete = True
        for line in self._received.splitlines():
            word, _, number = line.partition(b" ")
            if word == b"pid":
                self.pid = int(number)
            else:
                self.error = int(number)
        if complete and not self.pid:
            self.unstarted = True
            self.error = self.error or errno.EAGAIN  # the helper process ended


class Spawner:
    """Starts commands through a helper process.

    The helper process starts with the first command, and again with the first one after its end.
    Commands keep CAP_NET_ADMIN and CAP_NET_BIND_SERVICE only with ``keep_capabilities``. ``seconds`` is a monotonic clock.
    """

    _log = Logger()

    def __init__(self, *, keep_capabilities: bool = False, seconds: Callable[[], float] = time.monotonic) -> None:
        self._without = () if keep_capabilities else (Capability.NET_ADMIN, Capability.NET_BIND_SERVICE)
        self._seconds = seconds
        self._started_at: float | None = None
        self._requests: socket.socket | None = None

    def spawn(self, arguments: Sequence[str]) -> Spawned:
        """Request the start of a command. OSError means a local problem, ValueError impossible arguments."""
        request = b"\0".join(map(os.fsencode, arguments))
        pipes: list[int] = []
        try:
            for _ in range(2):
                pipes += os.pipe2(os.O_CLOEXEC)
            output, output_end, status, status_end = pipes
            for fileno in (output, status):
                os.set_blocking(fileno, False)
            self._send(request, [output_end, status_end])
        except OSError:
            for fileno in pipes:
                os.close(fileno)
            raise
        os.close(output_end)
        os.close(status_end)
        return Spawned(output, status)

    def close(self) -> None:
        """End the helper process; commands that run are not affected."""
        if self._requests is not None:
            self._requests.close()
            self._requests = None

    def _send(self, request: bytes, descriptors: list[int]) -> None:
        for requests in (self._requests, None):
            if requests is None:
                requests = self._start()  # noqa: PLW2901  # the second attempt
            try:
                socket.send_fds(requests, [request], descriptors)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self.close()
            else:
                return
        raise OSError(errno.EAGAIN, "the helper process that starts commands has ended")

    def _start(self) -> socket.socket:
        now = self._seconds()
        if self._started_at is not None and now - self._started_at < RESTART_SECONDS:
            raise OSError(errno.EAGAIN, "the helper process that starts commands has ended")
        self._started_at = now
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # Requests wait in the socket until the helper process reads them.
        thread = threading.Thread(target=self._start_helper, args=(theirs,), name="spawner", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            ours.close()
            theirs.close()
            raise OSError(errno.EAGAIN, str(error)) from error
        self._requests = ours
        return ours

    def _start_helper(self, requests: socket.socket) -> None:
        """Start the helper process and wait for its end; runs in a thread."""
        command = child.expendable(child.limited([sys.executable, "-I", "-S", _PROGRAM], without=self._without))
        try:
            helper = Popen(  # noqa: S603  # our own program, without a shell
                command, env=child.environment(), stdin=requests.fileno(), stdout=DEVNULL, start_new_session=True
            )
        except OSError as error:
            text = "Cannot start the helper process of commands ({error}); ignoring the results of their checks"
            self._log.error(text, error=error, system="checks")
            return
        finally:
            requests.close()
        status = helper.wait()
        if status:
            text = "Helper process of commands ended (status {status}); starting another one with the next command"
            self._log.error(text, status=status, system="checks")
