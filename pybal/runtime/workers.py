"""Threads for calls that wait: files, name services, certificates. The loop never waits for them.

Each kind of call has its own small set of threads, so a file system that hangs does not delay the name service. The process ends
without joining them. A call that computes does not belong here: through the GIL it holds the loop from a thread as well.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

T = TypeVar("T")


class Reactor(Protocol):
    """The part of a reactor that :class:`Workers` uses."""

    def seconds(self) -> float: ...

    def callFromThread(  # noqa: N802  # Twisted's name
        self,
        callable: Callable[..., object],  # noqa: A002  # likewise
        /,
        *args: object,
    ) -> None: ...


class Threads(Protocol):
    """The part of :class:`Workers` that makes calls. One thread keeps their order."""

    def run(self, call: Callable[[], T]) -> Deferred[T]: ...


class _Job(NamedTuple):
    call: Callable[[], Any]
    done: Deferred[Any]


class Workers:
    """Up to ``most`` daemon threads for calls of one kind; further calls wait, in order.

    A thread starts when a call finds no other one free. ``name`` is shown by debuggers.
    """

    def __init__(self, name: str, most: int, reactor: Reactor) -> None:
        self.name = name
        self._most = most
        self._reactor = reactor
        self._jobs = queue.SimpleQueue[_Job]()
        self._threads = 0
        self._unfinished: dict[Deferred[Any], float] = {}

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        """Make a call in a thread; the Deferred fires in the loop with its result or exception.

        It fails with OSError if there is no thread and none can be started, such as at ``TasksMax=`` of the unit. To cancel the Deferred drops the result, and the call too if it has not begun.
        """
        done: Deferred[T] = Deferred()
        self._unfinished[done] = self._reactor.seconds()
        if self._threads < min(self._most, len(self._unfinished)):
            try:
                self._start_thread()
            except RuntimeError:
                if not self._threads:
                    del self._unfinished[done]
                    return fail(OSError(errno.EAGAIN, "cannot start a thread (limit of tasks or memory reached)"))
        self._jobs.put(_Job(call, done))
        return done

    @property
    def unfinished_since(self) -> float | None:
        """The time at which the oldest unfinished call was requested, ``None`` without one."""
        return min(self._unfinished.values(), default=None)

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name=f"{self.name}-{self._threads + 1}", daemon=True).start()
        self._threads += 1

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job.done.called:  # cancelled
                result = None
            else:
                try:
                    result = job.call()
                except BaseException:  # noqa: BLE001  # the caller's business, in the loop
                    result = Failure()
            self._reactor.callFromThread(self._finish, job.done, result)

    def _finish(self, done: Deferred[Any], result: Any) -> None:  # noqa: ANN401  # a call returns anything
        del self._unfinished[done]
        if not done.called:
            done.callback(result)  # a Failure starts the errbacks


MakeWorkers = Callable[[str, int, Reactor], Workers]
"""Makes :class:`Workers`."""
