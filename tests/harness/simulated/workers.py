"""Threads in virtual time: each call takes a time that its test chooses, and may hang."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from typing_extensions import override

from pybal.runtime.workers import Reactor, Workers
from tests.harness.simulated.reactor import SimulatedReactor

T = TypeVar("T")


class _Job(NamedTuple):
    call: Callable[[], Any]
    done: Deferred[Any]


class SimulatedThreads:
    """Makes workers. Each of their calls takes up to ``seconds``.

    Calls of the workers in ``hung``, by name, wait until :meth:`release`.
    """

    def __init__(self, random: Random, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.hung: set[str] = set()
        self.random = random
        self._made: list[SimulatedWorkers] = []

    def workers(self, name: str, most: int, reactor: Reactor) -> Workers:
        """Return new workers; see :data:`pybal.runtime.workers.MakeWorkers`."""
        self._made.append(made := SimulatedWorkers(name, most, cast("SimulatedReactor", reactor), self))
        return made

    def release(self) -> None:
        """Let all calls that hang go on."""
        self.hung.clear()
        for each in self._made:
            each.go_on()


class SimulatedWorkers(Workers):
    """Workers without threads: a call is made when its time is over, before the loop gets the result."""

    def __init__(self, name: str, most: int, reactor: SimulatedReactor, threads: SimulatedThreads) -> None:
        super().__init__(name, most, reactor)
        self._world = reactor
        self._simulated = threads
        self._waiting = deque[_Job]()
        self._held: list[_Job] = []
        self._running = 0

    @override
    def run(self, call: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self._unfinished[done] = self._world.seconds()
        self._waiting.append(_Job(call, done))
        self._begin()
        return done

    def go_on(self) -> None:
        """Make the calls that hung."""
        held, self._held = self._held, []
        for job in held:
            self._world.happen(0.0, lambda job=job: self._make(job))  # type: ignore[misc]

    def _begin(self) -> None:
        while self._waiting and self._running < self._most:
            job = self._waiting.popleft()
            self._running += 1
            seconds = self._simulated.seconds * self._simulated.random.random()
            self._world.happen(seconds, lambda job=job: self._make(job))  # type: ignore[misc]

    def _make(self, job: _Job) -> None:
        if self.name in self._simulated.hung:
            self._held.append(job)
            return
        result = None
        if not job.done.called:  # not cancelled
            try:
                result = job.call()
            except BaseException:  # noqa: BLE001  # as Workers
                result = Failure()
        self._running -= 1
        self._world.callFromThread(self._finish, job.done, result)
        self._begin()
