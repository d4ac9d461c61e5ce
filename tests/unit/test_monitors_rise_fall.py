"""Counters and reports of a monitor: transitions, and changed causes while down."""

from __future__ import annotations

from pybal.core.model import Report
from pybal.monitors.rise_fall import RiseFall


class TestRecord:
    def test_first_result_is_reported(self) -> None:
        reports: list[Report] = []
        RiseFall(reports.append).passed(1.0)
        RiseFall(reports.append).failed("connect: refused", "connect refused", 2.0)
        assert reports == [Report(up=True, at=1.0), Report(False, "connect: refused", 2.0, "connect refused")]

    def test_reason_from_a_server_is_escaped(self) -> None:
        reports: list[Report] = []
        RiseFall(reports.append).failed("status: x\n[web] \x1b[2J", "a\tb", 2.0)
        assert reports == [Report(False, "status: x\\n[web] \\x1b[2J", 2.0, "a\\tb")]

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
