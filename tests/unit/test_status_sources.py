"""The state of the pool sources as text, JSON and metrics."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.runtime.clocks import Clocks
from pybal.sources.base import PoolState, SourceError, Trouble
from pybal.sources.pool_source import PoolSource
from pybal.status import sources
from tests.harness.sources.scripted_source import ScriptedSource as Played

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def listed() -> tuple[Played, PoolSource, Clocks]:
    clock = Clock()
    played = Played()
    source = PoolSource(
        played, SourceSettings("etcd://u:secret@h/p"), None, service="web", clock=clock, wall=lambda: NOON
    )
    source.start(lambda _: None, lambda _: None, PoolState)
    clock.advance(10)
    played.listed((Member("a"),))
    played.last_success = 95.0
    clock.advance(90)
    return played, source, Clocks(clock.seconds(), NOON)


def test_text_has_the_ages_of_the_last_success_and_change() -> None:
    _, source, clocks = listed()
    assert sources.sources_text([("web", source)], clocks) == (
        "web: etcd://***@h/p; last read 5 s ago, last changed 90 s ago\n"
    )


def test_text_begins_with_the_problem_of_a_source() -> None:
    played, source, clocks = listed()
    played.problem = "etcd://***@h/p: connection refused"
    assert sources.sources_text([("web", source)], clocks).startswith(
        "web: etcd://***@h/p: connection refused; last read "
    )


def test_times_are_absent_before_the_first_list() -> None:
    source = PoolSource(Played(), SourceSettings("file:///p"), None, service="web", clock=Clock(), wall=lambda: NOON)
    clocks = Clocks(0.0, NOON)
    assert sources.sources_text([("web", source)], clocks) == "web: file:///p; never read, never changed\n"
    assert sources.sources_json([("web", source)], clocks) == {
        "web": {
            "source": "file:///p",
            "problem": None,
            "stale": False,
            "last_success": None,
            "last_change": None,
            "age": 0.0,
            "errors": dict.fromkeys(Trouble, 0),
            "differences": 0,
        }
    }


def test_metrics_count_each_kind_of_error() -> None:
    played, source, clocks = listed()
    played.problem = "x"
    played.failed(SourceError("x", Trouble.DENIED))
    values = {
        (family.name, *labels): value
        for family in sources.families([("web", source)], clocks)
        for labels, value in family.series
    }
    web = ("service", "web")
    assert values["pybal_source_errors_total", web, ("kind", "denied")] == 1
    assert values["pybal_source_errors_total", web, ("kind", "empty")] == 0
    assert values["pybal_source_up", web] == 0
    assert values["pybal_source_last_success_timestamp_seconds", web] == NOON.timestamp() - 5
    assert values["pybal_source_last_change_timestamp_seconds", web] == NOON.timestamp() - 90
