"""What a monitor has said so far: its counters, and when its owner is to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pybal.core.model import Report
from pybal.monitors.base import PastResult
from pybal.monitors.history import ResultHistory


class RiseFall:
    """The part that all monitors have: results go in, reports of changes go out.

    ``fall`` failures in a row make a server down, and ``rise`` successes make one that is down up; of a server of which
    nothing is known yet the first success is enough. While a server is down, another ``cause`` is reported, other
    numbers in the reason are not.
    """

    __slots__ = (
        "_against",
        "_cause",
        "_fall",
        "_recent",
        "_report",
        "_rise",
        "_urgent",
        "down_results",
        "down_transitions",
        "up",
        "up_results",
        "up_transitions",
    )

    shared_by: Sequence[str] = ()

    def __init__(self, report: Callable[[Report], None], rise: int = 1, fall: int = 1) -> None:
        self.up: bool | None = None
        self.up_results = self.down_results = self.up_transitions = self.down_transitions = 0
        self._report = report
        self._rise = rise
        self._fall = fall
        self._against = 0
        """How many results in a row spoke against what is believed."""
        self._cause = ""
        self._urgent = False
        self._recent = ResultHistory()
        """Takes what any check came to, whether it counts or not."""

    @property
    def passed_at(self) -> float:
        return self._recent.passed_at

    def history(self) -> Iterable[PastResult]:
        return self._recent

    def set_urgent(self, urgent: bool) -> None:
        self._urgent = urgent
        if self.up is False:
            self._moved()

    @property
    def in_doubt(self) -> bool:
        """Whether what came last speaks against what is believed, but not often enough."""
        return self._against > 0

    def _passed(self, at: float) -> None:
        self.up_results += 1
        if self.up:
            if self._against:
                self._believe()
            return
        if self.up is False and self._doubt(self._rise):
            return
        self.up = True
        self.up_transitions += 1
        self._believe()
        self._report(Report(up=True, at=at))

    def _failed(self, reason: str, cause: str, at: float) -> None:
        self.down_results += 1
        if self.up is False:
            if self._against:
                self._believe()
            if self._cause == cause:
                return
        elif self._doubt(self._fall):
            return
        else:
            self.up = False
            self.down_transitions += 1
            self._believe()
        self._cause = cause
        self._report(Report(up=False, reason=reason, at=at, cause=cause))

    def _doubt(self, needed: int) -> bool:
        """Take a result against what is believed; tell whether more are needed."""
        if self._against + 1 >= needed:
            return False
        self._against += 1
        self._moved()
        return True

    def _believe(self) -> None:
        self._against = 0
        self._moved()

    def _moved(self) -> None:
        """Take note that the server is up, down or in doubt as it was not before."""
