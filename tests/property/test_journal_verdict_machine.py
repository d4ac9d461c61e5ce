"""The replay of any run of the decisions on announcements makes each again, bit for bit."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import rule
from typing_extensions import override

from pybal.bgp.announcer import Inputs
from pybal.bgp.verdict import Decided
from pybal.core.events import Event
from pybal.core.policy import step
from pybal.journal.alternative import alternative
from pybal.journal.mask import masked
from pybal.journal.replay import replayed
from pybal.journal.whatif import Comparison
from tests.harness.journal_lines import JournalLines
from tests.property.test_bgp_verdict_machine import EXTRA, VerdictMachine


class JournaledVerdictMachine(VerdictMachine):
    """Three services on two VIPs, and all decisions about them in a journal.

    Only the events of pools are recorded; a rule that replaces a pool makes a new one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.journal = JournalLines()

    @override
    def happen(self, name: str, event: Event) -> None:
        before = self.pools[name]
        self.pools[name] = step(before, event)
        self.journal.record(name, event, before, self.pools[name])
        self.check_verdicts()

    @override
    def check_verdicts(self) -> None:
        standings, drains, memory = self.standings(), dict(self.drains), self.memory
        super().check_verdicts()
        verdicts = tuple(self.last.values())
        gone = memory.services.keys() - self.memory.services.keys()
        inputs = Inputs(standings, (EXTRA,), drains, self.settings, tuple(gone), self.now)
        self.journal.decide(inputs, Decided(verdicts, self.memory, self.wake))

    @rule()
    def begin_a_segment(self) -> None:
        self.journal.begin()

    @override
    def teardown(self) -> None:
        self.journal.begin()
        replay = self.journal.replay()
        # Neither equal settings nor other names change a decision.
        same, other_names = Comparison(alternative(())), replayed(masked(self.journal.records()))
        for record in self.journal.records():
            same.take(record)
        assert (same.moments, other_names.differences, other_names.problems) == ([], [], [])
        assert other_names.counts == replay.counts
        assert (replay.differences, replay.problems, replay.gaps, replay.counts.skipped) == ([], [], [], 0)
        assert dict(replay.verdicts) == self.last


TestJournaledVerdicts = JournaledVerdictMachine.TestCase
TestJournaledVerdicts.settings = settings(max_examples=max(10, settings().max_examples // 10), stateful_step_count=30)
