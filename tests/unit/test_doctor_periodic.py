"""What the log and the alerts say of the host while the daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from pybal.core.model import Alert
from pybal.doctor.finding import Finding, Grade
from pybal.doctor.periodic import INTERVAL, Examination

GONE = Finding("VIP 192.0.2.1", Grade.FAIL, "on no device", "on lo", "nothing comes", "ip addr add")
SLOW = Finding("sysctl", Grade.WARN, "0", "1", "clients hang", "sysctl -w")
FINE = Finding("Linux", Grade.OK, "6.1")


class Rig:
    def __init__(self, *findings: Finding) -> None:
        self.clock = Clock()
        self.findings = findings
        self.examination = Examination(lambda: self.findings, self.clock)

    def look(self, *findings: Finding) -> list[tuple[str, str]]:
        """Return what is logged at the next look, with the level."""
        self.findings = findings
        with logged() as said:
            self.clock.advance(INTERVAL)
        return said


@contextmanager
def logged() -> Iterator[list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []
    with capturedLogs() as events:
        yield said
    levels: dict[LogLevel, str] = {LogLevel.error: "error", LogLevel.warn: "warn", LogLevel.info: "info"}
    said += [(levels[event["log_level"]], str(formatEvent(event))) for event in events]


def test_the_start_tells_what_is_to_be_mended_and_alerts_of_what_fails() -> None:
    rig = Rig(FINE, SLOW, GONE)
    with logged() as said:
        rig.examination.start()
    assert said == [
        ("error", "VIP 192.0.2.1: on no device, wanted on lo: nothing comes; mend: ip addr add"),
        ("warn", "sysctl: 0, wanted 1: clients hang; mend: sysctl -w"),
    ]
    assert list(rig.examination.alerts()) == [
        Alert("", "host", "VIP 192.0.2.1: on no device, wanted on lo: nothing comes")
    ]
    rig.examination.stop()
    assert rig.clock.getDelayedCalls() == []


def test_later_looks_tell_only_what_is_new_and_what_is_mended() -> None:
    rig = Rig(SLOW)
    rig.examination.start()
    assert rig.look(SLOW) == []
    assert [level for level, _ in rig.look(SLOW, GONE)] == ["error"]
    assert rig.look(FINE) == [
        ("info", "no more: VIP 192.0.2.1: on no device, wanted on lo"),
        ("info", "no more: sysctl: 0, wanted 1"),
    ]
    assert list(rig.examination.alerts()) == []
    rig.examination.stop()
