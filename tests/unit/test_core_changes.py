"""The changes between two states of a pool, and their order."""

from __future__ import annotations

from pybal.core.changes import ChangeKind, changes
from pybal.core.events import Adopted, Event, Reconfigured
from pybal.core.model import Health, Member, Placement, Pool
from pybal.core.policy import step
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
    tried,
    up,
)


def reported(pool: Pool, event: Event) -> list[tuple[ChangeKind, str]]:
    return [(change.kind, change.server.host) for change in changes(pool, step(pool, event))]


def test_changes_are_empty_when_no_server_differs() -> None:
    assert reported(healthy("ab"), listed("ab")) == []
    assert reported(healthy("abc"), listed("cab")) == []


def test_new_members_are_reported_in_the_order_of_the_list() -> None:
    assert reported(Pool(service()), listed("ba")) == [(ChangeKind.NEW, "b"), (ChangeKind.NEW, "a")]


def test_first_address_is_reported_only_through_its_decision() -> None:
    assert reported(after(healthy("ab"), listed("abc")), resolved("c")) == []
    assert reported(after(Pool(service(monitors=())), listed("a")), resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_unknown_server_that_the_floor_needs_is_reported_as_pooled() -> None:
    assert reported(after(Pool(service()), listed("a")), resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_adopted_server_is_reported_as_pooled() -> None:
    pool = after(Pool(service()), Adopted({address("a"): 10}), listed("a"))
    assert reported(pool, resolved("a")) == [(ChangeKind.REPOOLED, "a")]


def test_removal_has_the_state_before() -> None:
    pool = healthy("abc")
    (removed,) = changes(pool, step(pool, listed("ab")))
    assert (removed.kind, removed.server) == (ChangeKind.REMOVED, pool.servers["c"])
    assert removed.server.status == "enabled/up/pooled"


def test_facts_precede_decisions() -> None:
    pool = after(healthy("abcdef"), down("a"), down("b"), down("c"))
    assert reported(pool, listed("a", Member("b", 30), "cd", off("e"), "g")) == [
        (ChangeKind.REMOVED, "f"),
        (ChangeKind.NEW, "g"),
        (ChangeKind.MERGED, "b"),
        (ChangeKind.MERGED, "e"),
        (ChangeKind.FORCED_IN, "a"),
        (ChangeKind.FORCED_IN, "b"),
        (ChangeKind.DEPOOLED, "e"),
    ]


def test_changed_member_is_reported_with_its_new_state() -> None:
    pool = healthy("ab")
    (merged,) = changes(pool, step(pool, listed(Member("a", 30), "b")))
    assert (merged.kind, merged.server.member.weight) == (ChangeKind.MERGED, 30)


def test_disabled_server_is_merged_and_depooled() -> None:
    pool = healthy("ab")
    merged, depooled = changes(pool, step(pool, listed(off("a"), "b")))
    assert (merged.kind, depooled.kind) == (ChangeKind.MERGED, ChangeKind.DEPOOLED)
    assert depooled.server.status == "disabled/up/not pooled"


def test_reenabled_server_is_merged_and_pooled() -> None:
    pool = after(healthy("ab"), listed(off("a"), "b"))
    assert reported(pool, listed("ab")) == [(ChangeKind.MERGED, "a"), (ChangeKind.REPOOLED, "a")]


def test_changed_address_is_reported_with_the_new_one() -> None:
    pool = healthy("ab")
    moving = step(pool, moved(a=7))
    (change,) = changes(pool, moving)
    assert (change.kind, change.server.address) == (ChangeKind.MOVING, ip(1))
    (change,) = changes(moving, step(moving, tried("a")))
    assert (change.kind, change.server.address) == (ChangeKind.MOVED, ip(7))


def test_unresolvable_name_is_reported_once() -> None:
    pool = after(Pool(service()), listed("ab"))
    assert reported(pool, moved(a=None)) == [(ChangeKind.UNRESOLVABLE, "a")]
    assert reported(step(pool, moved(a=None)), moved(a=None)) == []
    assert reported(step(pool, moved(a=None)), moved(b=None)) == [(ChangeKind.UNRESOLVABLE, "b")]
    assert reported(step(pool, moved(a=None)), listed(Member("a", 30), "b")) == [(ChangeKind.MERGED, "a")]


def test_down_report_has_state_before_and_reason_and_precedes_depooling() -> None:
    pool = healthy("ab", monitors=(M, N))
    reported_down, depooled = changes(pool, step(pool, down("a", N, "connect: refused")))
    assert (reported_down.kind, reported_down.monitor, reported_down.reason) == (
        ChangeKind.REPORTED_DOWN,
        N,
        "connect: refused",
    )
    assert reported_down.status == "enabled/up/pooled"
    assert (depooled.kind, depooled.server.status) == (ChangeKind.DEPOOLED, "enabled/partially up/not pooled")


def test_second_down_monitor_is_reported_as_well() -> None:
    pool = after(healthy("abc", monitors=(M, N)), down("a", M))
    (reported_down,) = changes(pool, step(pool, down("a", N)))
    assert (reported_down.kind, reported_down.monitor, reported_down.status) == (
        ChangeKind.REPORTED_DOWN,
        N,
        "enabled/down/not pooled",
    )


def test_first_report_of_down_is_reported() -> None:
    pool = after(healthy("ab"), listed("abc"), resolved("c"))
    assert reported(pool, down("c")) == [(ChangeKind.REPORTED_DOWN, "c")]


def test_down_is_reported_again_only_when_its_reason_changes() -> None:
    pool = after(healthy("abc"), down("a", reason="connect: refused"))
    assert reported(pool, down("a", reason="connect: refused")) == []
    assert reported(pool, down("a", reason="status: HTTP 500, wanted 200")) == [(ChangeKind.REPORTED_DOWN, "a")]


def test_server_that_must_stay_is_reported_as_not_depooled() -> None:
    pool = healthy("a")
    reported_down, kept = changes(pool, step(pool, down("a")))
    assert (reported_down.kind, kept.kind) == (ChangeKind.REPORTED_DOWN, ChangeKind.NOT_DEPOOLED)
    assert kept.server.placement is Placement.FORCED


def test_server_that_must_stay_is_reported_once() -> None:
    pool = after(healthy("a", monitors=(M, N)), down("a", M))
    assert reported(pool, down("a", N)) == [(ChangeKind.REPORTED_DOWN, "a")]


def test_unknown_server_needed_by_the_floor_is_not_depooled_when_down() -> None:
    pool = fresh("a")
    assert pool.servers["a"].health is Health.UNKNOWN
    assert reported(pool, down("a")) == [(ChangeKind.REPORTED_DOWN, "a"), (ChangeKind.NOT_DEPOOLED, "a")]


def test_up_server_is_reported_as_partially_up_and_then_pooled() -> None:
    pool = after(healthy("ab"), down("a"))
    came_up, pooled = changes(pool, step(pool, up("a")))
    assert (came_up.kind, came_up.status) == (ChangeKind.UP, "enabled/partially up/not pooled")
    assert (pooled.kind, pooled.server.status) == (ChangeKind.REPOOLED, "enabled/up/pooled")


def test_disabled_server_that_comes_up_is_reported_as_up_only() -> None:
    pool = after(healthy("ab"), listed("a", off("b")), down("b"))
    assert reported(pool, up("b")) == [(ChangeKind.UP, "b")]


def test_pooled_server_is_reported_as_up_only_at_its_first_up() -> None:
    pool = after(Pool(service()), Adopted({address("a"): 10}), listed("a"), resolved("a"))
    assert reported(pool, up("a")) == [(ChangeKind.UP, "a")]


def test_forced_server_that_comes_up_is_left_pooled() -> None:
    assert reported(after(healthy("a"), down("a")), up("a")) == [(ChangeKind.UP, "a"), (ChangeKind.LEFT_POOLED, "a")]


def test_forced_server_that_is_adopted_is_not_reported_as_left_pooled() -> None:
    assert reported(fresh("a"), Adopted({address("a"): 10})) == []


def test_forced_servers_that_leave_are_reported_after_the_up_server() -> None:
    pool = after(healthy("abcd"), down("c"), down("b"), down("a"), down("d"), up("c"))
    assert reported(pool, up("b")) == [
        (ChangeKind.UP, "b"),
        (ChangeKind.DEPOOLED, "a"),
        (ChangeKind.REPOOLED, "b"),
        (ChangeKind.DEPOOLED, "d"),
    ]


def test_higher_threshold_reports_the_servers_it_forces_in() -> None:
    pool = after(healthy("abc"), down("a"))
    assert reported(pool, Reconfigured(service(1))) == [(ChangeKind.FORCED_IN, "a")]


def test_down_servers_are_reported_as_up_when_the_last_monitor_goes() -> None:
    pool = after(healthy("ab"), down("a"), down("b"))
    assert reported(pool, Reconfigured(service(monitors=()))) == [
        (ChangeKind.UP, "a"),
        (ChangeKind.UP, "b"),
        (ChangeKind.REPOOLED, "a"),
        (ChangeKind.LEFT_POOLED, "b"),
    ]


def test_report_of_a_removed_monitor_is_not_reported() -> None:
    pool = after(healthy("ab"), down("a"))
    assert reported(pool, Reconfigured(service(monitors=(N,)))) == []
