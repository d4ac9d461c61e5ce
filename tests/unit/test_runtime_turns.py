"""The queue of calls that share the time of a turn."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from pybal.core.steps import finish
from pybal.runtime.turns import Turns
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
