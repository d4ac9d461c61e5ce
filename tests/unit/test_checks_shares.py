"""Units shared between owners: the first of each, order, limits and release."""

from __future__ import annotations

from pybal.checks.shares import Shares


class Users:
    """Records the names of those who began."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.begun: list[str] = []

    def wait(self, owner: str, count: int = 1, now: float = 0.0) -> None:
        for _ in range(count):
            self.shares.acquire(lambda: self.begun.append(owner), owner, now)


def test_one_owner_alone_takes_four_fifths() -> None:
    users = Users(Shares(40))
    users.wait("a", 96)
    assert (users.shares.taken, users.shares.waiting) == (32, 64)


def test_owner_gets_units_while_another_one_has_96_hung_commands() -> None:
    users = Users(Shares(40))
    users.wait("hung", 96)
    users.wait("other", 4)
    assert users.begun.count("other") == 4


def test_first_unit_of_each_owner_is_always_available() -> None:
    users = Users(Shares(4))
    for number in range(100):
        users.wait(f"hung {number}", 10)
    users.wait("last")
    assert users.begun[-1] == "last"
    assert users.shares.taken <= 4 + 100


def test_released_unit_goes_to_the_owner_with_the_fewest() -> None:
    users = Users(Shares(1))
    users.wait("a")
    users.wait("b")
    users.wait("a", 3)
    users.wait("b", 1)
    users.shares.release("b")
    assert users.begun == ["a", "b", "b"]


def test_waiters_of_an_owner_acquire_units_in_order_of_arrival() -> None:
    begun: list[int] = []
    shares = Shares(1)
    for number in range(4):
        shares.acquire(lambda number=number: begun.append(number), "a", 0.0)  # type: ignore[misc]  # a default binds it
    for _ in range(3):
        shares.release("a")
    assert begun == [0, 1, 2, 3]


def test_cancelled_waiter_is_skipped() -> None:
    begun: list[str] = []
    first, second, third = (lambda: begun.append("first")), (lambda: begun.append("2")), (lambda: begun.append("third"))
    shares = Shares(1)
    for begin in (first, second, third):
        shares.acquire(begin, "a", 0.0)
    shares.cancel(second, "a")
    shares.release("a")
    assert begun == ["first", "third"]


def test_delay_is_that_of_the_first_waiter_and_since_the_queue_was_empty() -> None:
    users = Users(Shares(1))
    users.wait("a", now=1.0)
    assert users.shares.delay("a", 2.0) == (0.0, 0.0)
    users.wait("a", now=2.0)
    users.wait("a", now=5.0)
    assert users.shares.delay("a", 7.0) == (5.0, 5.0)
    users.shares.release("a")
    assert users.shares.delay("a", 7.0) == (2.0, 5.0)
    users.shares.release("a")
    assert users.shares.delay("a", 7.0) == (0.0, 0.0)


def test_thousands_of_immediate_releases_do_not_recurse() -> None:
    begun = 0

    def begin() -> None:
        nonlocal begun
        begun += 1
        shares.release("a")

    shares = Shares(1)
    shares.acquire(lambda: None, "a", 0.0)
    for _ in range(10_000):
        shares.acquire(begin, "a", 0.0)
    shares.release("a")
    assert (begun, shares.taken, shares.waiting) == (10_000, 0, 0)
