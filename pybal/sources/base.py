"""The seam of the pool sources: a source delivers whole lists, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pybal.model import Member


class SourceError(Exception):
    """A pool source could not be read, or what it said is refused: never the same as a list of nobody.

    The text names the source and, where there is one, the line or key and the host.
    """


class Source(Protocol):
    """Where the members of one service come from.

    After :meth:`start` it calls ``listed`` with the whole list whenever it differs from the last one delivered, and
    ``failed`` when it cannot be read or is refused, as a whole or in part, once for each new reason; what was refused
    stays as it was in the last good list. It calls neither after :meth:`stop`, and neither from within :meth:`start`.
    """

    @property
    def problem(self) -> str | None:
        """What is wrong now, in the words ``failed`` was told; ``None`` when all is well, or nothing is known yet."""

    @property
    def last_success(self) -> float | None:
        """The monotonic time, in seconds, at which the source was last known to be good; ``None`` before the first."""

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None: ...

    def stop(self) -> None: ...
