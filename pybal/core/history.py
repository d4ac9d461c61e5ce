"""The history of one pool: the transitions of its monitors and its decisions, of bounded length. Pure.

It is fed with values only: reports, decisions, removed hosts; their times are monotonic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pybal.core.changes import Change, ChangeKind
from pybal.core.decision import NAMED_HOSTS, Decision
from pybal.core.model import Report
from pybal.core.steps import Steps
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
        self._awaits_past = False
        self._first_ups: dict[tuple[str, str], float] = {}
        """The times of first reports that are up, by host and monitor: transitions if the past ends with down."""
        self._removed: set[str] = set()
        """The hosts that left the pool, which have no past."""

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
                if self._awaits_past:
                    self._first_ups.setdefault((host, monitor), report.at)
                return
            log = self._logs.setdefault(host, {})[monitor] = TransitionLog()
        log.add(report.at, report.reason, up=report.up)

    def change(self, change: Change) -> None:
        """Add the reports on the new address of a server; delete the transitions of a host that left the pool."""
        if change.kind is ChangeKind.REMOVED:
            self._logs.pop(change.server.host, None)
            if self._awaits_past:
                self._removed.add(change.server.host)
        elif change.kind in {ChangeKind.MOVED, ChangeKind.ARRIVED}:
            for monitor, report in change.server.reports.items():
                if report is not None:
                    self.report(change.server.host, monitor, report)

    def await_past(self) -> None:
        """Keep what :meth:`precede` needs, until :meth:`end_wait`."""
        self._awaits_past = True

    def precede(self, past: PoolHistory, shift: float = 0.0) -> Steps[None]:
        """Put an earlier history before this one.

        Its times are ``shift`` seconds less than those of this history, because the clock began again at a reboot. Both must await their past.
        Reports and decisions may be added between the steps.
        """
        newer, self._decisions, self._servers = self._decisions, deque(maxlen=KEPT_DECISIONS), 0
        for decision in past._decisions:
            self.decide(replace(decision, at=decision.at + shift) if shift else decision)
        for decision in newer:
            self.decide(decision)
        yield
        for host, logs in past._logs.items():
            if host in self._removed:
                continue
            own = self._logs.setdefault(host, {})
            for monitor, log in logs.items():
                joined = log.shifted(shift) if shift else log
                if (at := self._first_ups.pop((host, monitor), None)) is not None:
                    joined.add(at, "", up=True)
                joined.extend(own.get(monitor, ()))
                own[monitor] = joined
            yield
        self._first_ups |= {key: at + shift for key, at in past._first_ups.items()}
        self._removed |= past._removed

    def end_wait(self) -> None:
        """Await no past any more."""
        self._awaits_past = False
        self._first_ups.clear()
        self._removed.clear()

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
