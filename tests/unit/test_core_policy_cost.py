"""The cost of an event, in calls of Python functions: it does not grow with the pool."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from pybal.core.changes import changes
from pybal.core.events import Adopted, Gathered, Listed, Reported, Resolved
from pybal.core.model import Member, Pool, Report
from pybal.core.policy import step, wanted_changes
from tests.harness.pool_events import M, after, ip, service


def waiting(size: int) -> Pool:
    """Return a pool with as many names that were not looked up, at addresses that the kernel holds."""
    held = Adopted({ip(number): 10 for number in range(size + 1)})
    return after(Pool(service()), held, Listed(tuple(Member(str(number)) for number in range(size))))


def located(size: int) -> Pool:
    """Return a pool of servers without reports."""
    return step(waiting(size), Resolved({str(number): ip(number) for number in range(size)}))


def serving(size: int) -> Pool:
    """Return a pool of servers that are up."""
    return step(located(size), Gathered([Reported(str(number), M, Report(True)) for number in range(size)]))


def calls(function: Callable[[], object]) -> int:
    """Return the number of Python functions and generator steps that a call makes."""
    made = 0

    def count(_frame: FrameType, event: str, _: object) -> None:
        nonlocal made
        made += event == "call"

    gc.disable()  # other tests have left callbacks of the collector, which would be counted
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return made


def cost_of_lookup(pool: Pool) -> int:
    """Return the calls to apply an address of one server, and to find what it changes."""

    address = next(iter(pool.held), ip(20_000))

    def apply() -> None:
        changed = step(pool, Resolved({"7": address}))
        assert changed is not pool
        list(changes(pool, changed))
        wanted_changes(pool, changed)

    return calls(apply)


@pytest.mark.parametrize("pool", [waiting, located, serving])
def test_cost_of_a_lookup_does_not_grow_with_the_pool(pool: Callable[[int], Pool]) -> None:
    assert cost_of_lookup(pool(1000)) == cost_of_lookup(pool(100))


def test_cost_of_a_list_follows_its_changes() -> None:
    """Each member is compared with the last list; a member more or less costs no more than that."""

    def cost(size: int) -> int:
        pool = serving(size)
        members = (*(Member(str(number)) for number in range(1, size)), Member("new"))

        def apply() -> None:
            changed = step(pool, Listed(members))
            assert list(changes(pool, changed))
            wanted_changes(pool, changed)

        return calls(apply)

    small, large = cost(100), cost(1000)
    assert large - small <= 2.01 * 900  # and a few for each part
