"""Internal errors as alerts: a log observer that remembers tracebacks until they are resolved.

Twisted logs the exceptions of its callbacks (events of descriptors, delayed calls, Deferreds without an errback), and PyBal logs those
that it catches. All of them are log events with a failure, so this observer sees them without any wiring::

    key          event
    ===========  ==========================================================================
    log_failure  an unexpected exception; ``failure`` in events of ``twisted.python.log``
    activity     the name of the periodic activity that goes on after it, if there is one
    repeated     true: the same exception again, counted here and not to be written to the log
    recovered    the name of an activity that works again
    ===========  ==========================================================================

The error of an activity is an alert until the activity works again; any other error is one for :data:`FORGET_SECONDS`. Every
error is counted, but its traceback is written once per :data:`WRITTEN_SECONDS`: a bug in a check fails 1,000 times a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from twisted.logger import ILogFilterPredicate, ILogObserver, LogEvent, Logger, PredicateResult
from twisted.python.failure import Failure
from zope.interface import implementer

from pybal.core.model import Alert
from pybal.core.text import format_age, printable

FORGET_SECONDS = 600.0
"""Seconds without a recurrence after which an error outside any activity is no longer an alert."""
WRITTEN_SECONDS = 60.0
"""Seconds for which further tracebacks of the same type and place are not written to the log."""
MOST_FAULTS = 50
"""Errors kept at most; the oldest is forgotten first."""
_LONGEST = 200


@dataclass(slots=True)
class _Fault:
    """One kind of error: its text, its first and last time, and the number of occurrences."""

    text: str
    since: float
    last: float
    count: int = 1


@implementer(ILogObserver)
class Faults:
    """The present internal errors. ``seconds`` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self.total = 0
        """Internal errors since the start."""
        self._seconds = seconds
        self._activities: dict[str, _Fault] = {}
        self._others: dict[str, _Fault] = {}

    def __call__(self, event: LogEvent) -> None:
        failure = _failure(event)
        if failure is not None:
            self.total += 1
            text = describe(failure)
            if activity := event.get("activity"):
                self._note(self._activities, activity, text)
            else:
                self._note(self._others, f"{text} in {_place(failure)}", text)
        elif recovered := event.get("recovered"):
            self._activities.pop(recovered, None)

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each activity that does not work, and for each recent error."""
        now = self._seconds()
        for name, fault in self._copy(self._activities):
            text = (
                f"{name}: internal error for {format_age(now - fault.since)} ({_times(fault)}); retrying (see the log)"
            )
            yield Alert("", "internal", text, subject=name)
        for name, fault in self._copy(self._others):
            if now - fault.last < FORGET_SECONDS:
                times = f"{fault.count} times in {now - fault.since:.0f} s" if fault.count > 1 else "once"
                text = f"internal error {now - fault.last:.0f} s ago: {name} ({times}); continuing (see the log)"
                yield Alert("", "internal", text, subject=name)

    def _note(self, faults: dict[str, _Fault], key: str, text: str) -> None:
        now = self._seconds()
        fault = faults.get(key)
        expired = faults is self._others and fault is not None and now - fault.last >= FORGET_SECONDS
        if fault is None or expired:
            if len(faults) >= MOST_FAULTS:
                del faults[min(faults, key=lambda each: faults[each].last)]
            faults[key] = _Fault(text, now, now)
        else:
            fault.text, fault.last, fault.count = text, now, fault.count + 1

    @staticmethod
    def _copy(faults: dict[str, _Fault]) -> list[tuple[str, _Fault]]:
        # In one step: threads log as well.
        return list(faults.items())


class Health:
    """The state of an activity: logs its exceptions, once per text, and its recovery."""

    _log = Logger()

    def __init__(self, activity: str) -> None:
        self.activity = activity
        self.problem = ""
        """The exception of the last call; empty if it succeeded."""

    def failed(self, failure: Failure, reaction: str = "continuing") -> None:
        """Note that a call ended by an unexpected exception."""
        problem = describe(failure)
        self._log.failure(
            "{activity}: unexpected exception; {reaction}",
            failure,
            activity=self.activity,
            reaction=reaction,
            repeated=problem == self.problem,
        )
        self.problem = problem

    def succeeded(self) -> None:
        """Note that a call succeeded, or that there will be no more."""
        if self.problem:
            self.problem = ""
            self._log.info("{recovered} works again", recovered=self.activity)


@implementer(ILogFilterPredicate)
class FirstOccurrence:
    """Keeps repeated exceptions out of the written log. ``seconds`` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._lock = threading.RLock()  # garbage that is collected within it may log an error
        self._written: dict[tuple[str, str], float] = {}

    def __call__(self, event: LogEvent) -> object:
        failure = _failure(event)
        if event.get("repeated") or (failure is not None and not self._admits(failure)):
            return PredicateResult.no
        return PredicateResult.maybe

    def _admits(self, failure: Failure) -> bool:
        now, kind = self._seconds(), (_name(failure), _place(failure))
        with self._lock:
            if now - self._written.get(kind, -inf) < WRITTEN_SECONDS:
                return False
            self._written.pop(kind, None)
            if len(self._written) >= MOST_FAULTS:
                self._written.pop(next(iter(self._written)), None)  # the oldest
            self._written[kind] = now
            return True


def describe(failure: Failure) -> str:
    """Return the type and the text of an exception, in one short line."""
    try:
        value = str(failure.value)
    except Exception:  # noqa: BLE001  # the exception is arbitrary; so may be its text
        value = ""
    name = _name(failure)
    return printable(f"{name}: {value}" if value else name)[:_LONGEST]


def _failure(event: LogEvent) -> Failure | None:
    failure = event.get("log_failure") or event.get("failure")
    return failure if isinstance(failure, Failure) else None


def _name(failure: Failure) -> str:
    return failure.type.__name__ if failure.type else "Exception"


def _times(fault: _Fault) -> str:
    return f"{fault.text}, {fault.count} times" if fault.count > 1 else fault.text


def _place(failure: Failure) -> str:
    """Return file and line of the innermost frame."""
    if not failure.frames:
        return "an unknown place"
    _function, file, line, *_ = failure.frames[-1]
    return f"{Path(file).name}:{line}"
