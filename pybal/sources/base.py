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
    ``failed`` when it cannot be read or is refused; then the last good list stays in force. It calls neither after
    :meth:`stop`, and neither from within :meth:`start`.
    """

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None: ...

    def stop(self) -> None: ...
