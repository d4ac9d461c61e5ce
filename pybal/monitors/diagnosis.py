"""What is tried when a server fails after a success, to learn more of why: a few other checks, one after the other.

Their results are remembered and count for nothing. No more servers are looked into at once than the engine has places
for in the whole daemon; one that fails while all are taken goes without, so that a mass failure costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pybal.checks.engine import Engine
from pybal.checks.result import Result
from pybal.checks.socket_check import Check, Target, TCPCheck

FollowUps = Iterator[tuple[str, Check]]
"""Checks with names, each made when its turn comes."""
Told = Callable[[Check, Result], None]


class Diagnosis:
    """Looks into the first failure after each success of one monitor, which sets ``succeeded``.

    ``note`` is the monitor's way to remember a result.
    """

    __slots__ = ("_check", "_engine", "_follow_ups", "_name", "_note", "running", "succeeded")

    _follow_ups: FollowUps

    def __init__(self, engine: Engine, note: Callable[..., None]) -> None:
        self.succeeded = False
        self.running = False
        self._engine = engine
        self._note = note
        self._name = ""
        self._check: Check | None = None

    def failed(self, follow_ups: FollowUps) -> None:
        """Take a failure, in the ``done`` of a check.

        It is looked into if it is the first, the one before it is looked into no more, and there is a place; else no
        follow-up is made. They have :meth:`told` for their ``done``.
        """
        first, self.succeeded = self.succeeded, False
        semaphore = self._engine.follow_ups
        if first and not self.running and semaphore.taken < semaphore.most:
            self.running = True
            self._follow_ups = follow_ups
            semaphore.acquire(self._proceed)

    def stop(self) -> None:
        """End for good, wherever it is."""
        if self._check is not None:
            self._check.cancel()
            self._leave()

    def told(self, check: Check, result: Result) -> None:
        """Take what the check in turn came to, and go on to the next."""
        del check
        self._note(self._engine.now, result, self._name, follow_up=True)
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


def tcp_only(engine: Engine, target: Target, timeout: float, told: Told) -> FollowUps:
    """Yield a connection alone."""
    yield "TCP only", TCPCheck(engine, target, timeout, told)
