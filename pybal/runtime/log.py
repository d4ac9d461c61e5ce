"""Log events as the lines that people and tools search for: ``[system] LEVEL: text``.

The format is PyBal 1.15's: no timestamp (journald has one), continuation lines start with a tab. Where standard error is
journald's own stream each line also carries the ``<N>`` prefix that journald turns into its priority.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TextIO

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

# Names as PyBal 1.15 wrote them, priorities as syslog(3) numbers them.
_LEVELS = {
    LogLevel.debug: ("DEBUG", 7),
    LogLevel.info: ("INFO", 6),
    LogLevel.warn: ("WARN", 4),
    LogLevel.error: ("ERROR", 3),
    LogLevel.critical: ("CRITICAL", 2),
}

#: Namespaces of Twisted, whose news (ports opened, factories started) are for those who debug.
_TWISTED = ("twisted", "log_legacy")


def format_event(event: LogEvent, *, priority: bool = False) -> str:
    """Return the line of an event, its newline included.

    The system is the event's ``system`` (a service, or ``service Monitor``), else ``pybal``. Unprintable characters,
    which may come from a hostile server, are escaped.
    """
    level, number = _LEVELS[event.get("log_level", LogLevel.info)]
    text = eventAsText(event, includeTimestamp=False, includeSystem=False).rstrip("\n")
    lines = "\n\t".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
    prefix = f"<{number}>" if priority else ""
    return f"{prefix}[{event.get('system', 'pybal')}] {level}: {lines}\n"


@implementer(ILogObserver)
class LogWriter:
    """Writes every event to ``write``; a stream that is gone is no reason to stop serving."""

    def __init__(self, write: Callable[[str], object], *, priority: bool = False) -> None:
        self._write = write
        self._priority = priority

    def __call__(self, event: LogEvent) -> None:
        try:
            self._write(format_event(event, priority=self._priority))
        except (OSError, ValueError):
            return


def observer(stream: TextIO, environ: Mapping[str, str], *, debug: bool) -> ILogObserver:
    """Return the observer of the daemon's log: everything with ``debug``, else our INFO and Twisted's WARN and above."""

    def write(line: str) -> None:
        stream.write(line)
        stream.flush()

    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.debug if debug else LogLevel.info)
    if not debug:
        for namespace in _TWISTED:
            levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(LogWriter(write, priority=_is_journal(stream, environ)), [levels])


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd connected to journald (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
