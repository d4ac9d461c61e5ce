"""The state of a monitor: rise and fall hysteresis, counters, history and reports of transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pybal.core.model import Report
from pybal.core.text import printable
from pybal.monitors.base import PATIENCE, PastResult
from pybal.monitors.history import ResultHistory


class RiseFall:
    """The base of all monitors: takes results, reports transitions.

    ``fall`` consecutive failures take a server down, ``rise`` consecutive successes bring it back up; before the first
    conclusive result one success is enough. While a server is down, a different ``cause`` is reported; different numbers
    in the reason are not.
    """

    __slots__ = (
        "_cause",
        "_contrary",
        "_fall",
        "_history",
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
        self._contrary = 0
        """The number of consecutive results that contradict the state."""
        self._cause = ""
        self._urgent = False
        self._history = ResultHistory()
        """Every result, whether it counts or not."""

    @property
    def passed_at(self) -> float:
        return self._history.passed_at

    @property
    def decided_at(self) -> float:
        return self._history.decided_at

    @property
    def patience(self) -> float:
        return PATIENCE

    @property
    def needed(self) -> int:
        return 1 if self.up is None else (self._fall if self.up else self._rise) - self._contrary

    def history(self) -> Iterable[PastResult]:
        return self._history

    def set_urgent(self, urgent: bool) -> None:
        self._urgent = urgent
        if self.up is False:
            self._state_changed()

    @property
    def undecided(self) -> bool:
        """True while fewer results than rise or fall contradict the state."""
        return self._contrary > 0

    def passed(self, at: float) -> None:
        """Count a check that passed at this monotonic time; report a transition."""
        self.up_results += 1
        if self.up:
            if self._contrary:
                self._settle()
            return
        if self.up is False and self._contradict(self._rise):
            return
        self.up = True
        self.up_transitions += 1
        self._settle()
        self._report(Report(up=True, at=at))

    def failed(self, reason: str, cause: str, at: float) -> None:
        """Count a check that failed at this monotonic time; report a transition, and a new cause while down."""
        self.down_results += 1
        if self.up is False:
            if self._contrary:
                self._settle()
            if self._cause == cause:
                return
        elif self._contradict(self._fall):
            return
        else:
            self.up = False
            self.down_transitions += 1
            self._settle()
        self._cause = cause
        self._report(Report(up=False, reason=printable(reason), at=at, cause=printable(cause)))

    def _contradict(self, needed: int) -> bool:
        """Count a result that contradicts the state; return whether more of them are needed."""
        if self._contrary + 1 >= needed:
            return False
        self._contrary += 1
        self._state_changed()
        return True

    def _settle(self) -> None:
        self._contrary = 0
        self._state_changed()

    def _state_changed(self) -> None:
        """Adapt to a server that has just become up, down or undecided."""
