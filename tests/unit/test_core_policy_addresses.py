"""Addresses that come, move and go, and the first minutes after a start."""

from __future__ import annotations

from pybal.core.model import Health, Member, Pool
from pybal.core.policy import Adopted, Listed, Reconfigured, Reported, Resolved, step, wanted
from tests.harness.pool_events import (
    address,
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
    up,
)


def adopting(*numbers: int, threshold: float = 0.5) -> Pool:
    return step(Pool(service(threshold)), Adopted({ip(number): 10 for number in numbers}))


def test_an_address_that_changes_is_an_addition_and_a_removal_at_once() -> None:
    assert wanted(after(healthy("ab"), moved(a=7))) == {ip(7): 10, ip(2): 10}


def test_reports_on_an_old_address_say_nothing_of_the_new_one() -> None:
    pool = after(healthy("abc"), moved(a=7))
    assert pool.servers["a"].health is Health.UNKNOWN
    assert standing(after(pool, down("a"))) == "b c"


def test_a_server_that_was_down_does_not_return_because_it_moved() -> None:
    assert standing(after(healthy("abc"), down("a"), moved(a=7))) == "b c"


def test_when_all_servers_move_at_once_all_stay_pooled() -> None:
    assert wanted(after(healthy("ab"), moved(a=7, b=8))) == {ip(7): 10, ip(8): 10}


def test_a_name_that_loses_its_address_keeps_it() -> None:
    pool = healthy("ab")
    assert step(pool, moved(a=None)) is pool


def test_a_name_without_an_address_is_nowhere_until_it_has_one() -> None:
    pool = after(Pool(service()), listed("ab"), moved(a=None))
    assert (pool.servers["a"].unresolvable, pool.servers["b"].unresolvable) == (True, False)
    assert step(pool, moved(a=None)) is pool
    assert not after(pool, moved(a=1)).servers["a"].unresolvable


def test_two_hosts_that_swap_addresses_change_nothing_in_the_kernel() -> None:
    pool = after(healthy("abc"), down("b"))
    swapped = after(pool, moved(a=2, b=1))
    assert wanted(swapped) == wanted(pool) == {ip(1): 10, ip(3): 10}
    assert standing(swapped) == "b c"
    assert swapped.servers["b"].health is Health.UNKNOWN


def test_a_host_that_takes_over_a_pooled_address_is_pooled_with_it() -> None:
    pool = after(healthy("ab"), listed("abc"), moved(b=9, c=2))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(9): 10}


def test_a_host_that_moves_to_the_address_of_one_that_is_down_leaves_until_it_is_up() -> None:
    pool = after(healthy("abcd"), down("b"), moved(a=2))
    assert wanted(pool) == {ip(3): 10, ip(4): 10}
    assert wanted(after(pool, up("a"))) == {ip(2): 10, ip(3): 10, ip(4): 10}


def test_of_two_hosts_at_an_address_the_pooled_one_decides_where_a_third_stands() -> None:
    pool = after(healthy("abcd", threshold=0.25), moved(b=1), up("b"))
    for gone, stays in ("ab", "ba"):
        third = after(pool, down(gone), listed("abcde"), moved(e=1))
        assert standing(third) == f"{stays} c d e"


def test_a_host_that_moves_to_the_address_of_a_disabled_one_stays_where_it_stood() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), moved(a=2))
    assert standing(pool) == "a c"


def test_a_restart_changes_nothing_in_the_kernel() -> None:
    before = after(healthy("abcdef"), down("a"), down("e"))
    pool = step(Pool(service()), Adopted(wanted(before)))
    for event in (listed("abcdef"), resolved("abcdef")):
        pool = step(pool, event)
        assert wanted(pool) == wanted(before)


def test_names_that_come_one_by_one_after_a_restart_change_nothing_either() -> None:
    pool = after(adopting(3, 4), listed("abcd"))
    for host in "abcd":
        pool = step(pool, resolved(host))
        assert wanted(pool) == {ip(3): 10, ip(4): 10}


def test_with_half_of_the_pool_down_before_the_restart_those_that_were_out_stay_out() -> None:
    pool = after(adopting(1, 3), listed("abcd"), resolved("abcd"))
    assert standing(pool) == "a c"
    assert standing(after(pool, down("b"), down("d"), up("a"), up("c"))) == "a c"


def test_those_that_were_out_before_the_restart_are_pulled_in_if_the_floor_needs_them() -> None:
    assert standing(after(adopting(3), listed("abcd"), resolved("abcd"))) == "a c"


def test_an_adopted_server_stays_until_something_conclusive_is_said_of_it() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("abcd"), up("a"), up("b"))
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("c"))) == "a b d"


def test_an_adopted_server_that_is_down_stays_until_enough_are_known_to_serve() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("abcd"), down("c"))
    assert standing(pool) == "a b c! d"
    assert standing(after(pool, up("a"), up("b"))) == "a b d"


def test_nothing_is_taken_from_the_kernel_before_the_first_list() -> None:
    assert wanted(adopting(1, 2)) == {ip(1): 10, ip(2): 10}


def test_with_a_resolver_that_is_down_a_restart_keeps_all_that_the_kernel_held() -> None:
    pool = after(adopting(1, 2, 3), listed("ab", off("c")))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(3): 10}


def test_addresses_held_go_once_every_enabled_member_has_been_looked_up() -> None:
    pool = after(adopting(1, 2, 9), listed("ab", off("c")), resolved("a"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(9): 10}
    assert wanted(after(pool, resolved("b"))) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, moved(b=None))) == {ip(1): 10}


def test_addresses_held_go_when_the_members_awaited_are_disabled_or_removed() -> None:
    pool = after(adopting(1, 9), listed("ab"), resolved("a"))
    assert wanted(after(pool, listed("a", off("b")))) == {ip(1): 10}
    assert wanted(after(pool, listed("a"))) == {ip(1): 10}


def test_addresses_held_go_when_the_first_list_says_nobody() -> None:
    assert wanted(after(adopting(1, 2), listed())) == {}


def test_addresses_once_let_go_do_not_return_with_the_next_new_member() -> None:
    pool = after(adopting(1, 9), listed("a"), resolved("a"), listed("ab"))
    assert wanted(pool) == {ip(1): 10}


def test_the_floor_forces_servers_in_when_the_addresses_held_go() -> None:
    pool = after(adopting(8, 9), listed("abcd"), resolved("abc"))
    assert standing(pool) == "a"
    assert standing(after(pool, moved(d=None))) == "a b"


def test_each_name_awaited_counts_for_the_floor_with_one_of_the_addresses_held() -> None:
    pool = after(adopting(5, 6, 7, 8, 9), listed("abcd"), resolved("a"))
    assert standing(pool) == ""
    assert standing(after(pool, resolved("bc"))) == "a"
    assert standing(after(adopting(9), listed("abcd"), resolved("a"))) == "a"


def test_a_disabled_member_leaves_the_kernel_once_its_name_is_known() -> None:
    pool = after(adopting(1, 2), listed("a", off("b")), resolved("b"))
    assert wanted(pool) == {ip(1): 10}


def test_a_held_address_takes_the_weight_of_the_member_that_claims_it() -> None:
    pool = after(adopting(1, 2), Listed((Member("a", 70), Member("b"))), resolved("a"))
    assert wanted(pool) == {ip(1): 70, ip(2): 10}


def test_a_server_that_moves_to_a_held_address_is_pooled() -> None:
    pool = after(adopting(1, 9), listed("abc"), resolved("ab"), moved(b=9))
    assert standing(pool) == "a b"


def test_both_of_two_hosts_at_a_held_address_are_pooled_whichever_comes_first() -> None:
    pool = after(adopting(1, 3, 4), listed("abcd"), resolved("cd"), moved(b=1))
    assert standing(after(pool, moved(a=1))) == "a b c d"


def test_a_kernel_that_is_read_late_is_adopted_all_the_same() -> None:
    pool = after(fresh("abcdef"), down("e"), up("f"))
    assert standing(pool) == "a b c f"
    pool = after(pool, Adopted({address("a"): 10, address("d"): 10, address("e"): 10, ip(9): 10}))
    assert standing(pool) == "a b c d f"
    assert not pool.held


def test_a_service_without_monitors_pools_whoever_has_an_address() -> None:
    pool = after(Pool(service(monitors=())), listed("ab", off("c")), resolved("abc"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10}


def test_an_old_report_does_not_survive_an_address_of_a_server_that_was_never_found() -> None:
    pool = after(Pool(service()), listed("ab"), Reported("a", "ProxyFetch", up("a").report), resolved("ab"))
    assert pool.servers["a"].health is Health.UNKNOWN


def test_with_initially_up_a_server_that_moves_is_optimistically_pooled() -> None:
    pool = after(healthy("abc", initially_up=True), down("a"), moved(a=7))
    assert standing(pool) == "a b c"


def test_initially_up_may_come_with_a_reload() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"), Reconfigured(service(initially_up=True)))
    assert standing(pool) == "a b c"


def test_a_lookup_of_several_names_is_one_transition() -> None:
    pool = after(Pool(service()), listed("abcd"), Resolved({host: address(host) for host in "dcba"}))
    assert standing(pool) == "a b"
