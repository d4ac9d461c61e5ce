"""The queue of changes of one pool: applies them in order, each in steps, in turns with other pools.

A change that fails never keeps the later ones waiting. If it is a batch, its parts are applied one by one. A single change that
fails is set aside and repeated with exponential back-off, until it succeeds or a newer one with its subject takes its place; it
is an alert until then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.runtime.activity import Activity
from pybal.runtime.backoff import Backoff
from pybal.runtime.faults import Health
from pybal.runtime.turns import Turns, Work
from pybal.runtime.weak import weakly

RETRY_SECONDS = (1.0, 60.0)
"""The first and the longest pause until the changes that were set aside are repeated."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: ``work`` makes it, entirely or after an exception not at all.

    ``subject`` names what changes, for people: of two changes with the same subject the later one counts. ``parts`` returns the
    single changes of a batch. Without ``repeats`` a change that fails is dropped.
    """

    subject: str
    work: Callable[[], Work]
    parts: Callable[[], Sequence[Change]] = tuple
    repeats: bool = True

    @property
    def singles(self) -> Sequence[Change]:
        """The single changes: the parts of a batch, or this one."""
        return self.parts() or (self,)


@dataclass(slots=True)
class _Aside:
    """A change that was set aside."""

    change: Change
    health: Health


class ChangeQueue:
    """The queue of the pool that ``pool`` names."""

    _log = Logger()

    def __init__(self, pool: Callable[[], str], clock: IReactorTime, turns: Turns) -> None:
        self._pool = pool
        self._turns = turns
        self._waiting = deque[Change]()
        """The changes in order; the first is in progress."""
        self._work: Work | None = None
        self._working = Activity(f"pool of {pool()}", weakly(self._proceed), clock)
        self._aside: dict[str, _Aside] = {}
        """The changes that were set aside, by subject."""
        self._repeating = Activity(f"failed changes of {pool()}", weakly(self._repeat), clock)
        self._backoff = Backoff(*RETRY_SECONDS, factor=2.0)

    def __bool__(self) -> bool:
        """Return whether a change waits or is in progress."""
        return bool(self._waiting)

    def add(self, change: Change) -> None:
        """Make a change; if none waits, now, as far as the budget of a turn allows."""
        self.renew(change)
        self._waiting.append(change)
        if self._work is not None or self._working.running:
            return
        self._work = self._first()
        self._turns.advance(self._work)
        if self._waiting:
            self._working.start(now=True)

    def renew(self, change: Change) -> None:
        """Replace older changes with the same subject that were set aside."""
        if self._aside:
            for part in change.singles:
                if aside := self._aside.get(part.subject):
                    aside.change = part

    def stop(self) -> None:
        """Drop all changes."""
        self._working.stop()
        self._repeating.stop()
        if self._work is not None:
            self._work.close()
            self._work = None
        self._waiting.clear()
        for aside in self._aside.values():
            aside.health.succeeded()
        self._aside.clear()

    def _proceed(self) -> Deferred[float | None]:
        """Finish the first change, in turns with the work of other pools; return the pause until the next one."""
        if self._work is None:
            self._work = self._first()
        return self._turns.run(self._work).addCallback(lambda _: 0.0 if self._waiting else None)

    def _first(self) -> Work:
        """Make the first change and remove it from the queue."""
        change = self._waiting[0]
        try:
            yield from change.work()
        except Exception:  # noqa: BLE001  # the later changes must not wait for a bug in this one
            self._waiting.popleft()
            self._fail(change, Failure())
        else:
            self._waiting.popleft()
            self._succeed(change)
        finally:
            self._work = None

    def _fail(self, change: Change, failure: Failure) -> None:
        parts = change.singles
        if len(parts) > 1:
            text = "{pool}: unexpected exception in the {subject}; applying them one by one"
            self._log.failure(text, failure, pool=self._pool(), subject=change.subject)
            self._waiting.extendleft(reversed(parts))
        elif change.repeats:
            self._set_aside(parts[0], failure)
        else:
            text = "{pool}: unexpected exception in the {subject}; applying the later changes"
            self._log.failure(text, failure, pool=self._pool(), subject=change.subject)

    def _set_aside(self, change: Change, failure: Failure) -> None:
        if change.subject not in self._aside:
            self._aside[change.subject] = _Aside(change, Health(f"{self._pool()}: applying the {change.subject}"))
        if not self._repeating.running:
            self._repeating.wake(self._backoff.pause())
        self._aside[change.subject].health.failed(failure, "applying the later changes, retrying this one")

    def _succeed(self, change: Change) -> None:
        if self._aside:
            for part in change.singles:
                if aside := self._aside.pop(part.subject, None):
                    aside.health.succeeded()
            if not self._aside:
                self._backoff.reset()

    def _repeat(self) -> None:
        for aside in list(self._aside.values()):
            self.add(aside.change)
