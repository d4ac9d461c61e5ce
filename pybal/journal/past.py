"""The history of pools by the records of one segment of a journal. Pure.

A segment begins with the state of all pools, so its history needs no other one; :meth:`~pybal.core.history.PoolHistory.precede` joins
them.
"""

from __future__ import annotations

from dataclasses import replace

from pybal.core.changes import changes_in_parts
from pybal.core.decision import EventDecisions
from pybal.core.events import Gathered
from pybal.core.history import PoolHistory
from pybal.core.model import Pool
from pybal.core.policy import arithmetic
from pybal.core.steps import Steps, parts
from pybal.ipvs.model import Key, key_of
from pybal.journal.replay import Applied, Replay
from pybal.journal.values import Document


class SegmentPast:
    """The history of each pool, by the key of its service; times are those of the records."""

    def __init__(self) -> None:
        self.replay = Replay()
        self.histories: dict[Key, PoolHistory] = {}
        self._known: set[int] = set()
        """The pools whose state is known."""

    def take(self, record: Document) -> Steps[None]:
        """Take the next record."""
        applied = yield from self.replay.take_in_steps(record)
        if self._known != self.replay.pools.keys():
            yield from self._adopt()
        if applied is not None:
            yield from self._apply(applied)

    def _adopt(self) -> Steps[None]:
        """Add the reports of pools whose state became known."""
        new = self.replay.pools.keys() - self._known
        self._known = set(self.replay.pools)
        for number in new:
            pool = self.replay.pools[number]
            history = self._history(pool)
            for part in parts(pool.servers.values()):
                for server in part:
                    for monitor, report in server.reports.items():
                        if report is not None:
                            history.report(server.host, monitor, replace(report, at=report.began))
                yield

    def _apply(self, applied: Applied) -> Steps[None]:
        history = self._history(applied.after)
        if isinstance(applied.event, Gathered):
            for each in applied.event.reports:
                history.report(each.host, each.monitor, each.report)
        made = EventDecisions()
        for part in changes_in_parts(applied.before, applied.after):
            for change in part:
                made.add(change)
                history.change(change)
            yield
        for _, decision in made.decisions(applied.record["at"], lambda: arithmetic(applied.after)):
            history.decide(decision)

    def _history(self, pool: Pool) -> PoolHistory:
        key = key_of(pool.service)
        history = self.histories.get(key)
        if history is None:
            history = self.histories[key] = PoolHistory()
            history.await_past()
        return history
