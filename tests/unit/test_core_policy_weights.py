"""Servers of weight 0 take no new connections: they are pooled, but do not count."""

from __future__ import annotations

import pytest

from pybal.core.events import Adopted
from pybal.core.model import Member, Pool
from pybal.core.policy import arithmetic, can_depool, floor, serving, step, too_small, wanted, wanted_changes
from tests.harness.pool_events import (
    after,
    down,
    fresh,
    healthy,
    ip,
    listed,
    moved,
    off,
    resolved,
    service,
    standing,
    tried,
    up,
)


def quiet(*hosts: str) -> tuple[Member, ...]:
    return tuple(Member(host, 0) for host in hosts)


def test_server_of_weight_0_is_pooled_and_does_not_serve() -> None:
    pool = after(healthy("ab"), listed("a", Member("b", 0)))
    assert standing(pool) == "a b"
    assert wanted(pool) == {ip(1): 10, ip(2): 0}
    assert (serving(pool), floor(pool)) == (1, 1)


def test_servers_with_a_weight_stay_when_the_others_have_weight_0() -> None:
    """keepalived #1238, #1762: the two that serve were depooled; only weight 0 remained."""
    pool = after(healthy("abcd"), listed("ab", *quiet("c", "d")), down("a"), down("b"))
    assert standing(pool) == "b! c d"
    assert not can_depool(pool)


def test_floor_counts_disabled_members_with_a_weight() -> None:
    members = (*quiet("a", "b"), Member("c"), off("d"), off("e"), off("f"))
    assert floor(after(Pool(service()), listed(*members))) == 2


def test_floor_of_a_pool_without_weights_is_one() -> None:
    pool = after(healthy("ab"), listed(*quiet("a", "b")))
    assert (serving(pool), floor(pool), standing(pool)) == (0, 1, "a b")
    assert standing(after(pool, down("a"))) == "a! b"


def test_forced_server_stays_when_only_weight_0_recovers() -> None:
    pool = after(healthy("abc"), listed("a", *quiet("b", "c")), down("a"), down("b"), up("b"))
    assert standing(pool) == "a! b c"


def test_down_servers_enter_when_the_serving_ones_get_weight_0() -> None:
    pool = after(healthy("abcd"), down("c"), down("d"))
    assert standing(pool) == "a b"
    assert standing(after(pool, listed(*quiet("a", "b"), "cd"))) == "a b c!"


def test_server_of_weight_0_never_enters_for_the_floor() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), listed(*quiet("a"), "b", off("c"), off("d")))
    assert standing(pool) == "b!"


def test_forced_servers_leave_when_weights_return() -> None:
    pool = after(healthy("abcd"), down("d"), listed(*quiet("a", "b", "c"), "d"))
    assert standing(pool) == "a b c d!"
    assert standing(after(pool, listed("abcd"))) == "a b c"


@pytest.mark.parametrize(("members", "text"), [("abcd", "4 of 4, floor 2"), ("ab", "2 of 2, floor 1")])
def test_arithmetic_counts_members_with_a_weight(members: str, text: str) -> None:
    others = [host for host in "abcd" if host not in members]
    more = f", {len(others)} of weight 0" if others else ""
    assert arithmetic(after(healthy("abcd"), listed(members, *quiet(*others)))) == f"serving {text}, 0 forced{more}"


def test_pool_is_too_small_by_all_members_as_in_pybal_115() -> None:
    assert too_small(after(healthy("ab", 0.6), listed(*quiet("a"), "b")))
    assert not too_small(after(healthy("abc"), listed(*quiet("a", "b"), "c")))


def test_shared_address_takes_connections_when_one_of_its_servers_does() -> None:
    pool = after(healthy("abc"), listed(*quiet("a"), "bc"), moved(b=1), tried("b"))
    assert wanted(pool) == {ip(1): 10, ip(3): 10}
    assert wanted(after(pool, listed(*quiet("a", "b"), "c"))) == {ip(1): 0, ip(3): 10}


def test_weight_of_the_second_server_at_an_address_is_a_difference() -> None:
    pool = after(healthy("abc"), listed(*quiet("a"), "bc"), moved(b=1), tried("b"))
    assert wanted_changes(pool, after(pool, listed(*quiet("a"), Member("b", 5), "c"))) == {ip(1): 5}


def test_held_addresses_of_weight_0_do_not_count_for_the_floor() -> None:
    for weight, pooled in ((0, "a"), (10, "")):
        pool = step(Pool(service()), Adopted({ip(5): weight, ip(6): weight}))
        assert standing(after(pool, listed(off("a"), *"bcd"), resolved("a"), listed("abcd"))) == pooled


def test_pending_lookups_of_weight_0_do_not_count_for_the_floor() -> None:
    pool = step(Pool(service()), Adopted({ip(5): 10, ip(6): 10}))
    pool = after(pool, listed(off("a"), "b", *quiet("c", "d")), resolved("a"))
    assert standing(after(pool, listed("ab", *quiet("c", "d")))) == ""
    assert standing(after(pool, listed("a", *quiet("b", "c")))) == "a"


def test_removed_servers_are_held_when_only_weight_0_remains() -> None:
    pool = after(healthy("abc"), listed(*quiet("c"), "d"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(3): 0}
    assert wanted(after(pool, resolved("d"), tried("d"))) == {ip(3): 0, ip(4): 10}


def test_removed_servers_leave_when_the_whole_list_has_weight_0() -> None:
    assert wanted(after(healthy("abc"), listed(*quiet("c")))) == {ip(3): 0}


def test_unknown_server_enters_when_the_serving_ones_get_weight_0() -> None:
    pool = after(fresh("abcd"), up("a"), up("b"))
    assert standing(pool) == "a b"
    assert standing(after(pool, listed(*quiet("a", "b"), "cd"))) == "a b c"
