"""Periodic checks of the host: logs new and resolved findings, and raises alerts for failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pybal.core.model import Alert
from pybal.doctor.finding import Finding, Grade, to_mend
from pybal.runtime.activity import Activity

INTERVAL = 60.0
"""Seconds between two checks."""
SLOW = 10.0
"""Seconds without a result after which a check in progress is an alert."""


class Examination:
    """Calls ``examine`` periodically and keeps its findings that need action.

    Its result may be a Deferred, because files of a host can hang. ``name`` is that of the activity.
    """

    _log = Logger()

    def __init__(
        self,
        examine: Callable[[], Sequence[Finding] | Deferred[Sequence[Finding]]],
        clock: IReactorTime,
        name: str = "check of the host",
    ) -> None:
        self._examine = examine
        self._clock = clock
        self._findings: dict[tuple[str, Grade], Finding] = {}
        self._began: float | None = None
        self._name = name
        self._activity = Activity(name, self._run, clock, interval=INTERVAL)

    def start(self) -> None:
        """Check the host now, and then every INTERVAL seconds."""
        self._activity.start(now=True)

    def wake(self) -> None:
        """Check again now."""
        self._activity.wake()

    def stop(self) -> None:
        """Stop the periodic checks."""
        self._activity.stop()

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings of the last check that need action."""
        return tuple(self._findings.values())

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each failure, and for a check that hangs. Warnings are in the log only."""
        for finding in self._findings.values():
            if finding.grade is Grade.FAIL:
                yield Alert("", "host", f"{finding.text} ({finding.why}); fix: {finding.mend}", subject=finding.text)
        if self._began is not None and (age := self._clock.seconds() - self._began) > SLOW:
            yield Alert("", "host", f"{self._name}: no result for {age:.0f} s (a file system may hang)")

    def _run(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._check())

    async def _check(self) -> None:
        self._began = self._clock.seconds()
        try:
            examined = self._examine()
            found = await examined if isinstance(examined, Deferred) else examined
        finally:
            self._began = None
        self._note(found)

    def _note(self, found: Sequence[Finding]) -> None:
        findings = {(finding.about, finding.grade): finding for finding in to_mend(found)}
        for key, finding in findings.items():
            if key not in self._findings:
                log = self._log.error if finding.grade is Grade.FAIL else self._log.warn
                log("{text} ({why}); fix: {mend}", text=finding.text, why=finding.why, mend=finding.mend, system="host")
        for key, finding in self._findings.items():
            if key not in findings:
                self._log.info("resolved: {text}", text=finding.text, system="host")
        self._findings = findings
