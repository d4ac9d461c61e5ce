"""The replay of any run of the policy makes every decision again, bit for bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule
from typing_extensions import override

from pybal.core.events import Event
from pybal.core.history import PoolHistory
from pybal.core.policy import step
from pybal.core.steps import finish
from pybal.core.transitions import Transition
from pybal.ipvs.model import Key
from pybal.journal.alternative import alternative
from pybal.journal.mask import masked
from pybal.journal.past import SegmentPast
from pybal.journal.replay import Replay, replayed
from pybal.journal.whatif import Comparison
from tests.harness.journal_lines import JournalLines
from tests.property.test_core_policy_machine import PolicyMachine


class JournaledPolicyMachine(PolicyMachine):
    """A pool and its events, all of them in a journal."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = JournalLines()

    @override
    def happen(self, event: Event) -> None:
        before, self.pool = self.pool, step(self.pool, event)
        self.journal.record("web", event, before, self.pool)

    @rule()
    def begin_a_segment(self) -> None:
        self.journal.follow("web", self.pool)
        self.journal.begin()

    @override
    def teardown(self) -> None:
        self.journal.begin()
        replay, taken = self.journal.replay(), Replay()
        for record in self.journal.records():
            taken.take(record)
        assert (taken.differences, taken.counts, taken.pools) == (replay.differences, replay.counts, replay.pools)
        # Neither equal settings nor other names change a decision.
        same, other_names = Comparison(alternative(())), replayed(masked(self.journal.records()))
        for record in self.journal.records():
            same.take(record)
        assert (same.moments, other_names.differences, other_names.problems) == ([], [], [])
        assert other_names.counts == replay.counts
        assert (replay.differences, replay.problems, replay.gaps, replay.counts.skipped) == ([], [], [], 0)
        for number, pool in self.journal.pools().items():
            assert replay.pools[number] == pool
        self._compare_pasts()

    def _compare_pasts(self) -> None:
        """The joined histories of all segments are that of the whole journal."""
        whole = segment_past(self.journal.records())
        joined: dict[Key, PoolHistory] = defaultdict(PoolHistory)
        for segment in reversed(list(self.journal.segments())):
            for key, past in segment_past(segment).histories.items():
                joined[key].await_past()
                finish(joined[key].precede(past))
        for key, history in whole.histories.items():
            assert list(joined[key].decisions) == list(history.decisions)
            for host in self.pool.servers:
                assert transitions(joined[key], host) == transitions(history, host)


def transitions(history: PoolHistory, host: str) -> Mapping[str, Sequence[Transition]]:
    return {monitor: list(log) for monitor, log in history.transitions(host).items()}


def segment_past(records: Iterable[Mapping[str, Any]]) -> SegmentPast:
    past = SegmentPast()
    for record in records:
        finish(past.take(record))
    return past


TestJournaledPolicy = JournaledPolicyMachine.TestCase
TestJournaledPolicy.settings = settings(
    max_examples=max(10, settings().max_examples // 10),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
