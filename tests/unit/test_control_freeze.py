"""A freeze has an end, and what it stops is done when it is over."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from pybal.control.freeze import Freezer


class Rig:
    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.said: list[bool] = []
        self.freezer = Freezer(self.clock, lambda: self.said.append(self.freezer.frozen is not None))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_it_ends_by_itself_in_time(rig: Rig) -> None:
    rig.freezer.freeze("alice", "new switch", 600)
    rig.clock.advance(599)
    assert rig.said == [True]
    assert rig.freezer.frozen
    assert rig.freezer.frozen.text(rig.clock.seconds()) == "frozen for another 1 s by alice: new switch"
    rig.clock.advance(1)
    assert rig.said == [True, False]
    assert rig.freezer.frozen is None


def test_a_second_one_replaces_the_first_and_its_end(rig: Rig) -> None:
    rig.freezer.freeze("alice", "new switch", 600)
    rig.clock.advance(300)
    frozen = rig.freezer.freeze("bob", "longer than thought", 600)
    assert (frozen.since, frozen.until) == (100.0, 1000.0)
    rig.clock.advance(599)
    assert rig.said == [True]
    rig.clock.advance(1)
    assert rig.said == [True, False]


def test_a_thaw_ends_it_once_and_leaves_no_call(rig: Rig) -> None:
    rig.freezer.freeze("alice", "new switch", 600)
    rig.freezer.thaw()
    rig.freezer.thaw()
    assert rig.said == [True, False]
    assert rig.clock.getDelayedCalls() == []


def test_at_the_end_of_the_daemon_it_is_left_as_it_is(rig: Rig) -> None:
    rig.freezer.freeze("alice", "new switch", 600)
    rig.freezer.stop()
    assert rig.said == [True]
    assert rig.clock.getDelayedCalls() == []
