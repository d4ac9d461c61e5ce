"""The output of a command: read as it arrives, the end kept, escaped for people."""

from __future__ import annotations

import os
from collections.abc import Callable

from pybal.checks.engine import Engine
from pybal.checks.result import Result
from pybal.core.text import printable

KEPT = 4096
"""Bytes that are kept: the last ones, because commands print their result last."""
LONGEST_LINE = 200
"""Characters of a line in a reason."""

_READ = 65536
"""The capacity of a pipe."""
_BURST = 1 << 20
"""Bytes that are read without a pause."""
_REST = 0.05
"""Pause in seconds after a burst: a flooding command waits."""


class CommandOutput:
    """Reads a pipe that does not block until :meth:`close`, which leaves it open."""

    __slots__ = ("_broke", "_burst_end", "_engine", "_fileno", "deadline", "event", "kept", "name", "size")

    def __init__(self, engine: Engine, fileno: int, name: str, broke: Callable[[Exception], None]) -> None:
        self.name = f"output of {name}"
        self.kept = b""
        self.size = 0
        self.deadline = 0
        self.event: Callable[[int], None] = self._readable
        self._engine = engine
        self._fileno = fileno
        self._broke = broke
        self._burst_end = _BURST
        engine.watch(self, self._fileno)

    def close(self) -> None:
        """Read the rest and stop."""
        self._read()
        self._engine.forget(self._fileno)
        self._fileno = -1
        self.deadline = 0

    # -- for the engine

    def expire(self) -> None:
        self._burst_end = self.size + _BURST
        self._read()

    def settle(self, result: Result) -> None:
        """Do nothing: the command has the result."""

    def broke(self, error: Exception) -> None:
        self._broke(error)

    # -- own

    def _readable(self, events: int) -> None:
        del events
        if not self.deadline:
            self._read()
            if self.size >= self._burst_end:
                self._engine.arm(self, _REST)

    def _read(self) -> None:
        if self._fileno < 0:
            return
        try:
            data = os.read(self._fileno, _READ)
        except BlockingIOError:
            return
        if data:
            self.size += len(data)
            self.kept = (self.kept + data)[-KEPT:]


def lines(output: bytes) -> list[str]:
    """Return the lines that are not blank, with unprintable characters escaped."""
    return [printable(line.rstrip().decode(errors="backslashreplace")) for line in output.splitlines() if line.strip()]


def last_line(output: bytes) -> str:
    """Return the last line that is not blank, shortened; empty without one."""
    found = lines(output)
    if not found:
        return ""
    return found[-1] if len(found[-1]) <= LONGEST_LINE else found[-1][: LONGEST_LINE - 1] + "…"
