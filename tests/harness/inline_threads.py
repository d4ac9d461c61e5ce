"""Fakes of Workers that make calls in the loop: immediately, or when the test releases them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail

T = TypeVar("T")


class InlineThreads:
    """Makes each call immediately."""

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        return execute(call)


class HeldThreads:
    """Makes each call immediately, or holds it until :meth:`release` if ``hold`` is set.

    With ``error``, each call fails.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.hold = False
        self.error: Exception | None = None
        self._held: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        self.calls += 1
        if self.error is not None:
            return fail(self.error)
        if not self.hold:
            return execute(call)
        done: Deferred[T] = Deferred()
        self._held.append((call, done))
        return done

    def release(self) -> None:
        """Make the held calls, and all further ones immediately."""
        held, self._held, self.hold = self._held, [], False
        for call, done in held:
            execute(call).chainDeferred(done)
