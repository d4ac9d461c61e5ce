"""What a monitor has said so far: its counters, and when its owner is to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pybal.checks.result import Result
from pybal.model import Report
from pybal.monitors.base import Past
from pybal.monitors.recent import Recent


class Record:
    """The part that all monitors have: results go in, reports of changes go out.

    The first result is a transition. While a server is down, another ``cause`` is reported, other numbers in the
    reason are not.
    """

    __slots__ = (
        "_cause",
        "_recent",
        "_report",
        "down_results",
        "down_transitions",
        "up",
        "up_results",
        "up_transitions",
    )

    def __init__(self, report: Callable[[Report], None]) -> None:
        self.up: bool | None = None
        self.up_results = self.down_results = self.up_transitions = self.down_transitions = 0
        self._report = report
        self._cause = ""
        self._recent = Recent()

    def history(self) -> Iterable[Past]:
        return self._recent

    def _note(self, at: float, result: Result, subject: str = "", *, follow_up: bool = False) -> None:
        """Remember what any check came to, whether it counts or not."""
        self._recent.add(at, result, subject, follow_up=follow_up)

    def _passed(self, at: float) -> None:
        self.up_results += 1
        if not self.up:
            self.up = True
            self.up_transitions += 1
            self._report(Report(up=True, at=at))

    def _failed(self, reason: str, cause: str, at: float) -> None:
        self.down_results += 1
        if self.up is False and self._cause == cause:
            return
        if self.up is not False:
            self.up = False
            self.down_transitions += 1
        self._cause = cause
        self._report(Report(up=False, reason=reason, at=at, cause=cause))
