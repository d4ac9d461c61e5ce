"""Long work in turns of the event loop, each with a small time budget.

* :class:`Turns` is a queue of calls, and of work in steps (:mod:`pybal.core.steps`), that share one budget.
* :class:`Pace` is the budget of one coroutine: work that awaits something else between its steps is not a generator of steps.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

T = TypeVar("T")

BUDGET = 0.002
"""Seconds that a queue may spend in one turn of the loop."""
PACE = 0.02
"""Seconds that a coroutine may spend in one turn; the loop must never be held for more than 50 ms."""

Work = Generator[None, None, None]
"""Steps without a result. ``close()`` ends them."""


class Turns:
    """A FIFO queue of calls. In each turn at least one runs, and others until the budget is spent.

    However much work waits, a turn takes little more than the budget, and all work advances in order. ``budget`` is in
    seconds of ``now``.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, budget: float = BUDGET, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._now = now
        self._waiting = deque[Callable[[], object]]()

    def add(self, call: Callable[[], object]) -> None:
        """Make a call after those that wait, in this turn of the loop or a later one, never immediately."""
        if not self._waiting:
            self._clock.callLater(0, self._run)
        self._waiting.append(call)

    def run(self, steps: Generator[object, None, T]) -> Deferred[T]:
        """Run a generator step by step, in turns with other work; return its result or exception.

        To cancel the Deferred closes the generator.
        """
        done: Deferred[T] = Deferred(lambda _: steps.close())
        self.add(partial(self._step, steps, done))
        return done

    def _step(self, steps: Generator[object, None, T], done: Deferred[T]) -> None:
        if done.called:  # cancelled
            return
        try:
            next(steps)
        except StopIteration as end:
            done.callback(end.value)
        except Exception:  # noqa: BLE001  # the caller's business
            done.errback()
        else:
            self.add(partial(self._step, steps, done))

    def advance(self, work: Work) -> None:
        """Begin work immediately, as far as the budget of one turn allows; one step while other work waits.

        To finish it is the caller's business. Raises the exceptions of the work.
        """
        end = self._now() + (0.0 if self._waiting else self._budget)
        for _ in work:
            if self._now() >= end:
                break

    def begin(self, work: Work) -> None:
        """Run work in turns with other work; unless some waits, it begins immediately, within this method.

        An unexpected exception ends the work and is logged.
        """
        step = partial(self._work, work)
        if self._waiting:
            self.add(step)
        else:
            self._waiting.append(step)
            self._run()

    def _work(self, work: Work) -> None:
        if next(work, work) is not work:
            self.add(partial(self._work, work))

    def _run(self) -> None:
        end = self._now() + self._budget
        waiting = self._waiting
        while waiting:
            try:
                waiting[0]()
            except Exception:  # noqa: BLE001  # a bug in one call must not stop the others
                self._log.failure("Call of a queue failed", system="loop")
            waiting.popleft()
            if self._now() >= end:
                break
        if waiting:
            self._clock.callLater(0, self._run)


class Pace:
    """Limits a coroutine to ``budget`` seconds of ``clock`` and to ``most`` units of work in each turn.

    To be awaited after each part of the work::

    pace = Pace(reactor)
    for each in many:
        work(each)
        await pace.pause()
    """

    def __init__(self, clock: IReactorTime, budget: float = PACE, *, most: float = math.inf) -> None:
        self._clock = clock
        self._budget = budget
        self._most = most
        self.begin()

    def begin(self) -> None:
        """Begin the budget of the present turn, for example after another wait."""
        self._until = self._clock.seconds() + self._budget
        self._units = 0

    def count(self, units: int) -> None:
        """Count units of work of the present turn."""
        self._units += units

    @property
    def spent(self) -> bool:
        """True if the budget of the turn is spent."""
        return self._units >= self._most or self._clock.seconds() >= self._until

    async def pause(self) -> None:
        """Wait for the next turn of the loop if the budget is spent."""
        if self.spent:
            await self.turn()

    async def turn(self) -> None:
        """Wait for the next turn of the loop."""
        await deferLater(self._clock, 0)
        self.begin()
