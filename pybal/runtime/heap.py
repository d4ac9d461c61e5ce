"""Garbage collection in small batches: a pass over the heap of a large configuration takes 0.5 s.

PyBal's objects are freed without the collector when the last reference goes, because they form no cycles that outlive their use;
libraries and exceptions form a few. Each object is examined a few times while it is young, together with few others, and then
frozen: no later pass looks at it.

Python counts new objects less freed ones, so where each new object replaces an old one it collects rarely, and then many
objects in one pass. A pass every :data:`PASS_SECONDS` keeps them few.
"""

from __future__ import annotations

import gc

from twisted.internet.interfaces import IReactorTime

from pybal.runtime.activity import Activity

MOST_OBJECTS = 10_000
"""Objects that make a pass over all objects that are not frozen due; it takes up to 1 µs for each."""

THRESHOLDS = (700, 5, 1)
"""Python's own are (700, 10, 10): fewer objects in a pass over the oldest."""

PASS_SECONDS = 0.25

EXAMINED_SECONDS = 3600.0
GROWTH = 500_000
"""Frozen objects beyond twice their usual number after which all are examined, against a leak."""


class Heap:
    """Collects garbage in small batches from :meth:`start` to :meth:`stop`."""

    def __init__(self, clock: IReactorTime) -> None:
        self._pass = Activity("garbage collection", _collect, clock, interval=PASS_SECONDS)
        self._examination = Activity("heap", self._examine, clock, interval=EXAMINED_SECONDS)
        self._usual: int | None = None
        self._before = gc.get_threshold()

    def start(self) -> None:
        """Freeze what exists, which is imported modules, and collect in batches from now on."""
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(_freeze_survivors)
        self._pass.start()
        self._examination.start()

    def expect_growth(self) -> None:
        """Accept any number of objects at the next examination: a reload may have added services."""
        self._usual = None

    def stop(self) -> None:
        """Return to Python's own collection."""
        if _freeze_survivors in gc.callbacks:
            gc.callbacks.remove(_freeze_survivors)
            gc.set_threshold(*self._before)
            gc.unfreeze()
        self._pass.stop()
        self._examination.stop()

    def _examine(self) -> None:
        frozen = gc.get_freeze_count()
        if self._usual is not None and frozen > 2 * self._usual + GROWTH:
            gc.unfreeze()
            gc.collect()  # freezes the survivors
            frozen = gc.get_freeze_count()
        self._usual = max(frozen, self._usual or 0)


def _collect() -> None:
    """Collect the youngest objects, or all that are not frozen before they become many."""
    # In C alone: while a list of all objects exists, no other thread may run. One that makes a tuple of an iterator at that
    # moment fails with SystemError, because the list refers to its unfinished tuple.
    unfrozen = sum(map(len, map(gc.get_objects, range(3))))
    gc.collect(2 if unfrozen > MOST_OBJECTS else 0)


def _freeze_survivors(phase: str, details: dict[str, int]) -> None:
    if phase == "stop" and details["generation"] == 2:  # noqa: PLR2004  # the oldest generation
        gc.freeze()
