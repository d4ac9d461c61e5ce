"""Work in small steps: a generator that yields between two steps and returns the result. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work that returns a T at its end."""

PART = 500
"""Servers or destinations in one step, which takes 0.5 to 2 ms."""


def parts(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in parts of one step each."""
    rest = iter(items)
    while part := list(islice(rest, PART)):
        yield part


def finish(steps: Generator[object, None, T]) -> T:
    """Run a generator to its end and return its result; for callers that may wait, such as the start."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
