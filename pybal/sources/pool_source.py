"""A pool source with safety checks, error counters and a saved list."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.config.errors import masked
from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.core.text import numbered
from pybal.sources.base import PoolState, Source, SourceError, Trouble
from pybal.sources.cache import CachedList, ListCache
from pybal.sources.safety import NewList, SafeList, enabled_number, hosts_of, safe_list
from pybal.sources.state_files import StateFiles

#: Seconds to wait for the first list before the saved list is used, and for the saved list before the source starts.
PATIENCE = 5.0

#: Seconds between a new list and its copy on disk, which makes a burst of changes one write.
SETTLED = 1.0

#: Seconds for which many hosts that the source declared out of the pool are an alert, unless they return before.
LOUD = 3600.0

_UNFLOORED = "the rest of the list"
"""The part of a list that is applied if ``admin-floor`` refuses to disable some of its servers."""
_WHOLE = "the whole list"


class PoolSource:
    """Wraps a source; see :class:`pybal.sources.base.CheckedSource`.

    ``service`` is the name of its service, for commands in messages. ``cache`` saves the last good list by ``state``, ``None`` without a
    state directory; ``wall`` returns the date and time, for display.

    The first list after a restart is checked against the saved one. If the source delivers none in time, the saved list is
    used, provided that it came from the same URL. A refused list counts for the hosts that the pool has already; the rest
    of it waits until the list is acceptable, or :meth:`accept`.

    ``errors`` counts problems, once for each new text, by :class:`Trouble`. ``stale`` is whether the saved list is in use.
    ``last_change`` is the monotonic time, in seconds, of the last delivered list.
    """

    log = Logger()

    def __init__(
        self,
        source: Source,
        settings: SourceSettings,
        cache: ListCache | None,
        *,
        service: str,
        clock: IReactorTime,
        state: StateFiles | None = None,
        wall: Callable[[], datetime],
    ) -> None:
        self.name = masked(settings.url)
        self.stale = False
        self.errors = Counter[Trouble](dict.fromkeys(Trouble, 0))
        self.last_change: float | None = None
        self.settings = settings
        self._source = source
        self._remedy = f", or run `pybal accept {shlex.quote(service)} --reason TEXT` to accept it once"
        self._cache = cache
        self._state = state
        self._clock = clock
        self._wall = wall
        self._started = clock.seconds()
        self._reading: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._saved: CachedList | None = None
        """The list on disk at the start, until the first list is delivered."""
        self._saved_members: tuple[Member, ...] | None = None
        self._members: tuple[Member, ...] | None = None
        self._departed: dict[str, float] = {}
        """The times at which pooled hosts vanished from the list; a successor shares it."""
        self._obeyed: dict[str, float] = {}
        """The times at which the source declared pooled hosts out of the pool."""
        self._refused: NewList | None = None
        self._accepted: NewList | None = None
        self._overruled: str | None = None
        self._floored: SourceError | None = None
        self._applied = ""
        self._replaced: PoolSource | None = None

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
        problem = self._source.problem
        # The source repeats the problem of a list that was accepted since then until its next read.
        if problem is None or problem == self._overruled:
            problem = str(self._floored) if self._floored else None
        if problem is None and self.age > self.settings.max_age:
            wanted = self.settings.max_age
            problem = f"{self.name}: not confirmed for {self.age:.0f} s, wanted at most {wanted:g} s"
        if self.stale:
            return f"{problem or f'{self.name}: no list yet'}; using the saved list"
        return problem

    @property
    def applied(self) -> str:
        problem = self._source.problem
        if problem is None or problem == self._overruled:
            return self._floored.applied if self._floored else ""
        return self._applied

    @property
    def removal(self) -> str | None:
        """The removal of many hosts that the source declared out of the pool; ``None`` without one."""
        recent = _since(self._obeyed, self._clock.seconds() - LOUD)
        left = len(self._members or ())
        if not recent or len(recent) <= self.settings.max_step * (left + len(recent)):
            return None
        return f"{self.name}: declares {', '.join(recent)} out of the pool, {numbered(left, 'server')} left"

    @property
    def refused(self) -> Sequence[Member] | None:
        """The members of the list that :meth:`accept` would deliver; ``None`` if no list is refused."""
        if self._refused is not None:
            return self._refused.members
        return self._replaced.refused if self._replaced else None

    @property
    def saved(self) -> Sequence[Member]:
        return self._saved.members if self._saved and self._members is None else ()

    def start(
        self,
        listed: Callable[[tuple[Member, ...]], None],
        failed: Callable[[SourceError], None],
        pool: Callable[[], PoolState],
    ) -> None:
        self._deliver = listed
        self._failed = failed
        self._pool = pool
        self._started = self._clock.seconds()
        if self._replaced is not None:
            self._replaced.judge_by(self.settings)
        if self._cache is None or self._state is None or pool().members is not None:
            self._source.start(self._listed, self._fail)
            return
        reading = self._state.read(self._cache.read).addTimeout(PATIENCE, self._clock)
        self._reading = reading.addCallbacks(self._take_saved, self._not_read)

    def succeed(self, before: PoolSource) -> None:
        """Replace the source ``before`` of the same pool: count the hosts that vanish from its list, too.

        From the start of this source to its first list, ``before`` is in use with the settings of this one, and :meth:`accept` is
        for its list.
        """
        self._replaced = before
        self._departed = before._departed

    def judge_by(self, settings: SourceSettings) -> None:
        """Check later lists by the settings of a successor."""
        self.settings = settings
        if self._replaced is not None:
            self._replaced.judge_by(settings)

    def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        else:
            self._source.stop()
        if self._call is not None:
            self._call.cancel()
            self._save()
        self._deliver = self._failed = _ignore
        self._pool = PoolState
        self._refused = None

    def accept(self) -> tuple[Member, ...] | None:
        """Deliver the refused list and return its members; ``None`` if no list is refused.

        The source may report the same list again; any other list is checked.
        """
        accepted, self._refused = self._refused, None
        if accepted is None:
            return self._replaced.accept() if self._replaced else None
        self._accepted, self._overruled = accepted, self._source.problem
        self._departed.clear()
        safe = safe_list(self._present(), accepted, self.settings, accepted=True)
        self._report_floor(safe)
        self._use(safe)
        return safe.members

    def _listed(self, members: tuple[Member, ...]) -> None:
        source = self._source
        new = NewList(members, source.removed, source.incomplete, source.unsure)
        now = self._clock.seconds()
        pool = self._present()
        accepted = new == self._accepted
        departed = _since(self._departed, now - self.settings.window)
        safe = safe_list(pool, new, self.settings, departed, self._remedy, accepted=accepted)
        self._refused = new if safe.refusal else None
        if not accepted:
            self._accepted = self._overruled = None
        self._report_floor(safe)
        if safe.refusal is None:
            self._use(safe)
            self._departed.clear()
            self._departed.update(departed | dict.fromkeys(safe.departed, now))
        elif pool.members:
            self._use(safe, stale=self.stale or self._pool().members is None)
        self._note_obeyed(safe.obeyed, members, now)
        if safe.refusal is not None:
            applied = "its weights and states only" if members and pool.members else ""
            raise SourceError(f"{self.name}: {safe.refusal}", safe.refusal.trouble, applied)

    def _present(self) -> PoolState:
        """Return the state of the pool, or that of the saved list before the first one."""
        pool = self._pool()
        if pool.members is not None or self._saved is None:
            return pool
        saved = self._saved.members
        return PoolState(saved, frozenset(member.host for member in saved if member.enabled))

    def _use(self, safe: SafeList, *, stale: bool = False) -> None:
        self.stale = stale
        first = self._saved is not None or self._members is None
        self._take(safe.members)
        self._saved = None
        if self._cache and self._call is None:
            self._call = self._clock.callLater(SETTLED, self._save)
        elif self._call is not None and first:
            self._call.reset(SETTLED)

    def _report_floor(self, safe: SafeList) -> None:
        wanted = self.settings.admin_floor
        enabled = enabled_number(safe.members, wanted)
        texts = []
        if safe.kept:
            texts.append(f"refused to disable {', '.join(safe.kept)} (set admin-floor = 0 to accept it)")
        if safe.members and enabled < wanted:
            texts.append(f"{numbered(enabled, 'server')} enabled, fewer than admin-floor = {wanted}")
        self._floored = None
        if texts:
            applied = _UNFLOORED if safe.kept else _WHOLE
            self._floored = SourceError(f"{self.name}: {'; '.join(texts)}", Trouble.FLOOR, applied)
            self._fail(self._floored)

    def _note_obeyed(self, obeyed: Collection[str], members: Collection[Member], now: float) -> None:
        """Note hosts that the source declared out of the pool; log it if they are many."""
        listed = hosts_of(members) if self._obeyed else ()
        kept = {host: at for host, at in self._obeyed.items() if host not in listed}
        self._obeyed = kept | dict.fromkeys(sorted(obeyed), now)
        if obeyed and (removal := self.removal):
            self.log.error("{removal}; obeying it", removal=removal)

    def _fail(self, error: SourceError) -> None:
        self.errors[error.trouble] += 1
        self._applied = error.applied
        self._failed(error)

    def _take(self, members: tuple[Member, ...]) -> None:
        if members != self._members:
            self._deliver(members)
            # After the call: a list on which the listener fails is delivered again.
            self._members = members
            self._replaced = None
            self.last_change = self._clock.seconds()

    def _take_saved(self, saved: CachedList | None) -> None:
        """Start the source; ``saved`` is the list on disk."""
        self._reading = None
        self._saved = saved
        if saved is not None:
            self._saved_members = saved.members
            down = max(0.0, (self._wall() - saved.time).total_seconds())
            now = self._clock.seconds()
            self._departed.update({host: now - down - age for host, age in saved.departed.items()})
        self._call = self._clock.callLater(PATIENCE, self._use_saved)
        self._source.start(self._listed, self._fail)

    def _not_read(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._reading = None
            return
        failure.trap(OSError, ValueError, defer.TimeoutError)
        reason = getattr(failure.value, "strerror", None) or failure.value
        self.log.error("{source}: cannot read the saved list: {reason}", source=self.name, reason=reason)
        self._take_saved(None)

    def _use_saved(self) -> None:
        """Deliver the saved list, if there is one and the source has not delivered."""
        self._call = None
        saved = self._saved
        if self._members is not None:
            self._save()
        elif saved is not None and saved.source == self.name:
            self.stale = True
            text = f"{self.name}: no list yet; using the list saved at {saved.time:%Y-%m-%d %H:%M:%S} UTC"
            self._fail(SourceError(text, Trouble.STALE))
            self._take(saved.members)

    def _save(self) -> None:
        self._call = None
        if self._cache is None or self._state is None:
            return
        if self._members is None or self._members == self._saved_members:
            return
        now = self._clock.seconds()
        departed = {host: now - at for host, at in _since(self._departed, now - self.settings.window).items()}
        saved = CachedList(self._members, self._wall(), self.name, departed)
        self._state.write(self._cache.path, partial(self._cache.write, saved))
        self._saved_members = self._members


def _since(times: Mapping[str, float], start: float) -> dict[str, float]:
    """Return the entries that are not older than ``start``."""
    return {host: at for host, at in times.items() if at >= start}


def _ignore(_report: object) -> None: ...
