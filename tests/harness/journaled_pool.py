"""A pool whose events are recorded in a journal on disk; the test passes the time of its Clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from pybal.core.events import Event
from pybal.core.model import Alert, Pool
from pybal.core.policy import step
from pybal.journal.reader import Reader
from pybal.journal.recorder import Recorder
from pybal.journal.replay import Replay, replayed
from pybal.runtime.clocks import Clocks
from pybal.runtime.turns import Turns
from tests.harness.fake_workers import FakeWorkers
from tests.harness.pool_events import listed, resolved, service, up

BEGIN = datetime(2026, 11, 30, 8, tzinfo=UTC)


class JournaledPool:
    """A journal of at most ``size`` bytes, and the pool of the service web.

    The wall clock is ``begin`` at the start. Other keywords are fields of its ``Service``.
    """

    def __init__(self, directory: Path, size: int = 10_000_000, *, begin: datetime = BEGIN, **more: Any) -> None:
        self.directory = directory / "journal"
        self.clock = Clock()
        self.recorder = Recorder(
            self.directory,
            size,
            clock=self.clock,
            turns=Turns(self.clock, now=self.clock.seconds),
            threads=FakeWorkers(self.clock),
            read=lambda: Clocks(self.clock.seconds(), begin + timedelta(seconds=self.clock.seconds())),
            host="lvs1",
            version="2.0.0",
        )
        self.tape = self.recorder.tape()
        self.pool = Pool(service(**more))

    def happen(self, *happening: Event) -> None:
        for event in happening:
            before, self.pool = self.pool, step(self.pool, event)
            self.tape.record(event, before, self.pool)

    def begin(self) -> None:
        """Fill the pool with four servers that are up."""
        self.happen(listed("abcd"), resolved("abcd"), *map(up, "abcd"))

    def pass_time(self, seconds: float = 1.0) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)

    def stop(self) -> None:
        self.pass_time()
        written: list[bool] = []
        self.recorder.stop().addCallback(written.append)
        self.pass_time()
        assert written == [True]

    def replay(self) -> Replay:
        reader = Reader(self.directory)
        replay = replayed(reader)
        assert reader.problems == []
        return replay

    def wait(self, condition: Callable[[], bool]) -> None:
        """Pass time until a condition holds that depends on the thread of the journal."""
        end = datetime.now(UTC) + timedelta(seconds=60)
        while not condition():
            assert datetime.now(UTC) < end
            self.pass_time(0.5)
            os.sched_yield()

    @property
    def is_written(self) -> bool:
        """True if the thread has nothing to write."""
        return self.recorder._writer.is_idle  # noqa: SLF001

    def alerts(self) -> Sequence[Alert]:
        return list(self.recorder.alerts())

    def has_alert(self, text: str) -> bool:
        """Return whether an alert has a text."""
        return any(text in alert.text for alert in self.alerts())
