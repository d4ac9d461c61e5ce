"""Begin and end of a freeze."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pybal.control.freeze import Freezer


class ObservedFreezer:
    """A freezer on a test clock at 100 s; ``changes`` records each begin (true) and end (false)."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.changes: list[bool] = []
        self.freezer = Freezer(self.clock, lambda: self.changes.append(self.freezer.frozen is not None))


@pytest.fixture
def observed() -> ObservedFreezer:
    return ObservedFreezer()


def test_freeze_ends_after_its_duration(observed: ObservedFreezer) -> None:
    observed.freezer.freeze("alice", "new switch", 600)
    observed.clock.advance(599)
    assert observed.changes == [True]
    assert observed.freezer.frozen
    assert observed.freezer.frozen.text(observed.clock.seconds()) == "frozen for another 1 s by alice: new switch"
    observed.clock.advance(1)
    assert observed.changes == [True, False]
    assert observed.freezer.frozen is None


def test_second_freeze_replaces_the_first_and_its_end(observed: ObservedFreezer) -> None:
    observed.freezer.freeze("alice", "new switch", 600)
    observed.clock.advance(300)
    frozen = observed.freezer.freeze("bob", "longer than thought", 600)
    assert (frozen.since, frozen.until) == (100.0, 1000.0)
    observed.clock.advance(599)
    assert observed.changes == [True]
    observed.clock.advance(1)
    assert observed.changes == [True, False]


def test_thaw_ends_a_freeze_once_and_cancels_its_timer(observed: ObservedFreezer) -> None:
    observed.freezer.freeze("alice", "new switch", 600)
    observed.freezer.thaw()
    observed.freezer.thaw()
    assert observed.changes == [True, False]
    assert observed.clock.getDelayedCalls() == []


def test_stop_cancels_the_timer_and_keeps_the_freeze(observed: ObservedFreezer) -> None:
    observed.freezer.freeze("alice", "new switch", 600)
    observed.freezer.stop()
    assert observed.changes == [True]
    assert observed.clock.getDelayedCalls() == []
