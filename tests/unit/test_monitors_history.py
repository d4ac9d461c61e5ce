"""The history of a monitor: its bound, its order and the fields of a result."""

from __future__ import annotations

import gc
import sys

import pytest

from pybal.checks.result import FAILED, INCONCLUSIVE, NEVER, PASSED, Phase, Result
from pybal.monitors.base import PastResult
from pybal.monitors.history import KEPT, LONGEST_REASON, ResultHistory


@pytest.mark.parametrize(
    "past",
    [
        PastResult(
            12.5, Result(PASSED, 0.25, Phase.BODY, steps=(0.125, NEVER, 0.125, 0.1875), received=4096), "http://a/"
        ),
        PastResult(12.5, Result(FAILED, 0.5, Phase.TLS, "timeout", steps=(0.25, NEVER, NEVER, NEVER)), "http://a/"),
        PastResult(12.5, Result(INCONCLUSIVE, 0.0, Phase.START, "EMFILE")),
        PastResult(12.5, Result(PASSED, 0.0, steps=(0.0, 0.0, 0.0, 0.0)), "TCP only", follow_up=True),
        PastResult(3e9, Result(FAILED, 2.0**22, Phase.IDLE, "connection lost: reset", received=2**32 - 1)),
    ],
)
def test_history_returns_what_was_added(past: PastResult) -> None:
    recent = ResultHistory()
    recent.add(past.at, past.result, past.subject, follow_up=past.follow_up)
    assert list(recent) == [past]


@pytest.mark.parametrize("count", [0, 1, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT + 7])
def test_history_keeps_the_last_results_oldest_first(count: int) -> None:
    recent = ResultHistory()
    for number in range(count):
        recent.add(float(number), Result(FAILED, 0.0, reason=f"reason {number}"), f"subject {number}", follow_up=False)
    expected = range(max(0, count - KEPT), count)
    assert [past.at for past in recent] == list(expected)
    assert [past.result.reason for past in recent] == [f"reason {number}" for number in expected]
    assert [past.subject for past in recent] == [f"subject {number}" for number in expected]


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * LONGEST_REASON, "x" * LONGEST_REASON),
        ("x" * (LONGEST_REASON + 1), "x" * (LONGEST_REASON - 3) + "..."),
        ("not HTTP/1: '\u65e5'", "not HTTP/1: '\\u65e5'"),
        ("\U0001f600" * 1000, ("\\U0001f600" * 10)[: LONGEST_REASON - 3] + "..."),
    ],
)
def test_reason_is_cut_and_escaped(reason: str, kept: str) -> None:
    recent = ResultHistory()
    recent.add(1.0, Result(FAILED, 1.0, Phase.STATUS, reason), "", follow_up=False)
    assert [past.result.reason for past in recent] == [kept]


def test_history_caps_the_byte_count() -> None:
    recent = ResultHistory()
    recent.add(1.0, Result(PASSED, 1.0, received=2**40), "", follow_up=False)
    assert [past.result.received for past in recent] == [2**32 - 1]


def test_history_of_longest_reasons_takes_under_11_kilobytes() -> None:
    recent = ResultHistory()
    for number in range(4 * KEPT):
        recent.add(1.0, Result(FAILED, 1.0, reason=f"{number}".rjust(LONGEST_REASON, "x")), "", follow_up=False)
    reasons = sum(sys.getsizeof(past.result.reason) for past in recent)
    parts = [part for part in gc.get_referents(recent) if not isinstance(part, type)]
    assert sum(map(sys.getsizeof, parts)) > 1024
    lists = sys.getsizeof(recent) + sum(map(sys.getsizeof, parts))
    assert reasons + lists < 11 * 1024


def test_consecutive_equal_reasons_are_one_object() -> None:
    recent = ResultHistory()
    for _ in range(KEPT):
        recent.add(1.0, Result(FAILED, 1.0, reason=b"refused".decode()), "", follow_up=False)
    assert len({id(past.result.reason) for past in recent}) == 1


class TestPhases:
    def test_last_phase_has_the_remaining_time(self) -> None:
        assert Result(PASSED, 1.0, Phase.BODY, steps=(0.125, 0.25, 0.5, 0.75)).phases == {
            "connect": 0.125,
            "tls": 0.125,
            "first byte": 0.25,
            "headers": 0.25,
            "body": 0.25,
        }

    @pytest.mark.parametrize(
        ("result", "phases"),
        [
            (Result(FAILED, 0.5, Phase.CONNECT), {"connect": 0.5}),
            (Result(FAILED, 0.5, Phase.QUERY), {"query": 0.5}),
            (Result(FAILED, 0.5, Phase.TLS, steps=(0.25, NEVER, NEVER, NEVER)), {"connect": 0.25, "tls": 0.25}),
            (
                Result(FAILED, 0.5, Phase.HEADERS, steps=(0.25, NEVER, NEVER, NEVER)),
                {"connect": 0.25, "first byte": 0.25},
            ),
            (
                Result(FAILED, 0.5, Phase.HEADERS, steps=(0.125, NEVER, 0.25, NEVER)),
                {"connect": 0.125, "first byte": 0.125, "headers": 0.25},
            ),
            (
                Result(FAILED, 0.5, Phase.STATUS, steps=(0.125, NEVER, 0.25, 0.5)),
                {"connect": 0.125, "first byte": 0.125, "headers": 0.25},
            ),
        ],
    )
    def test_failure_ends_in_its_phase(self, result: Result, phases: dict[str, float]) -> None:
        assert result.phases == phases
