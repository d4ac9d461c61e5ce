"""Formats log events as lines: ``[system] LEVEL: text``.

The format is that of PyBal 1.15: no timestamp (journald adds one), continuation lines start with a tab. If standard error
is connected to journald, each line begins with ``<N>``, the priority for journald.
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
    return f"{prefix}[{event.get('system', 'pybal')}] {level}: {lines}\n"


@implementer(ILogObserver)
class LogWriter:
    """Writes every event to ``write``; ignores a closed stream, because the daemon must keep running."""

    def __init__(self, write: Callable[[str], object], *, priority: bool = False) -> None:
        self._write = write
        self._priority = priority

    def __call__(self, event: LogEvent) -> None:
        try:
            self._write(format_event(event, priority=self._priority))
        except (OSError, ValueError):
            return


def observer(stream: TextIO, environ: Mapping[str, str], *, debug: bool) -> ILogObserver:
    """Return the log observer of the daemon.

    It logs every event with ``debug``, else INFO and above of PyBal and WARN and above of Twisted.
    """

    def write(line: str) -> None:
        stream.write(line)
        stream.flush()

    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.debug if debug else LogLevel.info)
    if not debug:
        for namespace in _TWISTED:
            levels.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(LogWriter(write, priority=_is_journal(stream, environ)), [levels])


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether systemd connected a stream to journald (systemd.exec(5), ``JOURNAL_STREAM``)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
