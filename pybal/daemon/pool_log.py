"""The log of one pool: a line for each change of a server, a line for each kind of decision.

A change of many servers is a few lines and a summary with their number, so that an event costs no more than
:data:`MOST_LINES` lines of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from pybal.core.changes import Change, ChangeKind
from pybal.core.decision import EventDecisions
from pybal.core.history import PoolHistory
from pybal.runtime.turns import Work

MOST_LINES = 50
"""Lines about single servers for each kind of change in one event."""

_LINES = {
    ChangeKind.REMOVED: (
        LogLevel.info,
        "[{service}] Removing server {host} (no longer found in new configuration)",
        "Removing {number} more servers (no longer found in new configuration)",
    ),
    ChangeKind.NEW: (
        LogLevel.info,
        "New {enabled} server {host}, weight {weight}",
        "{number} more new servers",
    ),
    ChangeKind.MERGED: (
        LogLevel.info,
        "Merged {enabled} server {host}, weight {weight}",
        "Merged {number} more servers",
    ),
    ChangeKind.MOVING: (
        LogLevel.warn,
        "Server {host} gets another address: {next}; keeping {address} until {next} passes its checks",
        "{number} more servers get another address; keeping their addresses until these pass their checks",
    ),
    ChangeKind.ARRIVING: (
        LogLevel.info,
        "Server {host} is at {next}, which IPVS did not hold; keeping what IPVS holds until {next} passes its checks",
        "{number} more servers are at addresses that IPVS did not hold; keeping what it holds until these pass their checks",
    ),
    ChangeKind.MOVED: (
        LogLevel.info,
        "Server {host} has a new address: {address}",
        "{number} more servers have a new address",
    ),
    ChangeKind.UNRESOLVABLE: (
        LogLevel.error,
        "Server {host} has no usable address",
        "{number} more servers have no usable address",
    ),
    ChangeKind.REPORTED_DOWN: (
        LogLevel.error,
        "Monitoring instance {monitor} reports server {host} ({status}) down: {reason}",
        "Monitoring instances report {number} more servers down",
    ),
    ChangeKind.UP: (
        LogLevel.info,
        "Server {host} ({status}) is up",
        "{number} more servers are up",
    ),
    ChangeKind.NOT_DEPOOLED: (
        LogLevel.error,
        "Could not depool server {host} because of too many down!",
        "Could not depool {number} more servers because of too many down!",
    ),
    ChangeKind.LEFT_POOLED: (
        LogLevel.info,
        "Leaving previously pooled server {host} pooled",
        "Leaving {number} more previously pooled servers pooled",
    ),
}

_DECISIONS = {
    ChangeKind.NOT_DEPOOLED: LogLevel.warn,
    ChangeKind.FORCED_IN: LogLevel.warn,
    ChangeKind.DEPOOLED: LogLevel.info,
    ChangeKind.REPOOLED: LogLevel.info,
}
"""The levels of decisions; each removed server has its own line."""


class PoolLog:
    """Writes the log of one pool and keeps its history; ``name`` returns the name of the service."""

    logger = Logger()

    def __init__(self, name: Callable[[], str], clock: IReactorTime) -> None:
        self.could_not_depool = 0
        """Servers that went down and had to stay, since the start."""
        self.history = PoolHistory()
        self._name = name
        self._clock = clock

    def changes(self, parts: Iterable[Sequence[Change]], arithmetic: Callable[[], str]) -> Work:
        """Log the changes of one event, a part in each step; ``arithmetic`` returns the numbers afterwards."""
        numbers: dict[ChangeKind, int] = {}
        decided = EventDecisions()
        for part in parts:
            for change in part:
                kind = change.kind
                number = numbers[kind] = numbers.get(kind, 0) + 1
                if kind in _LINES and number <= MOST_LINES:
                    self._change(change)
                decided.add(change)
                self.history.change(change)
            yield
        for kind, number in numbers.items():
            if kind in _LINES and number > MOST_LINES:
                level, _, summary = _LINES[kind]
                self.write(level, summary.format(number=number - MOST_LINES))
        self.could_not_depool += numbers.get(ChangeKind.NOT_DEPOOLED, 0)
        for kind, made in decided.decisions(self._clock.seconds(), arithmetic):
            self.history.decide(made)
            if kind in _DECISIONS:
                self.write(_DECISIONS[kind], made.text)

    def _change(self, change: Change) -> None:
        level, line, _ = _LINES[change.kind]
        # Formatted only if it is written: a burst of lines is summarised.
        self.logger.emit(
            level, "{text()}", text=partial(_fill, line, change, self._name()), kind=line, system=self._name()
        )

    def write(self, level: LogLevel, text: str) -> None:
        """Write one line."""
        self.logger.emit(level, "{text}", text=text, system=self._name())


def _fill(line: str, change: Change, service: str) -> str:
    server = change.server
    return line.format(
        service=service,
        host=server.host,
        enabled="enabled" if server.member.enabled else "disabled",
        weight=server.member.weight,
        address=server.address,
        next=server.move and server.move.address,
        status=change.status,
        monitor=change.monitor,
        reason=change.reason,
    )
