"""Work in small steps: a generator that yields between two steps and returns the result. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def finish(steps: Generator[object, None, T]) -> T:
    """Run a generator to its end and return its result; for callers that may wait, such as the start."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
