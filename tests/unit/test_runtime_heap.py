"""Garbage collection in small batches."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from pybal.runtime import heap as collection
from pybal.runtime.heap import EXAMINED_SECONDS, MOST_OBJECTS, PASS_SECONDS, Heap


class Node:
    """An object that may be part of a cycle."""

    other: Node | None = None


def cycle() -> weakref.ref[Node]:
    """Return a reference to an object that only the collector can free."""
    one, two = Node(), Node()
    one.other, two.other = two, one
    return weakref.ref(one)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heap(clock: Clock) -> Iterator[Heap]:
    heap = Heap(clock)
    heap.start()
    yield heap
    heap.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.usefixtures("heap")
def test_young_cycle_is_freed_within_a_second(clock: Clock) -> None:
    released = cycle()
    clock.advance(1.0)
    assert released() is None


@pytest.mark.usefixtures("heap")
def test_each_pass_looks_at_new_objects_only(clock: Clock) -> None:
    kept = []
    for _ in range(5):
        kept += [Node() for _ in range(MOST_OBJECTS + 1)]
        clock.advance(1.0)
        assert len(gc.get_objects(generation=2)) <= MOST_OBJECTS
    assert gc.get_freeze_count() >= len(kept)


@pytest.mark.usefixtures("heap")
def test_pass_disturbs_no_other_thread(clock: Clock) -> None:
    """A reload failed in its thread with SystemError: it made a tuple of an iterator during a pass."""
    failures, stop = list[BaseException](), threading.Event()

    def make_tuples() -> None:
        try:
            while not stop.is_set():
                tuple(number for number in range(40))
        except SystemError as error:
            failures.append(error)

    before = sys.getswitchinterval()
    thread = threading.Thread(target=make_tuples)
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        for _ in range(600):
            clock.advance(PASS_SECONDS)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)
    assert failures == []


def test_thresholds_are_restored_at_the_stop(clock: Clock) -> None:
    before = gc.get_threshold()
    heap = Heap(clock)
    heap.start()
    assert gc.get_threshold() == collection.THRESHOLDS
    heap.stop()
    heap.stop()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


def test_frozen_cycles_are_freed_when_they_have_become_many(
    heap: Heap, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(EXAMINED_SECONDS)
    monkeypatch.setattr(collection, "GROWTH", -2 * gc.get_freeze_count())
    node = Node()
    node.other = node
    gc.collect()  # freezes it
    released = weakref.ref(node)
    del node
    clock.advance(1.0)
    assert released() is not None
    clock.advance(EXAMINED_SECONDS)
    assert released() is None


def test_growth_of_a_reload_is_expected(heap: Heap, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.advance(EXAMINED_SECONDS)
    monkeypatch.setattr(collection, "GROWTH", -2 * gc.get_freeze_count())
    node = Node()
    node.other = node
    gc.collect()
    released = weakref.ref(node)
    del node
    heap.expect_growth()
    clock.advance(EXAMINED_SECONDS)
    assert released() is not None
