"""The policy when addresses appear, change and vanish, and in the first minutes after a start."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from pybal.core.events import Adopted, Gathered, Listed, Overdue, Reconfigured, Reported, Resolved
from pybal.core.model import Health, Member, Pool
from pybal.core.policy import step, wanted, wanted_changes
from tests.harness.pool_events import (
    M,
    N,
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
    tried,
    up,
)


def adopting(*numbers: int, threshold: float = 0.5) -> Pool:
    return step(Pool(service(threshold)), Adopted({ip(number): 10 for number in numbers}))


def test_changed_address_is_an_addition_and_a_removal_in_one_step() -> None:
    pool = after(healthy("ab"), moved(a=7))
    assert wanted(pool) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, tried("a", up=False))) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, tried("a", up=False), tried("a"))) == {ip(7): 10, ip(2): 10}


def test_every_monitor_must_pass_the_next_address() -> None:
    pool = after(healthy("ab", monitors=(M, N)), moved(a=7), tried("a", M))
    assert wanted(pool) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, tried("a", N))) == {ip(7): 10, ip(2): 10}


def test_repeated_result_of_the_next_address_changes_nothing() -> None:
    pool = after(healthy("ab", monitors=(M, N)), moved(a=7), tried("a", up=False))
    assert step(pool, tried("a", up=False)) is pool


def test_present_address_is_watched_while_the_next_one_is_tried() -> None:
    pool = after(healthy("abc"), moved(a=7), down("a"))
    assert wanted(pool) == {ip(2): 10, ip(3): 10}
    assert wanted(after(pool, tried("a"))) == {ip(7): 10, ip(2): 10, ip(3): 10}


def test_all_servers_stay_when_all_move_to_one_dead_address() -> None:
    pool = after(healthy("abcdef"), moved(**dict.fromkeys("abcdef", 99)))
    assert set(wanted(pool)) == {ip(number) for number in range(1, 7)}
    pool = step(pool, Overdue(frozenset("abcdef")))
    assert set(wanted(pool)) == {ip(number) for number in range(1, 7)}
    assert standing(pool) == "a! b! c! d! e! f!"


def test_overdue_servers_leave_when_enough_others_serve() -> None:
    pool = after(healthy("abcd"), moved(a=7), Overdue(frozenset("a")))
    assert pool.servers["a"].health is Health.DOWN
    assert standing(pool) == "b c d"
    assert wanted(after(pool, tried("a"))) == {ip(7): 10, ip(2): 10, ip(3): 10, ip(4): 10}


def test_name_that_returns_to_its_address_ends_the_move() -> None:
    pool = after(healthy("abcd"), moved(a=7), Overdue(frozenset("a")), moved(a=1))
    assert (standing(pool), pool.servers["a"].move) == ("a b c d", None)


def test_name_that_is_lost_during_a_move_keeps_both_addresses() -> None:
    pool = after(healthy("ab"), moved(a=7))
    assert step(pool, moved(a=None)) is pool


def test_next_address_that_changes_again_must_pass_again() -> None:
    pool = after(healthy("ab", monitors=(M, N)), moved(a=7), tried("a", M), moved(a=8), tried("a", N))
    assert wanted(pool) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, tried("a", M))) == {ip(8): 10, ip(2): 10}


def test_server_with_a_new_address_is_judged_there() -> None:
    pool = after(healthy("abc"), moved(a=7), tried("a"))
    assert pool.servers["a"].health is Health.UP
    assert standing(after(pool, down("a"))) == "b c"


def test_down_server_is_not_pooled_when_its_address_changes() -> None:
    assert standing(after(healthy("abc"), down("a"), moved(a=7))) == "b c"


def test_servers_stay_pooled_when_all_addresses_change() -> None:
    pool = after(healthy("ab"), moved(a=7, b=8))
    assert wanted(after(pool, tried("a"))) == {ip(7): 10, ip(2): 10}
    assert wanted(after(pool, tried("a"), tried("b"))) == {ip(7): 10, ip(8): 10}


def test_server_without_monitors_moves_immediately() -> None:
    assert wanted(after(healthy("ab", monitors=()), moved(a=7))) == {ip(7): 10, ip(2): 10}


def test_server_keeps_its_address_when_its_name_loses_it() -> None:
    pool = healthy("ab")
    assert step(pool, moved(a=None)) is pool


def test_name_is_unresolvable_until_it_has_an_address() -> None:
    pool = after(Pool(service()), listed("ab"), moved(a=None))
    assert (pool.servers["a"].unresolvable, pool.servers["b"].unresolvable) == (True, False)
    assert step(pool, moved(a=None)) is pool
    assert not after(pool, moved(a=1)).servers["a"].unresolvable


def test_hosts_that_swap_addresses_change_nothing_in_the_kernel() -> None:
    pool = after(healthy("abc"), down("b"))
    swapped = after(pool, moved(a=2, b=1))
    assert wanted(swapped) == wanted(pool) == {ip(1): 10, ip(3): 10}
    assert standing(swapped) == "b c"
    assert swapped.servers["b"].health is Health.UNKNOWN


def test_host_is_pooled_when_it_takes_over_a_pooled_address() -> None:
    pool = after(healthy("ab"), listed("abc"), moved(b=9, c=2))
    assert standing(pool) == "a b c"
    assert wanted(pool) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, tried("b"))) == {ip(1): 10, ip(2): 10, ip(9): 10}


def test_host_stays_until_up_when_it_moves_to_a_down_address() -> None:
    pool = after(healthy("abcd"), down("b"), moved(a=2))
    assert wanted(pool) == {ip(1): 10, ip(3): 10, ip(4): 10}
    assert wanted(after(pool, tried("a"))) == {ip(2): 10, ip(3): 10, ip(4): 10}


def test_pooled_host_at_a_shared_address_decides_for_a_third() -> None:
    pool = after(healthy("abcd", threshold=0.25), moved(b=1), up("b"))
    for gone, stays in ("ab", "ba"):
        third = after(pool, down(gone), listed("abcde"), moved(e=1))
        assert standing(third) == f"{stays} c d e"


def test_host_keeps_its_placement_when_it_moves_to_a_disabled_address() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), moved(a=2))
    assert standing(pool) == "a c"


def test_restart_changes_nothing_in_the_kernel() -> None:
    before = after(healthy("abcdef"), down("a"), down("e"))
    pool = step(Pool(service()), Adopted(wanted(before)))
    for event in (listed("abcdef"), resolved("abcdef")):
        pool = step(pool, event)
        assert wanted(pool) == wanted(before)


def test_restart_changes_nothing_when_names_resolve_one_by_one() -> None:
    pool = after(adopting(3, 4), listed("abcd"))
    for host in "abcd":
        pool = step(pool, resolved(host))
        assert wanted(pool) == {ip(3): 10, ip(4): 10}


def test_depooled_servers_stay_out_after_a_restart() -> None:
    pool = after(adopting(1, 3), listed("abcd"), resolved("abcd"))
    assert standing(pool) == "a c"
    assert standing(after(pool, down("b"), down("d"), up("a"), up("c"))) == "a c"


def test_depooled_servers_enter_after_a_restart_when_the_floor_needs_them() -> None:
    assert standing(after(adopting(3), listed("abcd"), resolved("abcd"))) == "a c"


def test_adopted_server_stays_until_it_is_down() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("abcd"), up("a"), up("b"))
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("c"))) == "a b d"


def test_adopted_down_server_stays_until_enough_servers_serve() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("abcd"), down("c"))
    assert standing(pool) == "a b c! d"
    assert standing(after(pool, up("a"), up("b"))) == "a b d"


def test_kernel_keeps_all_addresses_before_the_first_list() -> None:
    assert wanted(adopting(1, 2)) == {ip(1): 10, ip(2): 10}


def test_restart_keeps_all_addresses_when_the_resolver_fails() -> None:
    pool = after(adopting(1, 2, 3), listed("ab", off("c")))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(3): 10}


def test_held_addresses_go_when_all_enabled_members_have_addresses() -> None:
    pool = after(adopting(1, 2, 9), listed("ab", off("c")), resolved("a"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(9): 10}
    assert wanted(after(pool, resolved("b"))) == {ip(1): 10, ip(2): 10}
    assert wanted(after(pool, moved(b=None))) == {ip(1): 10, ip(2): 10, ip(9): 10}


def test_held_addresses_go_when_pending_members_are_disabled_or_removed() -> None:
    pool = after(adopting(1, 9), listed("ab"), resolved("a"))
    assert wanted(after(pool, listed("a", off("b")))) == {ip(1): 10}
    assert wanted(after(pool, listed("a"))) == {ip(1): 10}


def test_held_addresses_go_when_the_first_list_is_empty() -> None:
    assert wanted(after(adopting(1, 2), listed())) == {}


def test_held_addresses_do_not_return_with_a_new_member() -> None:
    pool = after(adopting(1, 9), listed("a"), resolved("a"), listed("ab"))
    assert wanted(pool) == {ip(1): 10}


def test_floor_pools_servers_when_held_addresses_go() -> None:
    pool = after(adopting(4), listed("abcd"), resolved("abc"), tried("a", up=False))
    assert standing(pool) == ""
    assert standing(after(pool, resolved("d"))) == "b d"


def test_restart_during_a_move_keeps_the_address_until_the_next_passes() -> None:
    before = after(healthy("abcd"), moved(b=7))
    pool = after(step(Pool(service()), Adopted(wanted(before))), listed("abcd"), resolved("acd"), moved(b=7))
    assert wanted(pool) == wanted(before) == {ip(1): 10, ip(2): 10, ip(3): 10, ip(4): 10}
    assert wanted(after(pool, tried("b", up=False))) == wanted(before)
    assert wanted(after(pool, tried("b"))) == {ip(1): 10, ip(7): 10, ip(3): 10, ip(4): 10}


def test_restart_keeps_all_addresses_when_all_servers_have_moved() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), moved(**dict.fromkeys("abcd", 99)))
    assert (set(wanted(pool)), standing(pool)) == ({ip(1), ip(2), ip(3), ip(4)}, "")
    assert wanted(after(pool, Overdue(frozenset("abcd")))) == wanted(pool)


def test_late_servers_leave_held_addresses_to_the_floor() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("ab"), moved(c=7, d=8), Overdue(frozenset("cd")))
    assert set(wanted(pool)) == {ip(1), ip(2), ip(3), ip(4)}
    assert set(wanted(after(pool, up("a")))) == {ip(1), ip(2), ip(3), ip(4)}
    enough = after(pool, up("a"), up("b"))
    assert (set(wanted(enough)), enough.servers["c"].address) == ({ip(1), ip(2)}, ip(7))
    assert set(wanted(after(pool, up("a"), tried("c")))) == {ip(1), ip(2), ip(7)}


def test_late_servers_arrive_unchecked_without_a_floor() -> None:
    pool = step(Pool(service(0)), Adopted({ip(1): 10, ip(2): 10}))
    pool = after(pool, listed("ab"), moved(a=7, b=8), Overdue(frozenset("a")))
    assert set(wanted(pool)) == {ip(1), ip(2)}
    assert wanted(after(pool, Overdue(frozenset("b")))) == {}


def test_overdue_server_with_an_address_is_not_late() -> None:
    pool = after(adopting(1, 3, 9, threshold=0.3), listed("abc"), resolved("ac"), up("a"), up("c"), moved(a=7))
    assert set(wanted(after(pool, Overdue(frozenset("a"))))) == {ip(3), ip(9)}


def test_late_server_that_is_disabled_holds_no_address() -> None:
    pool = after(adopting(1, 9), listed("ab"), resolved("a"), moved(b=7), Overdue(frozenset("b")))
    assert set(wanted(pool)) == {ip(1), ip(9)}
    assert wanted(after(pool, listed("a", off("b")))) == {ip(1): 10}


def test_server_leaves_at_the_floor_while_another_is_late() -> None:
    pool = after(adopting(1, 2, 3, 9, threshold=0.4), listed("abcde"), resolved("abc"), moved(d=7))
    pool = after(pool, Overdue(frozenset("d")), *map(up, "abc"))
    assert standing(after(pool, down("a"))) == "b c"


def test_batch_of_reports_lets_late_servers_arrive_within_it() -> None:
    pool = after(adopting(1, 2, 3, 4), listed("abcd"), resolved("ab"), moved(c=7, d=8), Overdue(frozenset("cd")))
    reports = [up("a"), up("b"), down("a"), down("b")]
    assert step(pool, Gathered(reports)) == after(pool, *reports)
    assert set(wanted(step(pool, Gathered(reports)))) == {ip(1), ip(2)}


def test_restart_during_a_move_waits_for_every_server_that_moved() -> None:
    pool = after(adopting(1, 2, 3), listed("abc"), resolved("c"), moved(a=7, b=8), tried("a"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10, ip(3): 10, ip(7): 10}
    assert wanted(after(pool, tried("b"))) == {ip(3): 10, ip(7): 10, ip(8): 10}
    late = after(pool, up("c"), Overdue(frozenset("b")))
    assert (wanted(late), late.servers["b"].address) == ({ip(3): 10, ip(7): 10}, ip(8))


def test_held_address_goes_when_the_list_drops_the_arriving_server() -> None:
    pool = after(adopting(1, 2), listed("ab"), resolved("a"), moved(b=7))
    assert wanted(after(pool, listed("a"))) == {ip(1): 10}
    assert wanted(after(pool, listed("a", off("b")))) == {ip(1): 10}


def test_server_arrives_unchecked_when_all_held_addresses_are_claimed() -> None:
    pool = after(adopting(1, 2), listed("abc"), resolved("c"))
    assert pool.servers["c"].address is None
    assert after(pool, resolved("ab")).servers["c"].address == ip(3)


def test_moving_server_keeps_its_address_when_others_arrive() -> None:
    pool = after(adopting(1, 9), listed("ab"), resolved("a"), moved(b=8), moved(a=7), up("a"), Overdue(frozenset("b")))
    assert (wanted(pool), pool.servers["b"].address) == ({ip(1): 10}, ip(8))


def test_report_of_another_monitor_on_the_next_address_changes_nothing() -> None:
    pool = after(healthy("ab"), moved(a=7))
    assert step(pool, tried("a", N)) is pool


def test_arriving_server_keeps_its_next_address_when_its_name_is_lost() -> None:
    pool = after(adopting(1, 9), listed("ab"), resolved("a"), moved(b=7))
    assert step(pool, moved(b=None)) is pool


def test_arriving_server_without_monitors_arrives_immediately() -> None:
    pool = step(Pool(service(monitors=())), Adopted({ip(1): 10, ip(9): 10}))
    assert wanted(after(pool, listed("ab"), resolved("a"), moved(b=7))) == {ip(1): 10, ip(7): 10}


def test_disabled_server_does_not_arrive_by_its_checks() -> None:
    pool = after(adopting(1, 9), listed("ab", off("c")), resolved("ac"))
    assert pool.servers["c"].address == ip(3)


def test_arriving_server_loses_an_address_of_the_other_family() -> None:
    pool = step(Pool(replace(service(), tunneling=True)), Adopted({ip(1): 10, ip(9): 10}))
    pool = after(pool, listed("ab"), resolved("a"), Resolved({"b": ip_address("2001:db8::7")}))
    pool = after(pool, Reconfigured(service()), Overdue(frozenset("b")))
    assert (pool.servers["b"].address, pool.servers["b"].unresolvable) == (None, True)


def test_pending_lookup_counts_for_the_floor_with_a_held_address() -> None:
    pool = after(adopting(5, 6, 7, 8, 9), listed(off("a"), "bcd"), resolved("a"))
    assert standing(after(pool, listed("abcd"))) == ""
    assert standing(after(pool, listed(off("a"), off("b"), off("c"), "d"), resolved("bc"), listed("abcd"))) == "a"
    assert standing(after(adopting(9), listed(off("a"), "bcd"), resolved("a"), listed("abcd"))) == "a"


def test_disabled_member_leaves_the_kernel_when_its_name_resolves() -> None:
    pool = after(adopting(1, 2), listed("a", off("b")), resolved("b"))
    assert wanted(pool) == {ip(1): 10}


def test_held_address_takes_the_weight_of_its_member() -> None:
    pool = after(adopting(1, 2), Listed((Member("a", 70), Member("b"))), resolved("a"))
    assert wanted(pool) == {ip(1): 70, ip(2): 10}


def test_server_is_pooled_when_it_moves_to_a_held_address() -> None:
    pool = after(adopting(1, 9), listed("abc"), resolved("ab"), moved(b=9))
    assert standing(pool) == "a b"


def test_hosts_at_one_held_address_are_both_pooled() -> None:
    pool = after(adopting(1, 3, 4), listed("abcd"), resolved("cd"), moved(b=1))
    assert standing(after(pool, moved(a=1))) == "a b c d"


def test_late_read_of_the_kernel_is_adopted() -> None:
    pool = after(fresh("abcdef"), down("e"), up("f"))
    assert standing(pool) == "a b c f"
    pool = after(pool, Adopted({address("a"): 10, address("d"): 10, address("e"): 10, ip(9): 10}))
    assert standing(pool) == "a b c d f"
    assert not pool.held


def test_service_without_monitors_pools_all_resolved_servers() -> None:
    pool = after(Pool(service(monitors=())), listed("ab", off("c")), resolved("abc"))
    assert wanted(pool) == {ip(1): 10, ip(2): 10}


def test_first_address_clears_earlier_reports() -> None:
    pool = after(Pool(service()), listed("ab"), Reported("a", "ProxyFetch", up("a").report), resolved("ab"))
    assert pool.servers["a"].health is Health.UNKNOWN


def test_initially_up_pools_a_server_when_its_address_changes() -> None:
    pool = after(healthy("abc", initially_up=True), down("a"), moved(a=7))
    assert standing(pool) == "a b c"


def test_initially_up_applies_after_a_reload() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"), Reconfigured(service(initially_up=True)))
    assert standing(pool) == "a b c"


def test_lookup_of_several_names_is_one_transition() -> None:
    pool = after(Pool(service()), listed("abcd"), Resolved({host: address(host) for host in "dcba"}))
    assert standing(pool) == "a b"


def test_first_server_of_another_order_sets_the_weight_at_one_address() -> None:
    light, heavy = Member("a", 1), Member("b", 2)
    before = after(healthy("ab"), listed(light, heavy), moved(b=1), up("b"))
    swapped = step(before, listed(heavy, light))
    assert wanted_changes(before, swapped) == {ip(1): 2}


def test_server_that_takes_the_address_of_a_disabled_one_stays_pooled() -> None:
    pool = after(healthy("abcd"), listed("a", off("b"), "cd"), moved(a=2))
    assert standing(pool) == "a c d"


def test_server_that_swaps_addresses_with_a_disabled_one_stays_pooled() -> None:
    pool = after(healthy("abcd", threshold=0.25), listed("a", off("b"), "cd"), moved(a=2, b=1))
    assert standing(pool) == "a c d"
    assert wanted(pool) == {ip(2): 10, ip(3): 10, ip(4): 10}
