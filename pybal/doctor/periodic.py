"""Periodic checks of the host: logs new and resolved findings, and raises alerts for failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Alert
from pybal.doctor.finding import Finding, Grade, to_mend

INTERVAL = 60.0
"""Seconds between two checks."""


class Examination:
    """Calls ``examine`` periodically and keeps its findings that need action."""

    _log = Logger()

    def __init__(self, examine: Callable[[], Sequence[Finding]], clock: IReactorTime) -> None:
        self._examine = examine
        self._clock = clock
        self._findings: dict[tuple[str, Grade], Finding] = {}
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Check the host now, and then every INTERVAL seconds."""
        self._next = self._clock.callLater(INTERVAL, self.start)
        findings = {(finding.about, finding.grade): finding for finding in to_mend(self._examine())}
        for key, finding in findings.items():
            if key not in self._findings:
                log = self._log.error if finding.grade is Grade.FAIL else self._log.warn
                log("{text} ({why}); fix: {mend}", text=finding.text, why=finding.why, mend=finding.mend, system="host")
        for key, finding in self._findings.items():
            if key not in findings:
                self._log.info("resolved: {text}", text=finding.text, system="host")
        self._findings = findings

    def stop(self) -> None:
        """Stop the periodic checks."""
        if self._next and self._next.active():
            self._next.cancel()

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each failure. Warnings are in the log only."""
        for finding in self._findings.values():
            if finding.grade is Grade.FAIL:
                yield Alert("", "host", f"{finding.text} ({finding.why}); fix: {finding.mend}")
