"""Threads in virtual time: each call takes a time that its test chooses, and may hang."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from random import Random
from typing import Any, NamedTuple, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from typing_extensions import override

from pybal.runtime.log_writer import LogWriter
from pybal.runtime.workers import Reactor, Workers
from tests.harness.full_disk import full_disk
from tests.harness.simulated.reactor import SimulatedReactor

T = TypeVar("T")


class _Job(NamedTuple):
    call: Callable[[], Any]
    done: Deferred[Any]


class SimulatedThreads:
    """Makes workers and writers. Each of their calls takes up to ``seconds``.

    Calls of those in ``hung``, by name, wait until :meth:`release`. While the disk is ``full``, writers fail.
    """

    def __init__(self, random: Random, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.hung: set[str] = set()
        self.full = False
        self.unwritten_since: float | None = None
        """The time of the reactor since which a writer hangs or fails, ``None`` if the last write succeeded."""
        self.random = random
        self._made: list[SimulatedWorkers | SimulatedWriter] = []

    def workers(self, name: str, most: int, reactor: Reactor) -> Workers:
        """Return new workers; see :data:`pybal.runtime.workers.MakeWorkers`."""
        self._made.append(made := SimulatedWorkers(name, most, cast("SimulatedReactor", reactor), self))
        return made

    def writer(self, reactor: SimulatedReactor, *arguments: Any, **more: Any) -> LogWriter:
        """Return a new writer; the arguments are those of a LogWriter."""
        self._made.append(made := SimulatedWriter(reactor, self, *arguments, **more))
        return made

    def kill(self) -> None:
        """End all threads in an instant; a write that is in progress may be partial."""
        for each in self._made:
            each.kill()
        self._made.clear()
        self.unwritten_since = None

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
        self._running: list[_Job] = []

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

    def kill(self) -> None:
        """Leave each running call unmade, made, or ended at its first fsync."""
        random = self._simulated.random
        for job in self._running:
            if self.name not in self._simulated.hung and (chance := random.randrange(3)):
                with _killed_at_fsync(random) if chance == 1 else nullcontext(), suppress(Exception):
                    job.call()

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self._most:
            job = self._waiting.popleft()
            self._running.append(job)
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
        self._running.remove(job)
        self._world.callFromThread(self._finish, job.done, result)
        self._begin()


class SimulatedWriter(LogWriter):
    """A writer without a thread: a call writes the queue soon after its first line, unless it hangs."""

    def __init__(self, reactor: SimulatedReactor, threads: SimulatedThreads, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._world = reactor
        self._simulated = threads
        self._requested = self._held = False
        self._closing = True  # LogWriter's work ends with the queue instead of waiting for lines

    @override
    def close(self, timeout: float) -> bool:
        """Write the queue; what hangs is lost with the process."""
        self._make()
        self._lines.clear()
        return not self._held

    def go_on(self) -> None:
        """Make the call that hung."""
        if self._held:
            self._make()

    def kill(self) -> None:
        """Write a part of the queue, unless the disk hangs or is full."""
        text = b"".join(self._lines)
        if text and self._name not in self._simulated.hung and not self._simulated.full:
            with suppress(OSError):
                self._write(text[: self._simulated.random.randint(0, len(text))])

    @override
    def _start_thread(self) -> None:
        """Request a call unless one is requested. Called for each line, because there is never a thread."""
        if not self._requested:
            self._requested = True
            self._world.happen(self._simulated.seconds * self._simulated.random.random(), self._make)

    def _make(self) -> None:
        now, simulated = self._world.seconds(), self._simulated
        self._held = self._name in simulated.hung
        if self._held:
            self._writing_since = now
        else:
            self._requested = False
            with full_disk() if simulated.full else nullcontext():
                self._work()
        if not self._held and not self._failing:
            simulated.unwritten_since = None
        elif simulated.unwritten_since is None:
            simulated.unwritten_since = now


class _Killed(BaseException):
    """The end of the process."""


@contextmanager
def _killed_at_fsync(random: Random) -> Iterator[None]:
    """End the process at the first fsync, whose file has a part of its bytes."""

    def fsync(descriptor: int) -> None:
        os.ftruncate(descriptor, random.randint(0, os.fstat(descriptor).st_size))
        raise _Killed

    before, os.fsync = os.fsync, fsync  # type: ignore[assignment]  # for a file of a descriptor only
    try:
        with suppress(_Killed):
            yield
    finally:
        os.fsync = before
