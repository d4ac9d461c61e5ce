"""A pool source whose reports a test makes."""

from __future__ import annotations

from collections.abc import Callable

from pybal.core.model import Member
from pybal.sources.base import SourceError


class ScriptedSource:
    """A source that does nothing; call ``listed`` and ``failed`` after the start, and set the attributes."""

    problem: str | None = None
    last_success: float | None = None
    differences = 0
    removed: frozenset[str] = frozenset()
    incomplete = False
    unsure: frozenset[str] = frozenset()

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        self.listed, self.failed = listed, failed

    def stop(self) -> None: ...
