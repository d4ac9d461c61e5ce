"""The life of a pool source, the same for every kind: read, report, wait, retry after failures, stop.

A kind of source is a :class:`Reader`. The feed calls its ``read`` again and again, and ``read`` reports through the feed::

    start ──▶ wait, at most SPREAD ──▶ read ──▶ wait for the seconds that read returned ──▶ read …
                                        └ failed ──▶ report ──▶ wait for the seconds of retry ──▶ read …
    stop ──▶ cancel the wait or the read ──▶ close the reader
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import CORO_RUNNING, getcoroutinestate
from random import Random
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.model import Member
from pybal.core.text import format_age, numbered
from pybal.sources.base import READ_ERRORS, SourceError, Trouble, source_error
from pybal.sources.formats.text import Listing, summary

#: The first reads of all sources are spread over this many seconds.
SPREAD = 1.0


def shortened(interval: float, random: Random) -> float:
    """Return an interval shortened by up to a tenth.

    Sources that a busy loop has synchronised drift apart again.
    """
    return interval * random.uniform(0.9, 1.0)


class Reader(Protocol):
    """One kind of pool source: how it reads, retries and closes."""

    @property
    def differences(self) -> int:
        """Number of entries in which full reads differed from the changes reported before."""

    async def read(self, feed: Feed) -> float:
        """Read once, or follow changes for a while, and report; return the seconds until the next read.

        Raises one of :data:`pybal.sources.base.READ_ERRORS` if the source cannot be read or its list is invalid, which is
        reported as a problem. Any other exception is a bug: it is logged with its traceback and reported, and reading
        continues.
        """

    def retry(self, error: SourceError) -> float:
        """Note that ``error`` ended a read; return the seconds until the next one. Does not raise."""

    def close(self) -> None:
        """Release all connections. Called once, after the last read."""


class _Listeners(NamedTuple):
    listed: Callable[[tuple[Member, ...]], None]
    failed: Callable[[SourceError], None]


class Feed:
    """A running :class:`Reader`, which makes it a :class:`pybal.sources.base.Source`.

    ``name`` stands in front of each problem. ``members`` is the last list that was accepted, ``None`` before the first.
    ``random`` spreads the first reads over ``spread`` seconds.

    A listener may call :meth:`stop`. A report that stopped the feed raises CancelledError to the reader's coroutine; to any
    other caller, such as a callback of a connection, it returns.
    """

    log = Logger()

    def __init__(self, name: str, reader: Reader, clock: IReactorTime, random: Random, spread: float = SPREAD) -> None:
        self.name = name
        self.problem: str | None = None
        self._failed_at = 0.0
        """The monotonic time at which the first of the present problems began."""
        self.last_success: float | None = None
        self.members: tuple[Member, ...] | None = None
        self.removed: frozenset[str] = frozenset()
        self.incomplete = False
        self.unsure: frozenset[str] = frozenset()
        self._accepted: Listing | None = None
        self._reader = reader
        self._clock = clock
        self._random = random
        self._spread = spread
        self._listeners: _Listeners | None = None
        self._reading: Coroutine[Deferred[Any], Any, None] | None = None
        self._ended: Deferred[None] | None = None

    @property
    def differences(self) -> int:
        return self._reader.differences

    def start(self, listed: Callable[[tuple[Member, ...]], None], failed: Callable[[SourceError], None]) -> None:
        """Start reading; see :class:`pybal.sources.base.Source`."""
        self._listeners = _Listeners(listed, failed)
        self._reading = self._run()
        self._ended = Deferred.fromCoroutine(self._reading).addBoth(self._close)

    def stop(self) -> None:
        """Stop reading and reporting, and close the reader. May be called again."""
        self._listeners = None
        # A running coroutine cannot be cancelled: if its report brought us here, that report ends it.
        if self._ended is not None and not self._is_running():
            self._ended.cancel()

    def list(self, listing: Listing) -> None:
        """Report a list unless it is the last accepted one, then the problems of its entries.

        Raises :class:`SourceError` if the listener refuses the list.
        """
        found = Listing(listing.members, (), listing.removed, listing.incomplete, listing.unsure)
        self.removed, self.incomplete, self.unsure = listing.removed, listing.incomplete, listing.unsure
        if self._listeners is not None and found != self._accepted:
            # A list that is refused may be used in part, so the one before it is no longer in use either.
            self._accepted = None
            self._listeners.listed(listing.members)
            self._accepted = found
            self.members = listing.members
        self._end_if_stopped()
        self.good()
        if listing.problems:
            applied = "the valid entries and removing no server" if listing.incomplete else "the valid entries"
            self.fail(SourceError(summary(listing.problems), applied=applied))
        elif self.problem is not None:
            self.log.info(
                "{source}: recovered after {lasted} (was: {problem}); {count} listed",
                source=self.name,
                lasted=format_age(self._clock.seconds() - self._failed_at),
                problem=self.problem.removeprefix(f"{self.name}: "),
                count=numbered(len(listing.members), "server"),
            )
            self.problem = None

    def good(self) -> None:
        """Note that the last list is up to date."""
        self.last_success = self._clock.seconds()

    def fail(self, error: SourceError) -> None:
        """Report a problem unless it is the last one, with the name of the source in front."""
        text = str(error)
        text = text if text.startswith(self.name) else f"{self.name}: {text}"
        if self._listeners is not None and text != self.problem:
            self._failed_at = self._clock.seconds() if self.problem is None else self._failed_at
            self.problem = text
            self._listeners.failed(SourceError(text, error.trouble, error.applied))
        self._end_if_stopped()

    def sleep(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after ``seconds``."""
        return deferLater(self._clock, seconds, lambda: None)

    async def _run(self) -> None:
        pause = self._random.uniform(0, self._spread)
        while True:
            await self.sleep(pause)
            pause = await self._read()
            self._end_if_stopped()

    async def _read(self) -> float:
        """Read once; return the seconds until the next read, also after an error."""
        try:
            return await self._reader.read(self)
        except READ_ERRORS as error:
            failure = source_error(error)
        except Exception as bug:
            if self._listeners is None:
                raise
            self.log.failure("{source}: internal error; retrying", source=self.name)
            failure = SourceError(
                f"internal error: {type(bug).__name__} (see the log for its traceback)", Trouble.FAILED
            )
        pause = self._reader.retry(failure)
        try:
            self.fail(failure)
        except Exception:
            if self._listeners is None:
                raise
            self.log.failure("{source}: internal error while reporting a problem; retrying", source=self.name)
        return pause

    def _end_if_stopped(self) -> None:
        if self._listeners is None and self._is_running():
            raise CancelledError

    def _is_running(self) -> bool:
        """Return whether the coroutine is executing now, rather than waiting."""
        return self._reading is not None and getcoroutinestate(self._reading) == CORO_RUNNING

    def _close(self, result: Failure | None) -> None:
        self._reader.close()
        if isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("{source}: internal error while stopping", result, source=self.name)
