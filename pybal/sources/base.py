"""The seam of the pool sources: a source delivers whole lists, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, overload

from pybal.core.model import Member
from pybal.http.errors import Fault, ProtocolError
from pybal.runtime.lines import LineTooLong


class Trouble(StrEnum):
    """What kind of trouble there is with a source: the label of a metric."""

    UNREACHABLE = "unreachable"
    """No connection, no such name, no such file, no TLS."""
    SILENT = "silent"
    """It is there but does not answer in time, or not in full."""
    DENIED = "denied"
    """It does not let us read."""
    FAILED = "failed"
    """It says itself that it cannot."""
    MALFORMED = "malformed"
    """It says something that is no list, or there are entries in it that are none."""
    EMPTY = "empty"
    SHRUNK = "shrunk"
    """Too much of the list is gone at once."""
    FLOOR = "floor"
    """It disables more servers than it may."""
    STALE = "stale"
    """It says nothing, and a list of the past serves."""


class SourceError(Exception):
    """A pool source could not be read, or what it said is refused: never the same as a list of nobody.

    The text names the source and, where there is one, the line or key and the host.
    """

    def __init__(self, text: str, trouble: Trouble = Trouble.MALFORMED) -> None:
        super().__init__(text)
        self.trouble = trouble


#: The exceptions that :func:`source_error` makes a :class:`SourceError`; every other exception is a bug.
READ_ERRORS = (SourceError, ProtocolError, LineTooLong)

_TROUBLES = {
    Fault.UNREACHABLE: Trouble.UNREACHABLE,
    Fault.NO_RESPONSE: Trouble.SILENT,
    Fault.MALFORMED: Trouble.MALFORMED,
}


@overload
def source_error(error: SourceError | ProtocolError | LineTooLong) -> SourceError: ...
@overload
def source_error(error: Exception) -> Exception: ...
def source_error(error: Exception) -> Exception:
    """Return the :class:`SourceError` for a failed request or an oversized line; any other exception unchanged."""
    if isinstance(error, ProtocolError):
        return SourceError(str(error), _TROUBLES[error.fault])
    if isinstance(error, LineTooLong):
        return SourceError(str(error), Trouble.MALFORMED)
    return error


class Source(Protocol):
    """Where the members of one service come from.

    After :meth:`start` it calls ``listed`` with the whole list whenever it differs from the last one delivered, and
    ``failed`` when it cannot be read or is refused, as a whole or in part, once for each new reason; what was refused
    stays as it was in the last good list. ``listed`` raises :class:`SourceError` for a list that is refused: that is then
    a failure like any other. It calls neither after :meth:`stop`, and neither from within :meth:`start`.
    """

    @property
    def problem(self) -> str | None:
        """What is wrong now, in the words ``failed`` was told; ``None`` when all is well, or nothing is known yet."""

    @property
    def last_success(self) -> float | None:
        """The monotonic time, in seconds, at which the source was last known to be good; ``None`` before the first."""

    @property
    def differences(self) -> int:
        """How many entries a full read has found to be other than the changes before it had said; 0 where all is read."""

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None: ...

    def stop(self) -> None: ...
