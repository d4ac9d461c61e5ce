"""A FIFO semaphore: order, release and limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybal.checks.semaphore import Semaphore


def test_waiters_acquire_units_in_order_of_arrival() -> None:
    begun: list[int] = []
    semaphore = Semaphore(2)
    for number in range(5):
        semaphore.acquire(lambda number=number: begun.append(number))  # type: ignore[misc]  # a default binds it
    assert (begun, semaphore.taken) == ([0, 1], 2)
    semaphore.release()
    assert begun == [0, 1, 2]
    semaphore.release()
    semaphore.release()
    assert (begun, semaphore.taken) == ([0, 1, 2, 3, 4], 2)
    semaphore.release()
    semaphore.release()
    assert semaphore.taken == 0


def test_cancelled_waiter_is_skipped() -> None:
    begun: list[str] = []
    first, second, third = (lambda: begun.append("first")), (lambda: begun.append("2")), (lambda: begun.append("third"))
    semaphore = Semaphore(1)
    for begin in (first, second, third):
        semaphore.acquire(begin)
    semaphore.cancel(second)
    semaphore.release()
    assert begun == ["first", "third"]


def test_thousands_of_immediate_releases_do_not_recurse() -> None:
    begun = 0

    def begin() -> None:
        nonlocal begun
        begun += 1
        semaphore.release()

    semaphore = Semaphore(1)
    semaphore.acquire(lambda: None)
    for _ in range(10_000):
        semaphore.acquire(begin)
    semaphore.release()
    assert (begun, semaphore.taken) == (10_000, 0)


def test_exception_in_a_waiter_does_not_block_the_others() -> None:
    def broken() -> None:
        raise ValueError("surprise")

    begun: list[Callable[[], None]] = []
    semaphore = Semaphore(2)
    with pytest.raises(ValueError, match="surprise"):
        semaphore.acquire(broken)
    semaphore.acquire(lambda: begun.append(broken))
    assert len(begun) == 1
