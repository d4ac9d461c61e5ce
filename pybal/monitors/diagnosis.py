"""Follow-up checks that diagnose the first failure after a success, one after the other.

Their results go into the history and do not count. The engine limits the number of servers that are diagnosed
concurrently, in the whole daemon; a failure beyond that limit is not diagnosed. A mass failure therefore costs little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pybal.checks.engine import Engine
from pybal.checks.result import Result
from pybal.checks.socket_check import Check, Target, TCPCheck

FollowUps = Iterator[tuple[str, Check]]
"""Names and checks; each check is created when the one before it has ended."""
Done = Callable[[Check, Result], None]


class Diagnosis:
    """Diagnoses the first failure after each success of one monitor, which sets ``succeeded``.

    ``record`` adds a result to the history of the monitor.
    """

    __slots__ = ("_check", "_engine", "_follow_ups", "_name", "_record", "running", "succeeded")

    _follow_ups: FollowUps

    def __init__(self, engine: Engine, record: Callable[..., None]) -> None:
        self.succeeded = False
        self.running = False
        self._engine = engine
        self._record = record
        self._name = ""
        self._check: Check | None = None

    def failed(self, follow_ups: FollowUps) -> None:
        """Start the follow-ups of a failure, from the ``done`` of a check.

        Nothing starts if the check before failed as well, if a diagnosis is running, or if the limit is reached. The
        ``done`` of the follow-ups is :meth:`done`.
        """
        first, self.succeeded = self.succeeded, False
        semaphore = self._engine.follow_ups
        if first and not self.running and semaphore.taken < semaphore.most:
            self.running = True
            self._follow_ups = follow_ups
            semaphore.acquire(self._proceed)

    def stop(self) -> None:
        """Cancel the follow-up that is running, if any."""
        if self._check is not None:
            self._check.cancel()
            self._leave()

    def done(self, check: Check, result: Result) -> None:
        """Record the result of a follow-up and start the next one."""
        del check
        self._record(self._engine.now, result, self._name, follow_up=True)
        self._proceed()

    def _proceed(self) -> None:
        self._name, self._check = next(self._follow_ups, ("", None))
        if self._check is None:
            self._leave()
        else:
            self._check.start()

    def _leave(self) -> None:
        self.running = False
        self._check = None
        self._engine.follow_ups.release()


def tcp_only(engine: Engine, target: Target, timeout: float, done: Done) -> FollowUps:
    """Yield a check that only connects."""
    yield "TCP only", TCPCheck(engine, target, timeout, done)
