"""The rules of the pooling policy, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.core.model import Health, Member, Placement, Pool, Report
from pybal.core.policy import (
    Reconfigured,
    Reported,
    Resolved,
    arithmetic,
    can_depool,
    floor,
    serving,
    step,
    too_small,
    wanted,
)
from tests.harness.pool_events import (
    M,
    N,
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


def test_a_server_up_and_eligible_is_pooled() -> None:
    assert standing(healthy("abcd")) == "a b c d"


def test_a_server_that_goes_down_leaves_while_enough_others_serve() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("c"))) == "b d"


def test_a_server_that_goes_down_stays_forced_when_too_few_others_serve() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("c"), down("d"))) == "b d!"


def test_when_all_go_down_the_last_ones_to_go_stay() -> None:
    assert standing(after(healthy("abcd"), down("d"), down("b"), down("c"), down("a"))) == "a! c!"


def test_forced_servers_stay_while_fewer_than_the_floor_serve_even_if_more_than_the_floor_are_pooled() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"))) == "a c! d!"


def test_all_forced_servers_leave_once_the_floor_serves_again() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"), up("b"))) == "a b"


def test_a_server_that_comes_up_is_pooled_again() -> None:
    assert standing(after(healthy("abcd"), down("a"), up("a"))) == "a b c d"


def test_a_forced_server_that_comes_up_is_forced_no_longer() -> None:
    assert standing(after(healthy("ab"), down("a"), down("b"), up("b"))) == "b"


def test_one_monitor_that_says_down_is_enough() -> None:
    pool = after(healthy("abcd", monitors=(M, N)), down("a", N))
    assert standing(pool) == "b c d"
    assert standing(after(pool, up("a", M))) == "b c d"
    assert standing(after(pool, up("a", N))) == "a b c d"


def test_a_server_is_unknown_until_every_monitor_has_spoken() -> None:
    pool = fresh("ab", monitors=(M, N))
    pool = after(pool, up("b", M))
    assert pool.servers["b"].health is Health.UNKNOWN
    assert after(pool, up("b", N)).servers["b"].health is Health.UP


def test_a_disabled_server_is_never_pooled_though_up() -> None:
    assert standing(after(healthy("abc"), listed("a", off("b"), "c"))) == "a c"


def test_a_disabled_server_is_not_forced_in() -> None:
    assert standing(after(healthy("ab", threshold=1), listed("a", off("b")), down("a"))) == "a!"


def test_a_disabled_server_that_went_on_being_checked_returns_at_once_when_enabled() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), listed("abc"))
    assert standing(pool) == "a b c"


def test_a_server_that_went_down_while_disabled_does_not_return_when_enabled() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), down("b"), listed("abc"))
    assert standing(pool) == "a c"


def test_a_server_without_an_address_is_not_pooled() -> None:
    pool = after(Pool(service(monitors=())), listed("ab"), resolved("a"))
    assert standing(pool) == "a"


def test_a_new_server_enters_at_its_first_up() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"))
    assert standing(pool) == "a b"
    assert standing(after(pool, up("c"))) == "a b c"


def test_a_new_server_that_is_down_does_not_enter() -> None:
    assert standing(after(healthy("ab"), listed("abc"), resolved("c"), down("c"))) == "a b"


def test_a_new_server_enters_unknown_when_the_floor_needs_it() -> None:
    pool = after(healthy("ab", threshold=1), listed("abc"), resolved("c"))
    assert standing(pool) == "a b c"
    assert standing(after(pool, down("c"))) == "a b c!"


def test_an_unknown_server_that_entered_for_the_floor_stays_until_something_conclusive_is_said() -> None:
    pool = fresh("abcd")
    assert standing(pool) == "a b"
    pool = after(pool, up("c"), up("d"))
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("a"))) == "b c d"


def test_those_not_known_to_be_down_enter_before_those_that_are_forced_in() -> None:
    pool = after(healthy("abcde", threshold=0.4), down("a"), down("b"), down("e"), moved(e=9))
    assert standing(pool) == "c d"
    assert standing(after(pool, Reconfigured(service(0.6)))) == "c d e"
    assert standing(after(pool, Reconfigured(service(0.8)))) == "a! c d e"


def test_servers_are_forced_in_by_the_order_of_the_source() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), listed("dcba"))
    assert standing(after(pool, Reconfigured(service(0.75)))) == "d c b!"


def test_those_that_were_pooled_stay_before_others_enter() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("d"), down("c"))
    assert standing(pool) == "c! d!"
    assert standing(after(pool, Reconfigured(service(0.75)))) == "a! c! d!"


def test_no_more_than_the_floor_needs_are_forced_in() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"))
    assert standing(after(pool, listed("abd"))) == "a! d"


def test_a_lower_threshold_lets_forced_servers_leave() -> None:
    pool = after(healthy("abcd", threshold=1), down("a"), down("b"))
    assert standing(pool) == "a! b! c d"
    assert standing(after(pool, Reconfigured(service(0.5)))) == "c d"


def test_with_threshold_1_nobody_leaves_for_being_down() -> None:
    assert standing(after(healthy("abc", threshold=1), down("a"), down("b"), down("c"))) == "a! b! c!"


def test_with_threshold_0_everybody_may_leave() -> None:
    pool = after(healthy("ab", threshold=0), down("a"), down("b"))
    assert standing(pool) == ""
    assert can_depool(pool)


def test_a_tiny_threshold_keeps_one() -> None:
    assert standing(after(healthy("abc", threshold=0.01), down("a"), down("b"), down("c"))) == "c!"


@pytest.mark.parametrize(
    ("threshold", "total", "least"),
    [
        (0.5, 1, 1),
        (0.5, 2, 1),
        (0.5, 3, 2),
        (0.66, 50, 33),
        (0.07, 100, 7),
        (1, 3, 3),
        (0, 3, 0),
        (0, 0, 0),
        (0.5, 0, 1),
        (1e-7, 3, 1),
    ],
)
def test_the_floor_is_an_exact_ceiling_of_at_least_one(threshold: float, total: int, least: int) -> None:
    pool = after(Pool(service(threshold)), listed(*(Member(f"h{n}") for n in range(total))))
    assert floor(pool) == least


def test_an_empty_pool_wants_nothing() -> None:
    pool = after(healthy("ab"), listed())
    assert (dict(pool.servers), dict(wanted(pool)), serving(pool)) == ({}, {}, 0)


def test_a_first_list_of_nobody_is_a_list() -> None:
    assert after(Pool(service()), listed()).listed


@pytest.mark.parametrize(
    ("threshold", "total", "small"),
    [
        (0.5, 0, False),
        (0.5, 1, False),
        (0.5, 2, False),
        (0.51, 2, True),
        (0.7, 3, True),
        (1, 1, False),
        (1, 2, True),
        (0.9, 10, False),
        (0.91, 10, True),
        (0, 2, False),
    ],
)
def test_a_pool_is_too_small_by_the_formula_of_the_contract(threshold: float, total: int, *, small: bool) -> None:
    pool = after(Pool(service(threshold)), listed(*(Member(f"h{n}") for n in range(total))))
    assert too_small(pool) is small


def test_can_depool_says_whether_enough_serve() -> None:
    pool = after(healthy("abc"), down("a"))
    assert can_depool(pool)
    assert not can_depool(after(pool, down("b")))


def test_serving_counts_those_up_and_enabled_and_with_an_address() -> None:
    pool = after(healthy("abcd"), down("a"), listed("a", off("b"), "cdef"), resolved("f"))
    assert serving(pool) == 2


def test_the_arithmetic_can_be_said() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"))
    assert arithmetic(pool) == "serving 1 of 4, floor 2, 2 forced"


def test_weights_are_those_of_the_members() -> None:
    pool = after(healthy("abc"), listed("a", Member("b", 30), Member("c", 0)))
    assert wanted(pool) == {ip(1): 10, ip(2): 30, ip(3): 0}


def test_of_two_pooled_servers_at_one_address_the_first_gives_the_weight() -> None:
    pool = after(Pool(service()), listed(Member("a", 1), Member("b", 2), Member("c", 3)), moved(a=9, b=9, c=9))
    pool = after(pool, up("b"), up("c"))
    assert standing(after(pool, down("a"))) == "b c"
    assert wanted(after(pool, down("a"))) == {ip(9): 2}


def test_an_address_stays_while_one_of_its_two_servers_is_pooled() -> None:
    pool = after(healthy("abcd"), moved(b=1), up("b"))
    assert wanted(after(pool, down("a"))) == {ip(1): 10, ip(3): 10, ip(4): 10}
    assert wanted(after(pool, down("a"), down("b"))) == {ip(3): 10, ip(4): 10}


def test_a_removed_server_leaves_though_up() -> None:
    assert wanted(after(healthy("ab"), listed("b"))) == {ip(2): 10}


def test_a_removed_server_that_returns_has_to_prove_itself_again() -> None:
    pool = after(healthy("abc"), listed("ab"), listed("abc"), resolved("c"))
    assert pool.servers["c"].reports == {M: None}
    assert standing(pool) == "a b"


def test_a_list_that_names_a_host_twice_means_the_last_line() -> None:
    pool = after(healthy("ab"), listed("ab", Member("a", 70)))
    assert wanted(pool) == {ip(1): 70, ip(2): 10}


def test_reports_on_hosts_not_in_the_pool_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, down("z")) is pool


def test_reports_of_monitors_not_of_the_service_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, down("a", N)) is pool


def test_addresses_of_hosts_not_in_the_pool_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, moved(z=3)) is pool


def test_with_initially_up_servers_are_pooled_before_their_first_report() -> None:
    pool = fresh("abcd", initially_up=True)
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("a"), up("b"), up("c"), up("d"))) == "b c d"


def test_an_unknown_server_does_not_count_as_serving_even_with_initially_up() -> None:
    assert standing(after(fresh("ab", initially_up=True), down("a"))) == "a! b"


def test_a_monitor_more_leaves_servers_as_they_are_until_it_says_otherwise() -> None:
    pool = after(healthy("abcd"), down("a"), Reconfigured(service(monitors=(M, N))))
    assert standing(pool) == "b c d"
    assert [str(pool.servers[host].health) for host in "ab"] == ["down", "up"]
    assert standing(after(pool, up("b", N), down("c", N), up("d", N))) == "b d"
    assert standing(after(pool, up("a"))) == "b c d", "of a server that was down the new monitor must speak first"


def test_another_monitor_neither_removes_who_was_up_nor_returns_who_was_down() -> None:
    pool = after(healthy("abcd"), down("a"), Reconfigured(service(monitors=(N,))))
    assert standing(pool) == "b c d"
    assert [str(pool.servers[host].health) for host in "ab"] == ["unknown", "up"]
    assert standing(after(pool, up("a", N), down("b", N))) == "a c d"


def test_a_server_that_stayed_up_without_a_report_is_unknown_at_another_address() -> None:
    pool = after(healthy("ab"), Reconfigured(service(monitors=(N,))), moved(a=9))
    assert [str(pool.servers[host].health) for host in "ab"] == ["unknown", "up"]
    assert pool.servers["a"].pending_monitors == frozenset()


def test_what_is_awaited_by_one_configuration_is_awaited_by_the_next_one_too() -> None:
    pool = after(healthy("ab"), Reconfigured(service(monitors=(N,))), Reconfigured(service(0.75, (N,))))
    assert [str(pool.servers[host].health) for host in "ab"] == ["up", "up"]


def test_a_monitor_less_forgets_what_it_said() -> None:
    pool = after(healthy("abcd", monitors=(M, N)), down("a", N), Reconfigured(service(monitors=(M,))))
    assert pool.servers["a"].reports == {M: Report(True)}
    assert standing(pool) == "a b c d"


def test_monitors_in_another_order_keep_their_reports() -> None:
    pool = after(healthy("ab", monitors=(M, N)), Reconfigured(service(monitors=(N, M))))
    assert list(pool.servers["a"].reports) == [N, M]
    assert standing(pool) == "a b"


def test_an_event_that_changes_nothing_returns_the_same_pool() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("c"), moved(z=1))
    for event in (
        listed("abcd"),
        resolved("abcd"),
        Resolved({}),
        moved(a=None),
        up("d"),
        down("a"),
        Reconfigured(service()),
    ):
        assert step(pool, event) is pool


def test_a_reload_that_changes_no_placement_is_a_change() -> None:
    assert after(healthy("ab"), Reconfigured(service(0.6))).service.depool_threshold == 0.6


def test_a_changed_order_of_the_list_is_a_change() -> None:
    assert list(after(healthy("abc"), listed("cab")).servers) == ["c", "a", "b"]


def test_servers_that_do_not_change_remain_the_same_objects() -> None:
    pool = healthy("abc", monitors=(M, N))
    for event in (down("a"), listed(off("a"), "bc"), listed("bc"), moved(a=9)):
        new = step(pool, event)
        assert new is not pool
        assert all(new.servers[host] is pool.servers[host] for host in "bc")


def test_a_report_that_differs_in_its_time_only_is_kept() -> None:
    pool = step(healthy("ab"), Reported("a", M, Report(True, at=7.0)))
    assert pool.servers["a"].reports[M] == Report(True, at=7.0)


def test_a_pool_cannot_be_changed_in_place() -> None:
    pool = healthy("ab")
    with pytest.raises(TypeError):
        pool.servers["a"] = pool.servers["b"]  # type: ignore[index]  # that it cannot be assigned to is the point
    assert replace(pool.servers["a"], placement=Placement.OUT) is not pool.servers["a"]


def test_a_forced_server_whose_accuser_goes_is_unknown_and_stays() -> None:
    pool = after(fresh("abc", monitors=(M, N)), up("a", M), up("a", N), down("b", M), down("c", M), up("c", N))
    assert standing(pool) == "a b!"
    assert standing(after(pool, Reconfigured(service(monitors=(N,))))) == "a b c"
