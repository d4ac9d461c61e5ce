"""Long work in slices, on a Clock that the work itself advances."""

from __future__ import annotations

from twisted.internet.task import Clock

from pybal.runtime.slices import SLICE, Slices, Work


class SlicedWork:
    """Work whose steps take a third of a slice each; ``done`` has the steps made."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.slices = Slices(self.clock)
        self.done: list[str] = []

    def work(self, name: str, steps: int) -> Work:
        for number in range(steps):
            self.clock.rightNow += SLICE * 0.34
            self.done.append(f"{name}{number}")
            yield


def test_short_work_is_done_immediately() -> None:
    sliced = SlicedWork()
    sliced.slices.add(sliced.work("a", 2))
    assert sliced.done == ["a0", "a1"]
    assert sliced.clock.getDelayedCalls() == []


def test_turn_ends_after_a_slice_and_the_next_one_goes_on() -> None:
    sliced = SlicedWork()
    sliced.slices.add(sliced.work("a", 7))
    assert sliced.done == ["a0", "a1", "a2"]
    sliced.clock.callLater(0, sliced.done.append, "other")
    sliced.clock.advance(0)
    assert sliced.done[3:] == ["a3", "a4", "a5", "other", "a6"]


def test_all_work_of_a_turn_shares_one_slice() -> None:
    sliced = SlicedWork()
    for name in "abc":
        sliced.slices.add(sliced.work(name, 3))
    assert sliced.done == ["a0", "a1", "a2"]
    sliced.clock.advance(0)
    sliced.clock.advance(0)
    sliced.clock.advance(0)
    assert sliced.done[3:] == ["b0", "b1", "b2", "c0", "c1", "c2"]


def test_closed_work_ends() -> None:
    sliced = SlicedWork()
    closed = sliced.work("a", 9)
    sliced.slices.add(closed)
    sliced.slices.add(sliced.work("b", 1))
    closed.close()
    sliced.clock.advance(0)
    assert sliced.done[3:] == ["b0"]


def test_exception_ends_its_work_only() -> None:
    sliced = SlicedWork()

    def broken() -> Work:
        yield
        raise RuntimeError("broken")

    sliced.slices.add(broken())
    sliced.slices.add(sliced.work("b", 1))
    sliced.clock.advance(1)
    assert sliced.done == ["b0"]
    sliced.clock.advance(1)
    assert sliced.clock.getDelayedCalls() == []


def test_stop_drops_pending_work() -> None:
    sliced = SlicedWork()
    sliced.slices.add(sliced.work("a", 9))
    sliced.slices.stop()
    assert sliced.clock.getDelayedCalls() == []
