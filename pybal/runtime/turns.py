"""A queue of calls that share a small time budget in each turn of the event loop.

Work that may take long is cut into steps. However much of it waits, one turn of the loop spends little more than the budget on it,
and every piece of work advances in each turn, in order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

T = TypeVar("T")

BUDGET = 0.002
"""Seconds that a queue may spend in one turn of the loop."""


class Turns:
    """A FIFO queue of calls. In each turn at least one runs, and others until the budget is spent.

    ``budget`` is in seconds of ``now``.
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
