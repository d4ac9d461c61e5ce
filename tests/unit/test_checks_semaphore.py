"""Places are taken in order, given back, and never more than there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybal.checks.semaphore import Semaphore


def test_who_finds_a_place_begins_at_once_and_the_others_in_the_order_they_came() -> None:
    begun: list[int] = []
    places = Semaphore(2)
    for number in range(5):
        places.enter(lambda number=number: begun.append(number))  # type: ignore[misc]  # a default binds it
    assert (begun, places.taken) == ([0, 1], 2)
    places.leave()
    assert begun == [0, 1, 2]
    places.leave()
    places.leave()
    assert (begun, places.taken) == ([0, 1, 2, 3, 4], 2)
    places.leave()
    places.leave()
    assert places.taken == 0


def test_who_withdraws_is_passed_over() -> None:
    begun: list[str] = []
    first, second, third = (lambda: begun.append("first")), (lambda: begun.append("2")), (lambda: begun.append("third"))
    places = Semaphore(1)
    for begin in (first, second, third):
        places.enter(begin)
    places.withdraw(second)
    places.leave()
    assert begun == ["first", "third"]


def test_thousands_that_leave_as_soon_as_they_begin_are_no_recursion() -> None:
    begun = 0

    def begin() -> None:
        nonlocal begun
        begun += 1
        places.leave()

    places = Semaphore(1)
    places.enter(lambda: None)
    for _ in range(10_000):
        places.enter(begin)
    places.leave()
    assert (begun, places.taken) == (10_000, 0)


def test_one_that_breaks_at_its_beginning_does_not_close_the_door() -> None:
    def broken() -> None:
        raise ValueError("surprise")

    begun: list[Callable[[], None]] = []
    places = Semaphore(2)
    with pytest.raises(ValueError, match="surprise"):
        places.enter(broken)
    places.enter(lambda: begun.append(broken))
    assert len(begun) == 1
