"""Formats log events as lines: ``[system] LEVEL: text``.

The format is that of PyBal 1.15: no timestamp (journald adds one), continuation lines start with a tab. If standard error
is connected to journald, each line begins with ``<N>``, the priority for journald.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
)
from zope.interface import implementer

from pybal.core.text import printable
from pybal.runtime.log_burst import BurstLimit
from pybal.runtime.log_writer import LogWriter, Trouble, write_all

SYSTEM = "pybal"
"""The system of events without one."""

# Names of PyBal 1.15, priorities of syslog(3).
_LEVELS = {
    LogLevel.debug: ("DEBUG", 7),
    LogLevel.info: ("INFO", 6),
    LogLevel.warn: ("WARN", 4),
    LogLevel.error: ("ERROR", 3),
    LogLevel.critical: ("CRITICAL", 2),
}

#: Namespaces of Twisted, whose INFO events (ports opened, factories started) are logged with ``debug`` only.
_TWISTED = ("twisted", "log_legacy")


def format_event(event: LogEvent, *, priority: bool = False) -> str:
    """Return the line of an event, including the newline.

    The system is the event's ``system`` (a service, or ``service Monitor``), by default ``pybal``. Unprintable
    characters are escaped, because a hostile server may send them.
    """
    level, number = _LEVELS[event.get("log_level", LogLevel.info)]
    text = eventAsText(event, includeTimestamp=False, includeSystem=False).rstrip("\n")
    lines = "\n\t".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    prefix = f"<{number}>" if priority else ""
    return f"{prefix}[{event.get('system', SYSTEM)}] {level}: {lines}\n"


@implementer(ILogObserver)
class Log:
    """The log of the daemon: formats events, limits bursts, and leaves the writing to a thread.

    ``write`` writes bytes; it may block. At most ``burst`` lines per pool and second are written (0: all), with ``debug`` all.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        priority: bool = False,
        debug: bool = False,
        burst: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._priority = priority
        self._clock = clock
        # Reentrant: within it, Python may collect garbage, such as a Deferred that logs its unhandled error.
        self._lock = threading.RLock()
        self._debug = debug
        self._burst = BurstLimit(0 if debug else burst)
        self._wakes_at = 0.0
        self.writer = LogWriter(write, self._dropped, woken=self._put_summaries, clock=clock)

    def limit(self, burst: int) -> None:
        """Set the limit of lines per pool and second; 0 is no limit."""
        self._burst.most = 0 if self._debug else burst

    @property
    def suppressed(self) -> int:
        """Lines that summaries replaced since the start."""
        return self._burst.suppressed

    def __call__(self, event: LogEvent) -> None:
        # The name by which a line is counted: most lines are formatted late, the others before they are logged.
        kind = event.get("kind") or event.get("log_format") or ""
        with self._lock:
            summaries = self._summaries() if self._clock() >= self._burst.ends else ()
            admitted = self._burst.admit(event.get("system", SYSTEM), kind)
            ends = self._burst.ends
        for line in summaries:
            self.writer.put(line)
        if admitted:
            self.writer.put(self._line(event))
        elif ends != self._wakes_at:
            self._wakes_at = ends
            self.writer.wake_at(ends)

    def close(self, timeout: float) -> bool:
        """Write what is queued, for at most ``timeout`` seconds; return whether all lines were written."""
        with self._lock:
            summaries = self._summaries(self._burst.ends)
        for line in summaries:
            self.writer.put(line)
        return self.writer.close(timeout)

    def alert(self) -> str:
        """Return a text while lines are not written, else an empty one."""
        trouble = self.writer.trouble
        if trouble is None:
            return ""
        seconds = self._clock() - trouble.since
        return (
            f"log: {trouble.reason} for {seconds:.0f} s; {self.writer.waiting} lines waiting, {trouble.dropped} dropped"
        )

    def _put_summaries(self) -> None:
        with self._lock:
            summaries = self._summaries()
        for line in summaries:
            self.writer.put(line)

    def _summaries(self, now: float | None = None) -> list[bytes]:
        ended = self._burst.ended(self._clock() if now is None else now)
        return [self._warning(text, system) for system, text in ended]

    def _dropped(self, trouble: Trouble, now: float) -> bytes:
        lines = "1 line" if trouble.dropped == 1 else f"{trouble.dropped} lines"
        return self._warning(f"log: {lines} dropped ({trouble.reason} for {now - trouble.since:.0f} s)", SYSTEM)

    def _warning(self, text: str, system: str) -> bytes:
        return self._line({"log_level": LogLevel.warn, "log_format": "{text}", "text": text, "system": system})

    def _line(self, event: LogEvent) -> bytes:
        return format_event(event, priority=self._priority).encode("utf-8", "backslashreplace")


def levels(observer: ILogObserver, *, debug: bool) -> ILogObserver:
    """Return an observer of every event with ``debug``.

    Without, it passes INFO and above of PyBal, WARN and above of Twisted.
    """
    predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.debug if debug else LogLevel.info)
    if not debug:
        for namespace in _TWISTED:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(observer, [predicate])


def log_to(descriptor: int, environ: Mapping[str, str], *, debug: bool, burst: int) -> Log:
    """Return a log that writes to a descriptor; with priorities if it is connected to journald."""
    return Log(partial(write_all, descriptor), priority=_is_journal(descriptor, environ), debug=debug, burst=burst)


def _is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Return whether systemd connected a descriptor to journald (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
