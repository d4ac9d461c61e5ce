"""The interface of pool sources: a source delivers complete lists, or reports a problem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, overload

from pybal.core.model import Member
from pybal.core.text import printable
from pybal.http.errors import Fault, ProtocolError
from pybal.runtime.lines import LineTooLong


class Trouble(StrEnum):
    """The kind of a source's problem, a label value of a metric."""

    UNREACHABLE = "unreachable"
    """No connection, no TLS session, no such name or no such file."""
    SILENT = "silent"
    """No complete response in time."""
    DENIED = "denied"
    """Permission or authentication failure."""
    FAILED = "failed"
    """An error reported by the source itself, or a bug of PyBal."""
    MALFORMED = "malformed"
    """An invalid list, or a list with invalid entries."""
    EMPTY = "empty"
    """A list without servers."""
    SHRUNK = "shrunk"
    """A list that lost too many servers in one step."""
    GROWN = "grown"
    """A list with more servers than allowed."""
    FLOOR = "floor"
    """A list that disables more servers than allowed."""
    STALE = "stale"
    """A list that is not up to date."""


class SourceError(Exception):
    """A pool source could not be read, or its list was refused; never raised for an accepted empty list.

    The text names the line or key and the host, if the problem has one. ``applied`` is the part of the list that is in use nevertheless,
    for people; empty for none.
    """

    def __init__(self, text: str, trouble: Trouble = Trouble.MALFORMED, applied: str = "") -> None:
        super().__init__(printable(text))  # the words of a server, in logs and endpoints
        self.trouble = trouble
        self.applied = applied


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
    """Return the :class:`SourceError` for a failed request or line; other exceptions unchanged."""
    if isinstance(error, ProtocolError):
        return SourceError(str(error), _TROUBLES[error.fault])
    if isinstance(error, LineTooLong):
        return SourceError(str(error), Trouble.MALFORMED)
    return error


class PoolState(NamedTuple):
    """The state of a pool on which the sanity checks on a new list depend.

    ``members`` is the present list, ``None`` before the first one. ``pooled`` are its hosts in the kernel's table, including
    those that wait for their first lookup and may be in it.
    """

    members: Sequence[Member] | None = None
    pooled: frozenset[str] = frozenset()


class Source(Protocol):
    """A source of the members of one service.

    After :meth:`start`, the source calls ``listed`` with the complete list whenever it differs from the last one delivered,
    and ``failed`` once for each new problem: the source cannot be read, or its list is refused as a whole or in part. The
    refused part stays as in the last good list. ``listed`` refuses a list by raising :class:`SourceError`, which is then
    reported like any other problem. Neither is called within :meth:`start` or after :meth:`stop`.
    """

    @property
    def problem(self) -> str | None:
        """The current problem as passed to ``failed``; ``None`` without one, or before the first read."""

    @property
    def last_success(self) -> float | None:
        """Monotonic time, in seconds, at which the list was last known to be up to date, or ``None``."""

    @property
    def differences(self) -> int:
        """Number of entries in which full reads differed from the changes reported before."""

    @property
    def removed(self) -> frozenset[str]:
        """Hosts that the last list read declares out of the pool, such as ``inactive`` ones of conftool."""

    @property
    def unsure(self) -> frozenset[str]:
        """Hosts with invalid or unknown values in the last list read; in the pool they stay as they are."""

    @property
    def incomplete(self) -> bool:
        """True if the last list read has entries that may be of any host."""

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None: ...

    def stop(self) -> None: ...


class CheckedSource(Protocol):
    """A source whose lists are checked against the present pool; see :class:`Source`."""

    @property
    def problem(self) -> str | None: ...

    @property
    def last_success(self) -> float | None: ...

    @property
    def applied(self) -> str:
        """The part of the list with the problem that is in use nevertheless; see :class:`SourceError`."""

    @property
    def removal(self) -> str | None:
        """The removal of many hosts that the source declared out of the pool; ``None`` without one."""

    @property
    def saved(self) -> Sequence[Member]:
        """The list on disk at the start, until the first list is delivered; empty without one."""

    def start(
        self,
        listed: Callable[[tuple[Member, ...]], None],
        failed: Callable[[SourceError], None],
        pool: Callable[[], PoolState],
    ) -> None:
        """Start; ``pool`` returns the present state of the pool that the lists are for."""

    def stop(self) -> None: ...
