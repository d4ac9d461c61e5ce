"""A child process whose output is read line by line.

The reactor's ``spawnProcess`` is not used: in older Twisted it forks without waiting for the exec, and until the child has
closed its copies of our descriptors, sockets that we close stay in the check engine's epoll. A pidfd reports the end of the
child, without a signal handler.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.runtime.line_feed import LineFeed
from pybal.runtime.lines import LineSplitter
from pybal.runtime.reactor import Reactor

LONGEST_LINE = 1000
"""Bytes kept of each line of output."""

_READ = 65536
_NAMES = {number.value: number.name for number in signal.Signals}


@implementer(IReadDescriptor)
class _DescriptorReader:
    """Call ``ready`` when a descriptor is readable."""

    def __init__(self, fileno: int, ready: Callable[[], None]) -> None:
        self._fileno = fileno
        self._ready = ready

    def fileno(self) -> int:
        return self._fileno

    def doRead(self) -> None:  # noqa: N802  # Twisted's name
        self._ready()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802  # Twisted's name
        del reason

    def logPrefix(self) -> str:  # noqa: N802  # Twisted's name
        return "bgp"


class Child:
    """A running child process. Raises OSError if it cannot be started.

    ``received`` is called with each line of output, ``ended`` once, with the reason, after the last line. A flood of lines is
    passed on in slices.
    """

    def __init__(
        self,
        reactor: Reactor,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        directory: Path,
        received: Callable[[bytes], None],
        ended: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._ended = ended
        self._code: int | None = None
        # Its own session: signals of our terminal do not reach the child.
        self._process = Popen(  # noqa: S603  # our own launcher, without a shell
            argv,
            env=environ,
            cwd=directory,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None  # noqa: S101  # stdout is a PIPE
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._output = _DescriptorReader(self._pipe.fileno(), self._read_output)
        self._feed = LineFeed(
            LineSplitter(LONGEST_LINE, truncate=True),
            received,
            reactor,
            pause=lambda: reactor.removeReader(self._output),
            resume=self._resume,
        )
        self._last_read = False
        self._end = _DescriptorReader(os.pidfd_open(self.pid), self._reap)
        reactor.addReader(self._output)
        reactor.addReader(self._end)

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def _read_output(self) -> None:
        with suppress(BlockingIOError):
            piece = os.read(self._pipe.fileno(), _READ)
            if not piece:
                self._reactor.removeReader(self._output)
            self._feed.feed(piece)

    def _resume(self) -> None:
        if self._code is None:
            self._reactor.addReader(self._output)
        else:
            self._finish()

    def _reap(self) -> None:
        self._code = self._process.poll()
        if self._code is None:
            return
        self._reactor.removeReader(self._end)
        os.close(self._end.fileno())
        if not self._feed.busy:
            self._finish()

    def _finish(self) -> None:
        """Read the last output, and report the end after its last line."""
        if not self._last_read:
            self._last_read = True
            self._read_output()
            if self._feed.busy:
                return
        self._feed.feed(b"\n")
        self._reactor.removeReader(self._output)
        self._pipe.close()
        code = self._code or 0
        self._ended(f"exit status {code}" if code >= 0 else f"killed by {_NAMES.get(-code, f'signal {-code}')}")
