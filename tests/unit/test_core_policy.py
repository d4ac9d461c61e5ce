"""The rules of the pooling policy, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.core.events import Gathered, Reconfigured, Reported, Resolved
from pybal.core.model import Health, Member, Placement, Pool, Report
from pybal.core.policy import arithmetic, can_depool, floor, serving, step, too_small, wanted
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


def test_server_is_pooled_when_up_and_eligible() -> None:
    assert standing(healthy("abcd")) == "a b c d"


def test_down_server_leaves_when_enough_others_serve() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("c"))) == "b d"


def test_down_server_stays_forced_when_too_few_others_serve() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("c"), down("d"))) == "b d!"


def test_last_servers_to_fail_stay_when_all_fail() -> None:
    assert standing(after(healthy("abcd"), down("d"), down("b"), down("c"), down("a"))) == "a! c!"


def test_forced_servers_stay_when_fewer_than_the_floor_serve() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"))) == "a c! d!"


def test_forced_servers_leave_when_the_floor_serves_again() -> None:
    assert standing(after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"), up("b"))) == "a b"


def test_server_is_pooled_again_when_it_comes_up() -> None:
    assert standing(after(healthy("abcd"), down("a"), up("a"))) == "a b c d"


def test_forced_server_becomes_pooled_when_it_comes_up() -> None:
    assert standing(after(healthy("ab"), down("a"), down("b"), up("b"))) == "b"


def test_server_is_down_when_one_monitor_reports_down() -> None:
    pool = after(healthy("abcd", monitors=(M, N)), down("a", N))
    assert standing(pool) == "b c d"
    assert standing(after(pool, up("a", M))) == "b c d"
    assert standing(after(pool, up("a", N))) == "a b c d"


def test_server_is_unknown_until_every_monitor_has_reported() -> None:
    pool = fresh("ab", monitors=(M, N))
    pool = after(pool, up("b", M))
    assert pool.servers["b"].health is Health.UNKNOWN
    assert after(pool, up("b", N)).servers["b"].health is Health.UP


def test_disabled_server_is_not_pooled_when_up() -> None:
    assert standing(after(healthy("abc"), listed("a", off("b"), "c"))) == "a c"


def test_disabled_server_is_not_forced_in() -> None:
    assert standing(after(healthy("ab", threshold=1), listed("a", off("b")), down("a"))) == "a!"


def test_disabled_up_server_is_pooled_immediately_when_enabled() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), listed("abc"))
    assert standing(pool) == "a b c"


def test_disabled_down_server_is_not_pooled_when_enabled() -> None:
    pool = after(healthy("abc"), listed("a", off("b"), "c"), down("b"), listed("abc"))
    assert standing(pool) == "a c"


def test_server_without_an_address_is_not_pooled() -> None:
    pool = after(Pool(service(monitors=())), listed("ab"), resolved("a"))
    assert standing(pool) == "a"


def test_new_server_enters_at_its_first_up() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"))
    assert standing(pool) == "a b"
    assert standing(after(pool, up("c"))) == "a b c"


def test_new_server_does_not_enter_when_down() -> None:
    assert standing(after(healthy("ab"), listed("abc"), resolved("c"), down("c"))) == "a b"


def test_new_server_enters_unknown_when_the_floor_needs_it() -> None:
    pool = after(healthy("ab", threshold=1), listed("abc"), resolved("c"))
    assert standing(pool) == "a b c"
    assert standing(after(pool, down("c"))) == "a b c!"


def test_unknown_server_entered_for_the_floor_stays_until_it_is_down() -> None:
    pool = fresh("abcd")
    assert standing(pool) == "a b"
    pool = after(pool, up("c"), up("d"))
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("a"))) == "b c d"


def test_unknown_servers_enter_before_down_ones() -> None:
    pool = after(healthy("abcde", threshold=0.4), down("a"), down("b"), down("e"), moved(e=9))
    assert standing(pool) == "c d"
    assert standing(after(pool, Reconfigured(service(0.6)))) == "c d e"
    assert standing(after(pool, Reconfigured(service(0.8)))) == "a! c d e"


def test_servers_are_forced_in_by_the_order_of_the_source() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), listed("dcba"))
    assert standing(after(pool, Reconfigured(service(0.75)))) == "d c b!"


def test_pooled_servers_stay_before_others_enter() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("d"), down("c"))
    assert standing(pool) == "c! d!"
    assert standing(after(pool, Reconfigured(service(0.75)))) == "a! c! d!"


def test_servers_are_forced_in_only_up_to_the_floor() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"))
    assert standing(after(pool, listed("abd"))) == "a! d"


def test_forced_servers_leave_when_the_threshold_is_lowered() -> None:
    pool = after(healthy("abcd", threshold=1), down("a"), down("b"))
    assert standing(pool) == "a! b! c d"
    assert standing(after(pool, Reconfigured(service(0.5)))) == "c d"


def test_threshold_1_keeps_all_down_servers() -> None:
    assert standing(after(healthy("abc", threshold=1), down("a"), down("b"), down("c"))) == "a! b! c!"


def test_threshold_0_lets_every_server_leave() -> None:
    pool = after(healthy("ab", threshold=0), down("a"), down("b"))
    assert standing(pool) == ""
    assert can_depool(pool)


def test_tiny_threshold_keeps_one_server() -> None:
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
def test_floor_is_an_exact_ceiling_of_at_least_one(threshold: float, total: int, least: int) -> None:
    pool = after(Pool(service(threshold)), listed(*(Member(f"h{n}") for n in range(total))))
    assert floor(pool) == least


def test_wanted_set_of_an_empty_pool_is_empty() -> None:
    pool = after(healthy("ab"), listed())
    assert (dict(pool.servers), dict(wanted(pool)), serving(pool)) == ({}, {}, 0)


def test_empty_first_list_sets_listed() -> None:
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
def test_pool_is_too_small_by_the_formula_of_the_contract(threshold: float, total: int, *, small: bool) -> None:
    pool = after(Pool(service(threshold)), listed(*(Member(f"h{n}") for n in range(total))))
    assert too_small(pool) is small


def test_pool_can_depool_when_the_floor_serves() -> None:
    pool = after(healthy("abc"), down("a"))
    assert can_depool(pool)
    assert not can_depool(after(pool, down("b")))


def test_serving_counts_up_servers_enabled_and_with_an_address() -> None:
    pool = after(healthy("abcd"), down("a"), listed("a", off("b"), "cdef"), resolved("f"))
    assert serving(pool) == 2


def test_arithmetic_names_serving_floor_and_forced() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("c"), down("d"), up("a"))
    assert arithmetic(pool) == "serving 1 of 4, floor 2, 2 forced"


def test_weights_equal_those_of_the_members() -> None:
    pool = after(healthy("abc"), listed("a", Member("b", 30), Member("c", 0)))
    assert wanted(pool) == {ip(1): 10, ip(2): 30, ip(3): 0}


def test_first_pooled_server_at_a_shared_address_sets_the_weight() -> None:
    pool = after(Pool(service()), listed(Member("a", 1), Member("b", 2), Member("c", 3)), moved(a=9, b=9, c=9))
    pool = after(pool, up("b"), up("c"))
    assert standing(after(pool, down("a"))) == "b c"
    assert wanted(after(pool, down("a"))) == {ip(9): 2}


def test_shared_address_stays_while_one_of_its_servers_is_pooled() -> None:
    pool = after(healthy("abcd"), moved(b=1), up("b"))
    assert wanted(after(pool, down("a"))) == {ip(1): 10, ip(3): 10, ip(4): 10}
    assert wanted(after(pool, down("a"), down("b"))) == {ip(3): 10, ip(4): 10}


def test_removed_server_leaves_when_up() -> None:
    assert wanted(after(healthy("ab"), listed("b"))) == {ip(2): 10}


def test_removed_server_is_unknown_when_listed_again() -> None:
    pool = after(healthy("abc"), listed("ab"), listed("abc"), resolved("c"))
    assert pool.servers["c"].reports == {M: None}
    assert standing(pool) == "a b"


def test_last_line_counts_when_a_list_names_a_host_twice() -> None:
    pool = after(healthy("ab"), listed("ab", Member("a", 70)))
    assert wanted(pool) == {ip(1): 70, ip(2): 10}


def test_reports_on_hosts_outside_the_pool_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, down("z")) is pool


def test_reports_of_monitors_of_other_services_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, down("a", N)) is pool


def test_addresses_of_hosts_outside_the_pool_are_ignored() -> None:
    pool = healthy("ab")
    assert step(pool, moved(z=3)) is pool


def test_initially_up_pools_servers_before_their_first_report() -> None:
    pool = fresh("abcd", initially_up=True)
    assert standing(pool) == "a b c d"
    assert standing(after(pool, down("a"), up("b"), up("c"), up("d"))) == "b c d"


def test_unknown_server_is_not_serving_when_initially_up() -> None:
    assert standing(after(fresh("ab", initially_up=True), down("a"))) == "a! b"


def test_added_monitor_changes_no_server_until_it_reports() -> None:
    pool = after(healthy("abcd"), down("a"), Reconfigured(service(monitors=(M, N))))
    assert standing(pool) == "b c d"
    assert [str(pool.servers[host].health) for host in "ab"] == ["down", "up"]
    assert standing(after(pool, up("b", N), down("c", N), up("d", N))) == "b d"
    assert standing(after(pool, up("a"))) == "b c d", "a server that was down stays out until the new monitor reports"


def test_replaced_monitor_changes_no_server_until_it_reports() -> None:
    pool = after(healthy("abcd"), down("a"), Reconfigured(service(monitors=(N,))))
    assert standing(pool) == "b c d"
    assert [str(pool.servers[host].health) for host in "ab"] == ["unknown", "up"]
    assert standing(after(pool, up("a", N), down("b", N))) == "a c d"


def test_server_without_a_report_is_unknown_when_its_address_changes() -> None:
    pool = after(healthy("ab"), listed("b"), listed("ab"), Reconfigured(service(monitors=(N,))), moved(a=9))
    assert [str(pool.servers[host].health) for host in "ab"] == ["unknown", "up"]
    assert pool.servers["a"].pending_monitors == frozenset()


def test_pending_monitor_stays_pending_in_the_next_configuration() -> None:
    pool = after(healthy("ab"), Reconfigured(service(monitors=(N,))), Reconfigured(service(0.75, (N,))))
    assert [str(pool.servers[host].health) for host in "ab"] == ["up", "up"]


def test_removed_monitor_loses_its_reports() -> None:
    pool = after(healthy("abcd", monitors=(M, N)), down("a", N), Reconfigured(service(monitors=(M,))))
    assert pool.servers["a"].reports == {M: Report(True)}
    assert standing(pool) == "a b c d"


def test_reordered_monitors_keep_their_reports() -> None:
    pool = after(healthy("ab", monitors=(M, N)), Reconfigured(service(monitors=(N, M))))
    assert list(pool.servers["a"].reports) == [N, M]
    assert standing(pool) == "a b"


def test_event_without_effect_returns_the_same_pool() -> None:
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


def test_server_that_changes_and_changes_back_in_one_event_is_no_change() -> None:
    pool = healthy("abc")
    last = pool.servers["a"].reports[M]
    assert last is not None
    assert step(pool, Gathered((down("a"), Reported("a", M, last)))) is pool


def test_changed_threshold_is_a_change_without_a_new_placement() -> None:
    assert after(healthy("ab"), Reconfigured(service(0.6))).service.depool_threshold == 0.6


def test_changed_order_of_the_list_is_a_change() -> None:
    assert list(after(healthy("abc"), listed("cab")).servers) == ["c", "a", "b"]


def test_unchanged_servers_remain_the_same_objects() -> None:
    pool = healthy("abc", monitors=(M, N))
    for event in (down("a"), listed(off("a"), "bc"), listed("bc"), moved(a=9)):
        new = step(pool, event)
        assert new is not pool
        assert all(new.servers[host] is pool.servers[host] for host in "bc")


def test_report_that_differs_only_in_time_is_stored() -> None:
    pool = step(healthy("ab"), Reported("a", M, Report(True, at=7.0)))
    assert pool.servers["a"].reports[M] == Report(True, at=7.0, since=0.0)


def test_state_keeps_its_beginning_while_its_reason_changes() -> None:
    failed = [Report(False, reason, at, cause=reason) for reason, at in (("refused", 7.0), ("timeout", 9.0))]
    pool = after(healthy("ab"), *(Reported("a", M, report) for report in failed))
    assert pool.servers["a"].reports[M] == Report(False, "timeout", 9.0, "timeout", since=7.0)
    again = step(pool, Reported("a", M, failed[1]))
    assert again is pool
    assert step(pool, Reported("a", M, Report(True, at=12.0))).servers["a"].reports[M] == Report(True, at=12.0)


def test_server_forced_within_a_batch_leaves_when_another_returns_in_it() -> None:
    pool = healthy("abcd")
    assert standing(step(pool, Gathered([down("a"), down("b"), down("c")]))) == "c! d"
    assert standing(step(pool, Gathered([down("a"), down("b"), down("c"), up("a")]))) == "a d"


def test_pool_is_immutable() -> None:
    pool = healthy("ab")
    with pytest.raises(TypeError):
        pool.servers["a"] = pool.servers["b"]  # type: ignore[index]  # the assignment must fail
    assert replace(pool.servers["a"], placement=Placement.OUT) is not pool.servers["a"]


def test_forced_server_stays_unknown_when_its_failing_monitor_goes() -> None:
    pool = after(fresh("abc", monitors=(M, N)), up("a", M), up("a", N), down("b", M), down("c", M), up("c", N))
    assert standing(pool) == "a b!"
    assert standing(after(pool, Reconfigured(service(monitors=(N,))))) == "a b c"
