"""Standard output of a command: its errors, and the end of its reader."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from typing_extensions import override

from pybal.control.wire import FAILED

if TYPE_CHECKING:
    from typing_extensions import Buffer  # Debian 12 has an older release

_STREAMS = (0, 1, 2)


class OutputError(BaseException):
    """Standard output cannot be written, such as a file on a full disk.

    It ends a command as KeyboardInterrupt does.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class _StandardOutput(io.FileIO):
    """Raises one OutputError, and discards what is written after it."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self._failed = False

    @override
    def write(self, data: Buffer, /) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            raise OutputError(error) from error


def printing(command: Callable[[], int]) -> int:
    """Return the exit status of a command that prints; a failure if its output cannot be written.

    The reader of a pipe may end before the command, as ``head`` does. A standard stream that is missing is empty.
    """
    _open_missing()
    if sys.stdout is sys.__stdout__:  # a test may capture it
        sys.stdout = _text()
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except OutputError as failed:
        if isinstance(failed.error, BrokenPipeError):
            return 0
        print(f"pybal: standard output: {failed.error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + 2  # as a shell shows a command ended by SIGINT


def _text() -> TextIO:
    raw = _StandardOutput()
    encoding = getattr(sys.stdout, "encoding", None)  # none if it was closed
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=raw.isatty())


def _open_missing() -> None:
    """Open standard streams that are closed: what is opened next would take their place."""
    for stream in _STREAMS:
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  # until the end of the process
