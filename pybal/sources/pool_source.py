"""A pool source under guard: what it lists is judged, counted and kept on disk, and only then acted upon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import Source, SourceError, Trouble
from pybal.sources.cache import CachedList, ListCache
from pybal.sources.safety import guarded

#: Seconds that a source has for its first list before the kept one serves.
PATIENCE = 5.0

#: Seconds from a new list to its copy on disk: a burst of changes is one.
SETTLED = 1.0


class PoolSource:
    """A source like the one that it guards; see :class:`pybal.sources.base.Source`.

    ``kept`` is the copy of the last good list, ``None`` where there is no place for one; ``wall`` is the clock on the
    wall, for display. ``errors`` counts what went wrong, once for each new reason, by :class:`Trouble`. ``stale`` tells
    that the kept copy serves; ``last_change`` is the monotonic time, in seconds, of the last list that was delivered.
    ``before`` is the last list that was believed. ``former`` serves until this one delivers, as no kept copy then does; of
    the same place, its last list is the one before.
    """

    log = Logger()

    def __init__(
        self,
        source: Source,
        settings: SourceSettings,
        kept: ListCache | None,
        *,
        clock: IReactorTime,
        wall: Callable[[], datetime],
        former: PoolSource | None = None,
    ) -> None:
        self.name = masked(settings.url)
        self.stale = False
        self.errors = Counter[Trouble](dict.fromkeys(Trouble, 0))
        self.last_change: float | None = None
        self._source = source
        self.settings = settings
        self._kept = kept
        self._clock = clock
        self._wall = wall
        self._started = clock.seconds()
        self._objection: str | None = None
        self._members: tuple[Member, ...] | None = None
        self.before: tuple[Member, ...] | None = None
        self._patience = PATIENCE if former is None else None
        if former is not None and former.settings.url == settings.url:
            self.before = former.before
        self._kept_members: tuple[Member, ...] | None = None
        self._call: IDelayedCall | None = None

    @property
    def last_success(self) -> float | None:
        return self._source.last_success

    @property
    def differences(self) -> int:
        return self._source.differences

    @property
    def age(self) -> float:
        """Seconds since it was last known to be good, or else since the start."""
        last = self.last_success
        return self._clock.seconds() - (self._started if last is None else last)

    @property
    def problem(self) -> str | None:
        problem = self._source.problem or self._objection
        if problem is None and self.age > self.settings.max_age:
            wanted = self.settings.max_age
            problem = f"{self.name}: not known to be good for {self.age:.0f} s, wanted at most {wanted:g}"
        if self.stale:
            return f"{problem or f'{self.name}: no list yet'}; the list kept on disk serves"
        return problem

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        self._deliver = listed
        self._failed = failed
        self._started = self._clock.seconds()
        if self._kept and self._patience is not None:
            self._call = self._clock.callLater(self._patience, self._remember)
        self._source.start(self._listed, self._fail)

    def stop(self) -> None:
        self._source.stop()
        if self._call is not None:
            self._call.cancel()
            self._keep()

    def _listed(self, members: tuple[Member, ...]) -> None:
        try:
            believed = guarded(self.before, members, self.settings)
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}", error.trouble) from None
        self.stale = False
        self._objection = None
        if believed.kept:
            text = f"{self.name}: {', '.join(believed.kept)} stay enabled; admin-floor = 0 would let them be disabled"
            self._objection = text
            self._fail(SourceError(text, Trouble.FLOOR))
        self._take(believed.members)
        if self._kept and self._call is None:
            self._call = self._clock.callLater(SETTLED, self._keep)

    def _fail(self, error: SourceError) -> None:
        self.errors[error.trouble] += 1
        self._failed(error)

    def _take(self, members: tuple[Member, ...]) -> None:
        if members != self._members:
            self._deliver(members)
            # A list whose listener fails on it comes again.
            self._members = self.before = members
            self.last_change = self._clock.seconds()

    def _remember(self) -> None:
        """Serve the kept list, if there is one and the source has said nothing yet."""
        self._call = None
        if self._members is not None:
            self._keep()
            return
        if self._kept is None:
            return
        try:
            memory = self._kept.read()
        except (OSError, ValueError) as error:
            self._complain("read", error)
            return
        if memory is not None:
            self.stale = True
            self._kept_members = memory.members
            text = f"{self.name}: no list yet; the one kept since {memory.time:%Y-%m-%d %H:%M:%S} UTC serves"
            self._fail(SourceError(text, Trouble.STALE))
            self._take(memory.members)

    def _keep(self) -> None:
        self._call = None
        if self._kept is None or self._members is None or self._members == self._kept_members:
            return
        try:
            self._kept.write(CachedList(self._members, self._wall()))
        except OSError as error:
            self._complain("keep", error)
        else:
            self._kept_members = self._members

    def _complain(self, verb: str, error: Exception) -> None:
        why = getattr(error, "strerror", None) or error
        self.log.error("{source}: cannot {verb} a copy of its list: {why}", source=self.name, verb=verb, why=why)
