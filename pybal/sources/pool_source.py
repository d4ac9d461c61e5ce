"""A pool source with safety checks, error counters and a saved list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import Source, SourceError, Trouble
from pybal.sources.cache import CachedList, ListCache
from pybal.sources.safety import safe_list
from pybal.sources.state_files import StateFiles

#: Seconds to wait for the first list before the saved list is used.
PATIENCE = 5.0

#: Seconds between a new list and its copy on disk, which makes a burst of changes one write.
SETTLED = 1.0


class PoolSource:
    """Wraps a source; see :class:`pybal.sources.base.Source`.

    ``cache`` saves the last good list by ``state``, ``None`` without a state directory; ``wall`` returns the date and time, for display.
    ``former`` is the source that this one replaces after a reload: its servers stay until this one delivers, so the saved
    list is not used, and if its URL is the same, its last list is the one to compare with.

    ``errors`` counts problems, once for each new text, by :class:`Trouble`. ``stale`` is whether the saved list is in use.
    ``last_change`` is the monotonic time, in seconds, of the last delivered list. ``before`` is the last accepted list.
    """

    log = Logger()

    def __init__(
        self,
        source: Source,
        settings: SourceSettings,
        cache: ListCache | None,
        *,
        clock: IReactorTime,
        state: StateFiles | None = None,
        wall: Callable[[], datetime],
        former: PoolSource | None = None,
    ) -> None:
        self.name = masked(settings.url)
        self.stale = False
        self.errors = Counter[Trouble](dict.fromkeys(Trouble, 0))
        self.last_change: float | None = None
        self._source = source
        self.settings = settings
        self._cache = cache
        self._state = state
        self._reading: Deferred[None] | None = None
        self._clock = clock
        self._wall = wall
        self._started = clock.seconds()
        self._refused: str | None = None
        self._members: tuple[Member, ...] | None = None
        self.before: tuple[Member, ...] | None = None
        self._patience = PATIENCE if former is None else None
        if former is not None and former.settings.url == settings.url:
            self.before = former.before
        self._saved_members: tuple[Member, ...] | None = None
        self._call: IDelayedCall | None = None

    @property
    def last_success(self) -> float | None:
        return self._source.last_success

    @property
    def differences(self) -> int:
        return self._source.differences

    @property
    def age(self) -> float:
        """Seconds since the list was last known to be up to date, else since the start."""
        last = self.last_success
        return self._clock.seconds() - (self._started if last is None else last)

    @property
    def problem(self) -> str | None:
        problem = self._source.problem or self._refused
        if problem is None and self.age > self.settings.max_age:
            wanted = self.settings.max_age
            problem = f"{self.name}: not confirmed for {self.age:.0f} s, wanted at most {wanted:g} s"
        if self.stale:
            return f"{problem or f'{self.name}: no list yet'}; using the saved list"
        return problem

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        self._deliver = listed
        self._failed = failed
        self._started = self._clock.seconds()
        if self._cache and self._patience is not None:
            self._call = self._clock.callLater(self._patience, self._use_saved)
        self._source.start(self._listed, self._fail)

    def stop(self) -> None:
        self._source.stop()
        if self._reading is not None:
            self._reading.cancel()
        if self._call is not None:
            self._call.cancel()
            self._save()
        self._deliver = self._failed = _ignore

    def _listed(self, members: tuple[Member, ...]) -> None:
        try:
            accepted = safe_list(self.before, members, self.settings)
        except SourceError as error:
            raise SourceError(f"{self.name}: {error}", error.trouble) from None
        self.stale = False
        self._refused = None
        if accepted.kept:
            text = f"{self.name}: refused to disable {', '.join(accepted.kept)} (set admin-floor = 0 to accept it)"
            self._refused = text
            self._fail(SourceError(text, Trouble.FLOOR))
        self._take(accepted.members)
        if self._cache and self._call is None:
            self._call = self._clock.callLater(SETTLED, self._save)

    def _fail(self, error: SourceError) -> None:
        self.errors[error.trouble] += 1
        self._failed(error)

    def _take(self, members: tuple[Member, ...]) -> None:
        if members != self._members:
            self._deliver(members)
            # After the call: a list on which the listener fails is delivered again.
            self._members = self.before = members
            self.last_change = self._clock.seconds()

    def _use_saved(self) -> None:
        """Deliver the saved list, if there is one and the source has not delivered."""
        self._call = None
        if self._members is not None:
            self._save()
            return
        if self._cache is not None and self._state is not None:
            reading = self._state.read(self._cache.read)
            self._reading = reading.addCallbacks(self._take_saved, self._not_read)

    def _not_read(self, failure: Failure) -> None:
        self._reading = None
        if failure.check(CancelledError):
            return
        failure.trap(OSError, ValueError)
        reason = getattr(failure.value, "strerror", None) or failure.value
        self.log.error("{source}: cannot read the saved list: {reason}", source=self.name, reason=reason)

    def _take_saved(self, saved: CachedList | None) -> None:
        self._reading = None
        if saved is not None and self._members is None:
            self.stale = True
            self._saved_members = saved.members
            text = f"{self.name}: no list yet; using the list saved at {saved.time:%Y-%m-%d %H:%M:%S} UTC"
            self._fail(SourceError(text, Trouble.STALE))
            self._take(saved.members)

    def _save(self) -> None:
        self._call = None
        if self._cache is None or self._state is None:
            return
        if self._members is None or self._members == self._saved_members:
            return
        self._state.write(self._cache.path, partial(self._cache.write, CachedList(self._members, self._wall())))
        self._saved_members = self._members


def _ignore(_report: object) -> None: ...
