"""Counters and reports of a monitor: transitions, and changed causes while down."""

from __future__ import annotations

from random import Random

import pytest

from pybal.core.model import Report
from pybal.monitors.rise_fall import RiseFall
from pybal.runtime.backoff import Backoff


class TestRecord:
    def test_first_result_is_reported(self) -> None:
        reports: list[Report] = []
        RiseFall(reports.append).passed(1.0)
        RiseFall(reports.append).failed("connect: refused", "connect refused", 2.0)
        assert reports == [Report(up=True, at=1.0), Report(False, "connect: refused", 2.0, "connect refused")]

    def test_repeated_result_is_counted_but_not_reported(self) -> None:
        reports: list[Report] = []
        record = RiseFall(reports.append)
        for at in (1.0, 2.0, 3.0):
            record.passed(at)
        for at in (4.0, 5.0):
            record.failed(f"body: {at} bytes", "body timeout", at)
        assert reports == [Report(up=True, at=1.0), Report(False, "body: 4.0 bytes", 4.0, "body timeout")]
        assert (record.up_results, record.down_results) == (3, 2)
        assert (record.up_transitions, record.down_transitions) == (1, 1)

    def test_changed_cause_is_reported_but_not_a_transition(self) -> None:
        reports: list[Report] = []
        record = RiseFall(reports.append)
        record.failed("connect: refused", "connect refused", 1.0)
        record.failed("status: HTTP 500, wanted 200", "status HTTP 500", 2.0)
        assert [report.reason for report in reports] == ["connect: refused", "status: HTTP 500, wanted 200"]
        assert (record.down_results, record.down_transitions) == (2, 1)

    def test_transitions_are_counted_in_both_directions(self) -> None:
        reports: list[Report] = []
        record = RiseFall(reports.append)
        record.passed(1.0)
        record.failed("connect: refused", "connect refused", 2.0)
        record.passed(3.0)
        record.failed("connect: refused", "connect refused", 4.0)
        assert [report.up for report in reports] == [True, False, True, False]
        assert (record.up, record.up_transitions, record.down_transitions) == (False, 2, 2)


class TestBackoff:
    def test_pauses_grow_by_half_up_to_the_maximum(self) -> None:
        backoff = Backoff(1.0, 3.0, Random(1))
        most = []
        for _ in range(5):
            most.append(backoff.following)
            assert 0.75 * most[-1] <= backoff.pause() <= most[-1]
        assert most == [1.0, 1.5, 2.25, 3.0, 3.0]

    def test_reset_starts_with_the_first_pause(self) -> None:
        backoff = Backoff(1.0, 300.0, Random(1))
        for _ in range(20):
            backoff.pause()
        assert backoff.following == 300.0
        backoff.reset()
        assert backoff.following == 1.0

    def test_first_pause_is_at_most_the_maximum(self) -> None:
        assert Backoff(1.0, 0.5, Random(1)).following == 0.5

    def test_pauses_of_different_monitors_differ(self) -> None:
        random = Random(1)
        assert len({Backoff(1.0, 300.0, random).pause() for _ in range(100)}) == 100

    @pytest.mark.parametrize("attempts", [10])
    def test_pauses_of_ten_attempts_take_under_two_minutes(self, attempts: int) -> None:
        backoff = Backoff(1.0, 300.0, Random(1))
        assert sum(backoff.pause() for _ in range(attempts)) < 120
