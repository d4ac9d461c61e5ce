"""The replay of journals that differ from the decisions of this version, or that lack records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from pybal.bgp.announcer import Inputs
from pybal.bgp.verdict import Memory, Standing, decide
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings
from pybal.core.events import Event
from pybal.core.policy import step
from pybal.journal.replay import Gap, replayed
from tests.harness.journal_lines import TIME, JournalLines
from tests.harness.pool_events import down, healthy, up

Records = Sequence[Mapping[str, Any]]


class AnnouncedPool:
    """The pool of the service web, up in IPVS, and the decisions on its VIP, all of them in a journal.

    At least two servers must serve.
    """

    def __init__(self) -> None:
        self.journal = JournalLines()
        self.pool = healthy("abc", threshold=0.0)
        self.memory = Memory()
        self.now = 0.0
        self._settings = BGPSettings(())

    def happen(self, *events: Event) -> None:
        """Apply events, then decide."""
        for event in events:
            before, self.pool = self.pool, step(self.pool, event)
            self.journal.record("web", event, before, self.pool)
        self.decide()

    def decide(self, *, forgotten: Sequence[str] = (), present: bool = True) -> None:
        """Decide, after the memory of services was dropped, or without the service."""
        kept = {name: past for name, past in self.memory.services.items() if name not in forgotten}
        memory = Memory(self.memory.vips, MappingProxyType(kept))
        standings = [Standing(self.pool, verified=True, minimum=Limit(2))] if present else []
        decided = decide(standings, drains={}, settings=self._settings, memory=memory, now=self.now)
        self.journal.decide(Inputs(standings, (), {}, self._settings, forgotten, self.now), decided)
        self.memory = decided.memory

    @property
    def records(self) -> Records:
        return list(self.journal.records())


@pytest.fixture
def announced() -> AnnouncedPool:
    return AnnouncedPool()


@pytest.fixture
def segments() -> Sequence[Records]:
    """Return two segments, with an event in each."""
    journal, pool = JournalLines(), healthy("abc")
    for event in (down("a"), up("a")):
        after = step(pool, event)
        journal.record("web", event, pool, after)
        journal.begin()
        pool = after
    first, second, _ = journal.segments()
    return first, second


def edited(records: Records, key: str, value: object, **more: object) -> Records:
    """Return records with other members in each that has this value at this key."""
    found = [{**record, **more} if record.get(key) == value else record for record in records]
    assert found != records
    return found


def differences(records: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    return [difference.text for difference in replayed(records).differences]


def test_run_that_begins_in_the_middle_has_a_gap_before_it(segments: Sequence[Records]) -> None:
    first, second = segments
    records = [*first, {**second[0], "run": "2"}, *second[1:]]
    replay = replayed(records)
    assert (replay.gaps, replay.counts.runs) == ([Gap(TIME, TIME, None)], 2)


def test_run_that_ended_within_the_state_of_a_pool_precedes_the_next(segments: Sequence[Records]) -> None:
    first, _ = segments
    assert [record.get("server") for record in first[:3]] == [None, None, "a"]
    replay = replayed([*first[:3], *first])
    assert (replay.problems, replay.gaps, replay.counts.runs) == ([], [], 2)
    assert replay.pool("web") is not None


def test_state_of_a_pool_without_all_servers_is_left_out(segments: Sequence[Records]) -> None:
    first, second = segments
    assert [record.get("server") for record in first[1:3]] == [None, "a"]
    replay = replayed([*first[:3], *second])
    assert [problem.partition(": ")[2] for problem in replay.problems] == ["servers of web are missing before it"]
    assert replay.pool("web") is not None
    assert replay.differences == []


def test_recorded_state_is_taken_over_after_a_difference(segments: Sequence[Records]) -> None:
    first, second = segments
    replay = replayed([*first, *edited(second, "server", "b", member=11)])
    (difference,) = replay.differences
    assert "weight=11" in difference.text
    pool = replay.pool("web")
    assert pool is not None
    assert pool.servers["b"].member.weight == 11


def test_other_order_of_servers_is_a_difference(segments: Sequence[Records]) -> None:
    first, (*head, a, b, c, event) = segments
    assert [record.get("server") for record in (a, b, c, event)] == ["a", "b", "c", None]
    # The numbers of server records do not count.
    assert differences([*first, *head, b, a, c, event]) == ["the pool has other servers, or in another order"]


def test_other_settings_of_a_pool_are_a_difference(segments: Sequence[Records]) -> None:
    first, second = segments
    (settings,) = [record["settings"] for record in second if record.get("event") == "pool"]
    other = edited(second, "event", "pool", settings={**settings, "scheduler": "mh"})
    assert differences([*first, *other]) == ["the pool has other settings or other held addresses"]


def test_other_number_of_serving_servers_is_a_difference(segments: Sequence[Records]) -> None:
    first, _ = segments
    assert differences(edited(first, "event", "reports", serving=3)) == [
        "placed {'a': 'out'} and 2 serving, recorded {'a': 'out'} and 3 serving"
    ]


def test_decisions_on_announcements_are_made_again(announced: AnnouncedPool) -> None:
    announced.happen(up("a"))
    announced.happen(down("a"), down("b"))
    announced.decide(present=False)
    replay = announced.journal.replay()
    assert (replay.differences, replay.problems) == ([], [])
    assert (replay.counts.decisions, replay.counts.verdicts, replay.counts.skipped) == (3, 2, 0)


def test_state_after_a_gap_has_the_present_announcements(announced: AnnouncedPool) -> None:
    announced.happen(up("a"))
    first = announced.records
    announced.happen(down("a"), down("b"))
    announced.journal.begin()
    *_, last = announced.journal.segments()
    replay = replayed([*first, *last])
    assert (len(replay.gaps), replay.differences) == (1, [])
    assert [each.announcement for each in replay.verdicts.values()] == [None]


def test_other_verdict_is_a_difference(announced: AnnouncedPool) -> None:
    announced.happen(down("a"), down("b"))
    (text,) = differences(edited(announced.records, "event", "decision", verdicts=[]))
    assert text.startswith("192.0.2.1: decided Verdict(")
    assert text.endswith(", recorded None")


def test_other_vip_without_a_decision_is_a_difference(announced: AnnouncedPool) -> None:
    announced.happen(up("a"))
    announced.decide(present=False)
    (*others, last) = announced.records
    assert last["gone"] == ["192.0.2.1"]
    assert differences([*others, {**last, "gone": []}]) == ["other VIPs have no decision any more"]


def test_past_of_a_removed_service_does_not_count_for_its_successor(announced: AnnouncedPool) -> None:
    announced.happen(up("a"))
    announced.happen(down("a"), down("b"))
    announced.now = 5.0
    announced.happen(up("a"), up("b"))
    announced.now = 6.0
    announced.decide(forgotten=["web"])
    assert announced.memory.services["web"].listed == 6.0
    replay = announced.journal.replay()
    assert replay.differences == []


def test_later_state_of_announcements_does_not_replace_the_replayed_one(announced: AnnouncedPool) -> None:
    announced.happen(up("a"))
    announced.journal.begin()
    announced.happen(up("b"))
    first, second = announced.journal.segments()
    assert differences([*first, *edited(second, "event", "bgp", verdicts=[])]) == []
