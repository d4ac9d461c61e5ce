"""What is told of the pool sources."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.task import Clock

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.runtime.clocks import Clocks
from pybal.sources.base import SourceError, Trouble
from pybal.sources.pool_source import PoolSource
from pybal.status import sources
from tests.harness.sources.scripted_source import ScriptedSource as Played

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def told() -> tuple[Played, PoolSource, Clocks]:
    clock = Clock()
    played = Played()
    source = PoolSource(played, SourceSettings("etcd://u:secret@h/p"), None, clock=clock, wall=lambda: NOON)
    source.start(lambda _: None, lambda _: None)
    clock.advance(10)
    played.listed((Member("a"),))
    played.last_success = 95.0
    clock.advance(90)
    return played, source, Clocks(clock.seconds(), NOON)


def test_a_line_tells_when_a_source_was_good_and_when_it_changed() -> None:
    _, source, clocks = told()
    assert sources.sources_text([("web", source)], clocks) == (
        "web: etcd://***@h/p: good 2026-11-20T11:59:55.000Z, changed 2026-11-20T11:58:30.000Z\n"
    )


def test_a_line_tells_what_is_wrong() -> None:
    played, source, clocks = told()
    played.problem = "etcd://***@h/p: connection refused"
    assert sources.sources_text([("web", source)], clocks).startswith("web: etcd://***@h/p: connection refused: good ")


def test_a_source_that_has_said_nothing_has_no_times() -> None:
    source = PoolSource(Played(), SourceSettings("file:///p"), None, clock=Clock(), wall=lambda: NOON)
    clocks = Clocks(0.0, NOON)
    assert sources.sources_text([("web", source)], clocks) == "web: file:///p: not good yet, no list yet\n"
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


def test_the_metrics_count_each_kind_of_trouble() -> None:
    played, source, clocks = told()
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
