"""What is told of the difference between two states of a pool, and in which order."""

from __future__ import annotations

from pybal.core.changes import ChangeKind, changes
from pybal.core.model import Health, Member, Placement, Pool
from pybal.core.policy import Adopted, Event, Reconfigured, step
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
    up,
)


def told(pool: Pool, event: Event) -> list[tuple[ChangeKind, str]]:
    return [(change.kind, change.server.host) for change in changes(pool, step(pool, event))]


def test_of_no_difference_nothing_is_told() -> None:
    assert told(healthy("ab"), listed("ab")) == []
    assert told(healthy("abc"), listed("cab")) == []


def test_new_members_are_told_in_the_order_of_the_list() -> None:
    assert told(Pool(service()), listed("ba")) == [(ChangeKind.NEW, "b"), (ChangeKind.NEW, "a")]


def test_a_name_found_is_told_only_by_what_follows_from_it() -> None:
    assert told(after(healthy("ab"), listed("abc")), resolved("c")) == []
    assert told(after(Pool(service(monitors=())), listed("a")), resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_an_unknown_server_that_enters_for_the_floor_is_told_as_pooled() -> None:
    assert told(after(Pool(service()), listed("a")), resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_an_adopted_server_is_told_as_pooled() -> None:
    pool = after(Pool(service()), Adopted({address("a"): 10}), listed("a"))
    assert told(pool, resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_a_removal_is_told_with_the_state_before() -> None:
    pool = healthy("abc")
    (removed,) = changes(pool, step(pool, listed("ab")))
    assert (removed.kind, removed.server) == (ChangeKind.REMOVED, pool.servers["c"])
    assert removed.server.status == "enabled/up/pooled"


def test_what_was_learnt_is_told_before_what_was_decided() -> None:
    pool = after(healthy("abcdef"), down("a"), down("b"), down("c"))
    assert told(pool, listed("a", Member("b", 30), "cd", off("e"), "g")) == [
        (ChangeKind.REMOVED, "f"),
        (ChangeKind.NEW, "g"),
        (ChangeKind.MERGED, "b"),
        (ChangeKind.MERGED, "e"),
        (ChangeKind.FORCED_IN, "a"),
        (ChangeKind.FORCED_IN, "b"),
        (ChangeKind.DEPOOLED, "e"),
    ]


def test_a_member_that_changes_is_told_with_its_new_state() -> None:
    pool = healthy("ab")
    (merged,) = changes(pool, step(pool, listed(Member("a", 30), "b")))
    assert (merged.kind, merged.server.member.weight) == (ChangeKind.MERGED, 30)


def test_a_disabled_server_is_merged_and_depooled() -> None:
    pool = healthy("ab")
    merged, depooled = changes(pool, step(pool, listed(off("a"), "b")))
    assert (merged.kind, depooled.kind) == (ChangeKind.MERGED, ChangeKind.DEPOOLED)
    assert depooled.server.status == "disabled/up/not pooled"


def test_a_server_enabled_again_is_merged_and_pooled() -> None:
    pool = after(healthy("ab"), listed(off("a"), "b"))
    assert told(pool, listed("ab")) == [(ChangeKind.MERGED, "a"), (ChangeKind.REPOOLED, "a")]


def test_an_address_that_changes_is_told_with_the_new_one() -> None:
    pool = healthy("ab")
    (change,) = changes(pool, step(pool, moved(a=7)))
    assert (change.kind, change.server.address) == (ChangeKind.MOVED, ip(7))


def test_a_name_without_an_address_is_told_once() -> None:
    pool = after(Pool(service()), listed("ab"))
    assert told(pool, moved(a=None)) == [(ChangeKind.UNRESOLVABLE, "a")]
    assert told(step(pool, moved(a=None)), moved(a=None)) == []
    assert told(step(pool, moved(a=None)), moved(b=None)) == [(ChangeKind.UNRESOLVABLE, "b")]
    assert told(step(pool, moved(a=None)), listed(Member("a", 30), "b")) == [(ChangeKind.MERGED, "a")]


def test_a_server_said_down_is_told_with_the_state_before_and_the_reason_and_then_depooled() -> None:
    pool = healthy("ab", monitors=(M, N))
    said, depooled = changes(pool, step(pool, down("a", N, "connect: refused")))
    assert (said.kind, said.monitor, said.reason) == (ChangeKind.REPORTED_DOWN, N, "connect: refused")
    assert said.server.status == "enabled/up/pooled"
    assert (depooled.kind, depooled.server.status) == (ChangeKind.DEPOOLED, "enabled/partially up/not pooled")


def test_a_second_monitor_that_says_down_is_told_as_well() -> None:
    pool = after(healthy("abc", monitors=(M, N)), down("a", M))
    (said,) = changes(pool, step(pool, down("a", N)))
    assert (said.kind, said.monitor, said.server.status) == (
        ChangeKind.REPORTED_DOWN,
        N,
        "enabled/partially up/not pooled",
    )


def test_a_first_report_of_down_is_told() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"))
    assert told(pool, down("c")) == [(ChangeKind.REPORTED_DOWN, "c")]


def test_another_reason_is_told_and_the_same_one_is_not() -> None:
    pool = after(healthy("abc"), down("a", reason="connect: refused"))
    assert told(pool, down("a", reason="connect: refused")) == []
    assert told(pool, down("a", reason="status: HTTP 500, wanted 200")) == [(ChangeKind.REPORTED_DOWN, "a")]


def test_a_server_that_has_to_stay_is_told_as_not_depooled() -> None:
    pool = healthy("a")
    said, kept = changes(pool, step(pool, down("a")))
    assert (said.kind, kept.kind) == (ChangeKind.REPORTED_DOWN, ChangeKind.NOT_DEPOOLED)
    assert kept.server.placement is Placement.FORCED


def test_a_server_that_has_to_stay_is_told_once() -> None:
    pool = after(healthy("a", monitors=(M, N)), down("a", M))
    assert told(pool, down("a", N)) == [(ChangeKind.REPORTED_DOWN, "a")]


def test_an_unknown_server_that_was_forced_in_and_is_down_could_not_be_depooled() -> None:
    pool = fresh("a")
    assert pool.servers["a"].health is Health.UNKNOWN
    assert told(pool, down("a")) == [(ChangeKind.REPORTED_DOWN, "a"), (ChangeKind.NOT_DEPOOLED, "a")]


def test_a_server_that_comes_up_is_told_with_its_new_state_and_then_pooled() -> None:
    pool = after(healthy("ab"), down("a"))
    risen, pooled = changes(pool, step(pool, up("a")))
    assert (risen.kind, risen.server.status) == (ChangeKind.UP, "enabled/up/pooled")
    assert (pooled.kind, pooled.server) == (ChangeKind.REPOOLED, risen.server)


def test_a_disabled_server_that_comes_up_is_told_as_up_only() -> None:
    pool = after(healthy("ab"), listed("a", off("b")), down("b"))
    assert told(pool, up("b")) == [(ChangeKind.UP, "b")]


def test_a_pooled_server_that_comes_up_for_the_first_time_is_told_as_up_only() -> None:
    pool = after(Pool(service()), Adopted({address("a"): 10}), listed("a"), resolved("a"))
    assert told(pool, up("a")) == [(ChangeKind.UP, "a")]


def test_a_forced_server_that_comes_up_is_left_pooled() -> None:
    assert told(after(healthy("a"), down("a")), up("a")) == [(ChangeKind.UP, "a"), (ChangeKind.LEFT_POOLED, "a")]


def test_a_forced_server_that_is_adopted_is_not_told_as_left_pooled() -> None:
    assert told(fresh("a"), Adopted({address("a"): 10})) == []


def test_forced_servers_that_leave_are_told_after_what_freed_them() -> None:
    pool = after(healthy("abcd"), down("c"), down("b"), down("a"), down("d"), up("c"))
    assert told(pool, up("b")) == [
        (ChangeKind.UP, "b"),
        (ChangeKind.DEPOOLED, "a"),
        (ChangeKind.REPOOLED, "b"),
        (ChangeKind.DEPOOLED, "d"),
    ]


def test_a_threshold_that_forces_servers_in_is_told() -> None:
    pool = after(healthy("abc"), down("a"))
    assert told(pool, Reconfigured(service(1))) == [(ChangeKind.FORCED_IN, "a")]


def test_servers_that_count_as_up_because_no_monitor_is_left_are_told() -> None:
    pool = after(healthy("ab"), down("a"), down("b"))
    assert told(pool, Reconfigured(service(monitors=()))) == [
        (ChangeKind.UP, "a"),
        (ChangeKind.UP, "b"),
        (ChangeKind.REPOOLED, "a"),
        (ChangeKind.LEFT_POOLED, "b"),
    ]


def test_what_a_monitor_said_that_is_no_more_is_not_told() -> None:
    pool = after(healthy("ab"), down("a"))
    assert told(pool, Reconfigured(service(monitors=(N,)))) == []
