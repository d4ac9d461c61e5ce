"""The program of the helper process of :mod:`pybal.runtime.spawner`; it imports nothing of PyBal.

Each packet on standard input is a command: its arguments, separated by NUL, with two descriptors, for its output and its status.
The command becomes a child of the daemon (``CLONE_PARENT``), which waits for it; this process forgets it. The status is up to two
lines: ``pid N`` and, if the program could not be executed, ``exec ERRNO``; or ``fork ERRNO`` if there is no process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket

MOST_BYTES = 200_000
"""Bytes of a command's arguments, less than the buffer of a socket."""

_DESCRIPTORS = 2
_CLONE_PARENT = 0x8000
_STACK = 1 << 20


def main() -> None:
    """Start commands until the daemon closes its end."""
    # A child inherits ignored signals: Python ignores two, and a shell or nohup may ignore others.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    requests = socket.socket(fileno=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    start = _Start(nothing)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, _DESCRIPTORS)
        if not request:
            return
        for each in descriptors:
            os.set_inheritable(each, False)
        if len(descriptors) == _DESCRIPTORS:
            start(request.split(b"\0"), *descriptors)
        for each in descriptors:
            os.close(each)


class _Start:
    """Starts commands, with ``nothing`` as their standard input."""

    def __init__(self, nothing: int) -> None:
        self._nothing = nothing
        self._arguments: list[bytes] = []
        self._output = self._status = -1
        self._stack = ctypes.create_string_buffer(_STACK)
        self._top = ctypes.c_void_p((ctypes.addressof(self._stack) + _STACK) & ~0xF)
        self._run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._become)
        self._clone = ctypes.CDLL(None, use_errno=True).clone

    def __call__(self, arguments: list[bytes], output: int, status: int) -> None:
        self._arguments, self._output, self._status = arguments, output, status
        # The memory is copied, as by fork: the functions of os that fork would make a child of this process.
        if self._clone(self._run, self._top, _CLONE_PARENT | signal.SIGCHLD, None) == -1:
            os.write(status, b"fork %d\n" % ctypes.get_errno())

    def _become(self, _argument: object) -> int:
        """Become the command, in the new process."""
        try:
            os.setsid()
            os.write(self._status, b"pid %d\n" % os.getpid())
            for source, target in ((self._nothing, 0), (self._output, 1), (self._output, 2)):
                os.dup2(source, target)
            os.execvp(self._arguments[0], self._arguments)  # noqa: S606  # the operator's own command, no shell
        except OSError as error:
            os.write(self._status, b"exec %d\n" % (error.errno or 0))
        finally:
            os._exit(127)


if __name__ == "__main__":
    main()
