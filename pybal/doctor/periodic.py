"""Looks at the host when the daemon starts and again and again: the log tells of what is new, alerts of what fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pybal.core.model import Alert
from pybal.doctor.finding import Finding, Grade, to_mend

INTERVAL = 60.0
"""Seconds from one look to the next."""


class Examination:
    """Keeps what the last ``look`` came to."""

    _log = Logger()

    def __init__(self, look: Callable[[], Sequence[Finding]], clock: IReactorTime) -> None:
        self._look = look
        self._clock = clock
        self._trouble: dict[tuple[str, Grade], Finding] = {}
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Look now, and go on."""
        self._next = self._clock.callLater(INTERVAL, self.start)
        trouble = {(finding.about, finding.grade): finding for finding in to_mend(self._look())}
        for key, finding in trouble.items():
            if key not in self._trouble:
                level = self._log.error if finding.grade is Grade.FAIL else self._log.warn
                level(
                    "{text}: {why}; mend: {mend}", text=finding.text, why=finding.why, mend=finding.mend, system="host"
                )
        for key, finding in self._trouble.items():
            if key not in trouble:
                self._log.info("no more: {text}", text=finding.text, system="host")
        self._trouble = trouble

    def stop(self) -> None:
        """Look no more."""
        if self._next and self._next.active():
            self._next.cancel()

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert for each thing that fails; what is not well but works is in the log only."""
        for finding in self._trouble.values():
            if finding.grade is Grade.FAIL:
                yield Alert("", "host", f"{finding.text}: {finding.why}")
