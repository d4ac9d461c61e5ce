"""Log lines and alerts of the periodic checks of the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.core.model import Alert
from pybal.doctor.finding import Finding, Grade
from pybal.doctor.periodic import INTERVAL, Examination

GONE = Finding("VIP 192.0.2.1", Grade.FAIL, "on no device", "on lo", "no packets arrive", "ip addr add")
SLOW = Finding("sysctl", Grade.WARN, "0", "1", "clients hang", "sysctl -w")
FINE = Finding("Linux", Grade.OK, "6.1")


class ExaminedHost:
    """A host with given findings, examined on a test clock."""

    def __init__(self, *findings: Finding) -> None:
        self.clock = Clock()
        self.findings = findings
        self.examination = Examination(lambda: self.findings, self.clock)

    def look(self, *findings: Finding) -> list[tuple[str, str]]:
        """Return the level and text of each line that the next check logs."""
        self.findings = findings
        with logged() as lines:
            self.clock.advance(INTERVAL)
        return lines


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    lines: list[tuple[str, str]] = []
    with capturedLogs() as events:
        yield lines
    levels: dict[LogLevel, str] = {LogLevel.error: "error", LogLevel.warn: "warn", LogLevel.info: "info"}
    lines += [(levels[event["log_level"]], str(formatEvent(event))) for event in events]


def test_start_logs_findings_and_alerts_failures() -> None:
    host = ExaminedHost(FINE, SLOW, GONE)
    with logged() as lines:
        host.examination.start()
    assert lines == [
        ("error", "VIP 192.0.2.1: on no device, wanted on lo (no packets arrive); fix: ip addr add"),
        ("warn", "sysctl: 0, wanted 1 (clients hang); fix: sysctl -w"),
    ]
    assert list(host.examination.alerts()) == [
        Alert("", "host", "VIP 192.0.2.1: on no device, wanted on lo (no packets arrive); fix: ip addr add")
    ]
    assert host.examination.findings == (GONE, SLOW)
    host.examination.stop()
    assert host.clock.getDelayedCalls() == []


def test_later_checks_log_only_new_and_resolved_findings() -> None:
    host = ExaminedHost(SLOW)
    host.examination.start()
    assert host.look(SLOW) == []
    assert [level for level, _ in host.look(SLOW, GONE)] == ["error"]
    assert host.look(FINE) == [
        ("info", "resolved: VIP 192.0.2.1: on no device, wanted on lo"),
        ("info", "resolved: sysctl: 0, wanted 1"),
    ]
    assert list(host.examination.alerts()) == []
    host.examination.stop()
