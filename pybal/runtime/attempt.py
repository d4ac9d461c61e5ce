"""Attempts: what must succeed once, but may fail for causes that pass.

A port in use, a directory that is full, a group that the name service does not know yet: each is an alert and is retried with
exponential back-off until it succeeds. Nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pybal.core.model import Alert
from pybal.core.text import format_age
from pybal.runtime.activity import Activity
from pybal.runtime.backoff import Backoff

RETRY_SECONDS = (1.0, 30.0)
"""The first and the longest pause between two attempts."""
SLOW_SECONDS = 10.0
"""Time without a result after which an attempt in progress is an alert."""


class Attempt:
    """Makes ``call`` until it succeeds.

    With ``retries`` off, only once. ``expected`` are the errors whose cause may pass; their text is for the operator.
    ``call`` may return a Deferred. ``kind`` and ``name`` are those of the alert; ``meanwhile`` is the consequence
    until then.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        call: Callable[[], Deferred[Any] | None],
        clock: IReactorTime,
        *,
        kind: str,
        expected: tuple[type[Exception], ...],
        meanwhile: str = "",
        retries: bool = True,
    ) -> None:
        self.name = name
        self.succeeded = False
        self._call = call
        self._clock = clock
        self._kind = kind
        self._expected = expected
        self._meanwhile = meanwhile
        self._retries = retries
        self._problem = ""
        self._since = self._began = clock.seconds()
        self._backoff = Backoff(*RETRY_SECONDS, factor=2.0)
        self._activity = Activity(name, self._try, clock)

    def start(self) -> None:
        """Make the first attempt, within this method."""
        self.succeeded = False
        self._problem = ""
        self._since = self._clock.seconds()
        self._backoff.reset()
        self._activity.start(now=True)

    def stop(self) -> None:
        """Make no further attempt."""
        self._activity.stop()
        self._problem = ""

    def alerts(self) -> Iterator[Alert]:
        """Yield an alert while it has not succeeded."""
        now = self._clock.seconds()
        problem = self._problem
        if not problem and self._activity.running and now - self._began > SLOW_SECONDS:
            problem = "no result yet"
        if problem:
            text = f"{self.name}: {problem} (for {format_age(now - self._since)}); {self._reaction}"
            yield Alert("", self._kind, text, subject=self.name)

    @property
    def _reaction(self) -> str:
        return ", ".join(filter(None, ("retrying" if self._retries else "not retrying in a dry run", self._meanwhile)))

    def _try(self) -> float | Deferred[Any] | None:
        self._began = self._clock.seconds()
        try:
            result = self._call()
        except self._expected as error:
            return self._failed(error)
        if isinstance(result, Deferred):
            return result.addCallbacks(self._done, self._trap)
        self._done(None)
        return None

    def _done(self, _result: object) -> None:
        self.succeeded = True
        if self._problem:
            self._problem = ""
            self._log.info("{name}: succeeded after errors", name=self.name)

    def _trap(self, failure: Failure) -> float | None:
        failure.trap(*self._expected)
        return self._failed(failure.value)

    def _failed(self, error: BaseException | None) -> float | None:
        problem = str(error)
        if problem != self._problem:
            text = "{name}: {problem}; {reaction}"
            self._log.error(text, name=self.name, problem=problem, reaction=self._reaction)
        self._problem = problem
        return self._backoff.pause() if self._retries else None
