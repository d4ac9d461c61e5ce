"""Callbacks that do not keep their object alive.

The collector looks at each object only while it is young (:mod:`pybal.runtime.heap`). Two objects that live for hours and refer
to each other would never be freed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakMethod

P = ParamSpec("P")
T = TypeVar("T")


def weakly(method: Callable[P, T]) -> Callable[P, T | None]:
    """Return a function that calls a method as long as its object exists, then does nothing."""
    reference = WeakMethod(method)

    def call(*arguments: P.args, **options: P.kwargs) -> T | None:
        found = reference()
        return None if found is None else found(*arguments, **options)

    return call
