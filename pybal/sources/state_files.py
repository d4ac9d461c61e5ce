"""Writes the files of the state directory in a thread, because fsync waits for the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.model import Alert
from pybal.runtime.faults import describe
from pybal.runtime.workers import Threads

T = TypeVar("T")

#: Number of threads: one for writes, one for reads.
THREADS = 2

#: Seconds until a failed write is tried again.
RETRY = 10.0

#: Seconds without a result after which a write is an alert.
SLOW = 5.0

#: Seconds that an orderly stop waits for the last writes.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class _Failed:
    """A write to try again, and since when and why it fails."""

    write: Callable[[], None]
    since: float
    reason: str


class StateFiles:
    """Writes one file after the other, in the order of the calls of :meth:`write`.

    If several contents of a file wait, the last one is written. A failed write is tried again every :data:`RETRY`
    seconds. It is an alert, and so is a write that does not end.
    """

    log = Logger()

    def __init__(self, threads: Threads, clock: IReactorTime) -> None:
        self._threads = threads
        self._clock = clock
        self._waiting: dict[Path, Callable[[], None]] = {}
        self._failed: dict[Path, _Failed] = {}
        self._writing: Path | None = None
        self._began = 0.0
        self._retry: IDelayedCall | None = None
        self._finished: Deferred[None] | None = None

    def read(self, call: Callable[[], T]) -> Deferred[T]:
        """Return the result of a call that reads a file."""
        return self._threads.run(call)

    def write(self, path: Path, write: Callable[[], None]) -> None:
        """Have ``write`` called, which replaces the file and may raise OSError."""
        if failed := self._failed.get(path):
            self._failed[path] = replace(failed, write=write)
        self._waiting[path] = write
        self._next()

    def finish(self) -> Deferred[None]:
        """Return a Deferred that fires when all files are written, after one more attempt, or after PATIENCE."""
        self._again()
        if self._writing is None:
            self._cancel_retry()
            return succeed(None)
        self._finished = Deferred()

        def give_up(_result: object, _timeout: float) -> None:
            self.log.error(
                "state files were not written within {limit:g} s: {path}", limit=PATIENCE, path=self._writing
            )

        return self._finished.addTimeout(PATIENCE, self._clock, give_up).addBoth(lambda _: self._cancel_retry())

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for all writes that fail, and one for a write that does not end."""
        now = self._clock.seconds()
        if self._writing is not None and now - self._began > SLOW:
            text = f"{self._writing}: not written for {now - self._began:.0f} s; waiting for the file system"
            yield Alert("", "state", text, subject="slow")
        if self._failed:
            path, failed = next(iter(self._failed.items()))
            more = f" and {len(self._failed) - 1} other files" if len(self._failed) > 1 else ""
            text = f"cannot write {path}{more}: {failed.reason} (for {now - failed.since:.0f} s); retrying"
            yield Alert("", "state", text)

    def _next(self) -> None:
        if self._writing is not None or not self._waiting:
            return
        self._writing = path = next(iter(self._waiting))
        write = self._waiting.pop(path)
        self._began = self._clock.seconds()
        self._threads.run(write).addCallbacks(
            self._written, self._not_written, callbackArgs=(path,), errbackArgs=(path, write)
        )

    def _written(self, _result: object, path: Path) -> None:
        if self._failed.pop(path, None):
            self.log.info("{path}: written after errors", path=path)
        self._end()

    def _not_written(self, failure: Failure, path: Path, write: Callable[[], None]) -> None:
        reason = getattr(failure.value, "strerror", None) or describe(failure)
        before = self._failed.get(path)
        if before is None or before.reason != reason:
            self.log.error("cannot write {path}: {reason}; retrying", path=path, reason=reason)
        since = before.since if before else self._clock.seconds()
        self._failed[path] = _Failed(write, since, reason)
        if not failure.check(OSError):
            self.log.failure("{path}: internal error; retrying", failure, path=path)
        if self._retry is None and self._finished is None:
            self._retry = self._clock.callLater(RETRY, self._again)
        self._end()

    def _end(self) -> None:
        self._writing = None
        self._next()
        if self._writing is None and self._finished is not None and not self._finished.called:
            self._finished.callback(None)

    def _again(self) -> None:
        self._cancel_retry()
        for path, failed in self._failed.items():
            self._waiting.setdefault(path, failed.write)
        self._next()

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None
