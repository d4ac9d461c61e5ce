"""What a pool source has told so far: each list that is new, and each new problem once."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.formats.text import Listing, summary


class Reports:
    """The half of a source that faces its listeners; the other half calls :meth:`list` and :meth:`failure`.

    ``name`` is the source in messages. ``members`` is the last list that was delivered, ``None`` before the first;
    ``problem`` and ``last_success`` are those of :class:`pybal.sources.base.Source`.
    """

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self.name = name
        self.problem: str | None = None
        self.last_success: float | None = None
        self.members: tuple[Member, ...] | None = None
        self._clock = clock
        self._told: tuple[Callable[[tuple[Member, ...]], None], Callable[[SourceError], None]] | None = None

    def begin(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Tell these from now on."""
        self._told = listed, failed

    def end(self) -> None:
        """Tell nobody any more."""
        self._told = None

    def list(self, listing: Listing) -> None:
        """Take a list as good, with what is wrong with its entries. Raises SourceError where the listener refuses it."""
        if self._told is not None and listing.members != self.members:
            self._told[0](listing.members)
            self.members = listing.members
        self.good()
        if listing.problems:
            self.failure(SourceError(summary(listing.problems)))
        else:
            self.problem = None

    def good(self) -> None:
        """Note that what was told last is true now."""
        self.last_success = self._clock.seconds()

    def failure(self, error: SourceError) -> None:
        """Tell what is wrong, unless it was told last; the source is named in front, unless the text begins with it."""
        text = str(error)
        text = text if text.startswith(self.name) else f"{self.name}: {text}"
        if self._told is not None and text != self.problem:
            self.problem = text
            self._told[1](SourceError(text, error.trouble))
