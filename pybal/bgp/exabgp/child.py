"""One child process: begun at once, heard line by line, its end told.

Not by the reactor's ``spawnProcess``, which in older Twisted forks without waiting for the execution: until the child has
closed its copies, sockets that we close meanwhile would stay in the check engine's epoll. Nor with a signal handler: a pidfd
tells of the end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from typing import Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.runtime.lines import LineSplitter

LONGEST_LINE = 1000
"""Bytes of a line of the child's output that are kept."""

_READ = 65536
_NAMES = {number.value: number.name for number in signal.Signals}


class Readers(Protocol):
    """What a child needs of a reactor."""

    def addReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name

    def removeReader(self, reader: IReadDescriptor) -> object: ...  # noqa: N802  # Twisted's name


@implementer(IReadDescriptor)
class _DescriptorReader:
    """A descriptor of which the reactor says when it can be read."""

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
    """A process of ours. Raises OSError when it cannot be begun.

    ``said`` takes each line of its output, ``ended`` is called once, with a reason, after the last of them.
    """

    def __init__(
        self,
        reactor: Readers,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        directory: Path,
        said: Callable[[bytes], None],
        ended: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._said = said
        self._ended = ended
        self._lines = LineSplitter(LONGEST_LINE, truncate=True)
        # A session of its own: what a terminal sends to us is not for it.
        self._process = Popen(  # noqa: S603  # our own launcher, and no shell
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
        assert self._process.stdout is not None  # noqa: S101  # it is a PIPE
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._output = _DescriptorReader(self._pipe.fileno(), self._hear)
        self._end = _DescriptorReader(os.pidfd_open(self.pid), self._reap)
        reactor.addReader(self._output)
        reactor.addReader(self._end)

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            piece = os.read(self._pipe.fileno(), _READ)
            if not piece:
                self._reactor.removeReader(self._output)
            for line in self._lines.feed(piece):
                self._said(line)

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        self._hear()
        for line in self._lines.feed(b"\n"):
            if line:
                self._said(line)
        for reader in (self._output, self._end):
            self._reactor.removeReader(reader)
        os.close(self._end.fileno())
        self._pipe.close()
        self._ended(f"exit status {code}" if code >= 0 else f"killed by {_NAMES.get(-code, f'signal {-code}')}")


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  # a descriptor
        file.write(text)
    fresh.replace(path)
