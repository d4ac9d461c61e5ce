"""Calls, steps and coroutines that share the time of a turn."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from pybal.core.steps import finish
from pybal.runtime.faults import Faults
from pybal.runtime.turns import Pace, Turns, Work
from tests.harness.turning_clock import TurningClock


class Watch:
    """A clock of the budget; each reading takes a second."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


def test_call_is_never_made_immediately() -> None:
    clock, made = TurningClock(), list[int]()
    Turns(clock).add(lambda: made.append(1))
    assert made == []
    clock.turn()
    assert made == [1]
    assert clock.getDelayedCalls() == []


def test_turn_ends_when_its_budget_is_spent() -> None:
    clock, made = TurningClock(), list[int]()
    turns = Turns(clock, 2.0, Watch())
    for number in range(5):
        turns.add(lambda number=number: made.append(number))  # type: ignore[misc]
    clock.turn()
    assert made == [0, 1]
    clock.turn()
    assert made == [0, 1, 2, 3]
    clock.turn()
    assert made == [0, 1, 2, 3, 4]
    assert clock.getDelayedCalls() == []


def test_failing_call_does_not_stop_the_others() -> None:
    clock, made = TurningClock(), list[int]()
    turns = Turns(clock, 60.0)
    turns.add(lambda: 1 / 0)
    turns.add(lambda: made.append(1))
    clock.turn()
    assert made == [1]


def steps(made: list[str], name: str, count: int) -> Generator[None, None, str]:
    for _ in range(count):
        made.append(name)
        yield
    return name


def test_generators_take_turns_and_return_their_results() -> None:
    clock, made = TurningClock(), list[str]()
    turns = Turns(clock, 0.0)
    results = list[str]()
    turns.run(steps(made, "a", 3)).addCallback(results.append)
    turns.run(steps(made, "b", 1)).addCallback(results.append)
    clock.settle()
    assert made == ["a", "b", "a", "a"]
    assert results == ["b", "a"]


def test_exception_of_a_generator_is_its_result() -> None:
    def failing() -> Generator[None, None, None]:
        yield
        raise LookupError

    clock, failures = TurningClock(), list[object]()
    Turns(clock).run(failing()).addErrback(lambda failure: failures.append(failure.type))
    clock.settle()
    assert failures == [LookupError]


def test_cancelled_generator_is_closed() -> None:
    clock, made = TurningClock(), list[str]()
    running = Turns(clock, 0.0).run(steps(made, "a", 9))
    clock.turn()
    running.addErrback(lambda _: made.append("cancelled"))
    running.cancel()
    clock.settle()
    assert made == ["a", "cancelled"]


class Steps:
    """Work whose steps take a third of the budget each; ``done`` has the steps made."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, 1.0, self.clock.seconds)
        self.done: list[str] = []

    def work(self, name: str, steps: int) -> Work:
        for number in range(steps):
            self.clock.rightNow += 0.34
            self.done.append(f"{name}{number}")
            yield


def test_short_work_is_done_immediately() -> None:
    steps = Steps()
    steps.turns.begin(steps.work("a", 2))
    assert steps.done == ["a0", "a1"]
    assert steps.clock.getDelayedCalls() == []


def test_work_begun_now_goes_on_in_the_next_turn() -> None:
    steps = Steps()
    steps.turns.begin(steps.work("a", 7))
    assert steps.done == ["a0", "a1", "a2"]
    steps.clock.callLater(0, steps.done.append, "other")
    steps.clock.advance(0)
    assert steps.done[3:] == ["a3", "a4", "a5", "other", "a6"]


def test_all_work_of_a_turn_shares_one_budget() -> None:
    steps = Steps()
    for name in "abc":
        steps.turns.begin(steps.work(name, 3))
    assert steps.done == ["a0", "a1", "a2"]
    steps.clock.advance(0)
    assert steps.done[3:] == ["b0", "c0", "b1", "c1", "b2", "c2"]


def test_work_is_advanced_by_one_step_while_other_work_waits() -> None:
    steps = Steps()
    steps.turns.advance(steps.work("a", 7))
    assert steps.done == ["a0", "a1", "a2"]
    steps.turns.begin(steps.work("b", 7))
    steps.turns.advance(steps.work("c", 7))
    assert steps.done[6:] == ["c0"]


def test_work_begun_by_work_waits_for_it() -> None:
    steps = Steps()

    def outer() -> Work:
        steps.turns.begin(steps.work("a", 1))
        steps.done.append("outer")
        yield

    steps.turns.begin(outer())
    assert steps.done == ["outer", "a0"]


def test_closed_work_ends() -> None:
    steps = Steps()
    closed = steps.work("a", 9)
    steps.turns.begin(closed)
    steps.turns.begin(steps.work("b", 1))
    closed.close()
    steps.clock.advance(0)
    assert steps.done[3:] == ["b0"]


def test_unexpected_exception_of_work_is_logged() -> None:
    def broken() -> Work:
        yield
        raise RuntimeError("broken")

    faults = Faults()
    globalLogPublisher.addObserver(faults)
    try:
        Turns(Clock()).begin(broken())
    finally:
        globalLogPublisher.removeObserver(faults)
    assert faults.total == 1


def test_pace_waits_for_the_next_turn_when_its_budget_is_spent() -> None:
    clock, done = TurningClock(), list[int]()

    async def coroutine() -> None:
        pace = Pace(clock, 1.0, most=20)
        for number in range(5):
            clock.rightNow += 0.1 if number < 2 else 0.6
            pace.count(10)
            done.append(number)
            await pace.pause()

    Deferred.fromCoroutine(coroutine())
    assert done == [0, 1]  # 20 units
    clock.turn()
    assert done == [0, 1, 2, 3]  # 1.2 s
    clock.turn()
    assert done == [0, 1, 2, 3, 4]
    assert clock.getDelayedCalls() == []


def test_finish_returns_the_result_of_a_generator() -> None:
    assert finish(steps([], "a", 3)) == "a"
    with pytest.raises(ZeroDivisionError):
        finish(step for step in [1 / 0])


def test_finished_generator_leaves_no_garbage() -> None:
    clock = TurningClock()
    turns = Turns(clock)
    gc.collect()
    turns.run(steps([], "a", 3))
    clock.settle()
    assert gc.collect() == 0
