"""Deduplicates the lists and problems a source reports to its listener."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats.text import Listing, summary


class Reports:
    """The reports of a source, which calls :meth:`list` and :meth:`failure`.

    ``name`` is the source in messages. ``members`` is the last list that was delivered, ``None`` before the first;
    ``problem`` and ``last_success`` are those of :class:`pybal.sources.base.Source`.
    """

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self.name = name
        self.problem: str | None = None
        self.last_success: float | None = None
        self.members: tuple[Member, ...] | None = None
        self._clock = clock
        self._listeners: tuple[Callable[[tuple[Member, ...]], None], Callable[[SourceError], None]] | None = None

    def begin(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Report to these listeners."""
        self._listeners = listed, failed

    def end(self) -> None:
        """Report no more."""
        self._listeners = None

    def list(self, listing: Listing) -> None:
        """Report a new list and the problems of its entries. Raises SourceError if it is refused."""
        if self._listeners is not None and listing.members != self.members:
            self._listeners[0](listing.members)
            self.members = listing.members
        self.good()
        if listing.problems:
            self.failure(SourceError(summary(listing.problems)))
        else:
            self.problem = None

    def good(self) -> None:
        """Note that the last list is up to date."""
        self.last_success = self._clock.seconds()

    def failure(self, error: SourceError) -> None:
        """Report a problem unless it is the last one, with the name of the source in front."""
        text = str(error)
        text = text if text.startswith(self.name) else f"{self.name}: {text}"
        if self._listeners is not None and text != self.problem:
            self.problem = text
            self._listeners[1](SourceError(text, error.trouble))
