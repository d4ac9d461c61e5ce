"""Results of coroutines that do not wait."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def result_of(coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
    """Run a coroutine and return its result or raise its exception; fail if it waits for anything."""
    results: list[T | Failure] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    assert results, f"{coroutine} waits"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
