"""The history of one pool: the transitions of its monitors and its decisions, of bounded length. Pure.

It is fed with values only: reports, decisions, removed hosts; their times are monotonic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from pybal.core.decision import NAMED_HOSTS, Decision
from pybal.core.model import Report, Server
from pybal.core.transitions import Transition, TransitionLog

KEPT_DECISIONS = 200
"""Decisions per pool."""
KEPT_SERVERS = 2000
"""Servers of the decisions of a pool before the newest one, which has all of its servers."""


class PoolHistory:
    """The last transitions of each monitor of a pool, and its last decisions, the oldest first."""

    def __init__(self) -> None:
        self._decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
        self._servers = 0
        self._logs: dict[str, dict[str, TransitionLog]] = {}

    @property
    def decisions(self) -> Iterable[Decision]:
        """The last decisions, the oldest first."""
        return tuple(self._decisions)

    def decisions_on(self, host: str) -> Iterator[Decision]:
        """Yield the decisions that name a host."""
        return (decision for decision in self.decisions if host in decision.hosts)

    def transitions(self, host: str) -> Mapping[str, Iterable[Transition]]:
        """Return the transitions of the monitors of a host, by their names; without those that were always up."""
        return dict(self._logs.get(host, {}))

    def report(self, host: str, monitor: str, report: Report) -> None:
        """Add a report of a monitor."""
        log = self._logs.get(host, {}).get(monitor)
        if log is None:
            if report.up:
                return
            log = self._logs.setdefault(host, {})[monitor] = TransitionLog()
        log.add(report.at, report.reason, up=report.up)

    def moved(self, server: Server) -> None:
        """Add the reports on the new address of a server."""
        for monitor, report in server.reports.items():
            if report is not None:
                self.report(server.host, monitor, report)

    def forget(self, host: str) -> None:
        """Delete the transitions of a host that left the pool."""
        self._logs.pop(host, None)

    def decide(self, decision: Decision) -> None:
        """Add a decision; the oldest ones lose servers if there are too many."""
        if len(self._decisions) == KEPT_DECISIONS:
            self._servers -= len(self._decisions[0].hosts)
        self._decisions.append(decision)
        self._servers += len(decision.hosts)
        for place, old in enumerate(tuple(self._decisions)[:-1]):
            if self._servers <= KEPT_SERVERS:
                break
            if len(old.hosts) > NAMED_HOSTS:
                self._decisions[place] = old.shortened()
                self._servers -= len(old.hosts) - NAMED_HOSTS
