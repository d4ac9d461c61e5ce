"""What monitors share that make one check at intervals and judge by nothing but its result.

A check that came to nothing by our own fault is made once more at once, and then waits for its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from pybal.checks.engine import Engine
from pybal.checks.result import FAILED, INCONCLUSIVE, PASSED, Result
from pybal.checks.schedule import Seat
from pybal.model import Report
from pybal.monitors.base import Sample
from pybal.monitors.record import Record


class PeriodicCheck(Protocol):
    """A check as :class:`pybal.checks.check.Check` has them."""

    running: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


class Periodic(Record):
    """Makes a check of one server at intervals; see :class:`pybal.monitors.base.Monitor`.

    ``check`` is called once, with what is to be told of results, and returns the check.
    """

    __slots__ = ("_check", "_duration", "_engine", "_interval", "_repeated", "_seat", "_seconds", "name")

    def __init__(
        self,
        name: str,
        engine: Engine,
        interval: float,
        check: Callable[[Callable[[object, Result], None]], PeriodicCheck],
        report: Callable[[Report], None],
    ) -> None:
        super().__init__(report)
        self.name = name
        self._engine = engine
        self._interval = interval
        self._check = check(self._done)
        self._duration = f"pybal_monitor_{name.lower()}_request_duration_seconds"
        self._seconds = [0.0, 0.0]
        self._seat: Seat | None = None
        self._repeated = False

    def samples(self) -> Iterator[Sample]:
        yield Sample(self._duration, (("result", "successful"),), self._seconds[0])
        yield Sample(self._duration, (("result", "failed"),), self._seconds[1])

    def start(self) -> None:
        self._seat = self._engine.every(self._interval, self._turn)

    def stop(self) -> None:
        if self._seat is not None:
            self._engine.leave(self._seat)
            self._seat = None
        self._check.cancel()

    def _turn(self) -> None:
        if not self._check.running:
            self._check.start()

    def _done(self, check: object, result: Result) -> None:
        del check
        verdict, now = result.verdict, self._engine.now
        self._note(now, result)
        if verdict is INCONCLUSIVE:
            if self._seat is not None and not self._repeated:
                self._repeated = True
                self._engine.again(self._seat)
            return
        self._repeated = False
        self._seconds[verdict is FAILED] = result.duration
        if verdict is PASSED:
            self._passed(now)
        else:
            self._failed(result.text, f"{result.phase} {result.cause}", now)
