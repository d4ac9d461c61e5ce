"""Past incidents that the policy must prevent: the rows of "Pooling" in incidents.md."""

from __future__ import annotations

from pybal.core.changes import ChangeKind, changes
from pybal.core.events import Listed, Overdue, Reconfigured
from pybal.core.model import Health, Member, Pool
from pybal.core.policy import arithmetic, can_depool, floor, serving, step, too_small, wanted
from tests.harness.pool_events import (
    M,
    N,
    address,
    after,
    down,
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


def test_20150613_edit_does_not_empty_an_all_down_pool() -> None:
    pool = after(healthy("abcdefgh"), *(down(host, reason="status: HTTP 301, wanted 200") for host in "abcdefgh"))
    assert standing(pool) == "e! f! g! h!"
    assert standing(after(pool, listed("abcdefg", Member("h", 20)))) == "e! f! g! h!"
    assert standing(after(pool, listed("abcdefg", off("h")))) == "a! e! f! g!"
    assert standing(after(pool, listed("abcdefg"))) == "a! e! f! g!"
    assert standing(after(pool, listed("hgfedcba"))) == "h! g! f! e!"


def test_20150613_new_all_down_pool_is_not_empty() -> None:
    pool = after(Pool(service()), listed("abcd"), resolved("abcd"), *(down(host) for host in "abcd"))
    assert standing(pool) == "a! b!"


def test_20150613_reload_does_not_empty_an_all_down_pool() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"))
    assert standing(after(pool, Reconfigured(service(monitors=(N,))))) == "c d"
    assert standing(after(pool, Reconfigured(service(0.75)))) == "a! c! d!"
    assert standing(after(pool, Reconfigured(service(0.2)))) == "c! d!"


def test_20150613_new_addresses_do_not_empty_an_all_down_pool() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"), moved(c=7, d=8))
    assert wanted(pool) == {ip(3): 10, ip(4): 10}
    assert wanted(after(pool, tried("c"), tried("d"))) == {ip(7): 10, ip(8): 10}


def test_20150613_pooled_down_servers_are_reported() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"))
    assert [s.host for s in pool.servers.values() if s.pooled_down] == ["c", "d"]


def test_t184715_disabled_servers_do_not_count_as_serving() -> None:
    pool = after(healthy("abcd"), listed("ab", off("c"), off("d")))
    assert not can_depool(after(pool, down("a")))
    assert standing(after(pool, down("a"))) == "a! b"


def test_20230516_last_serving_server_is_never_depooled() -> None:
    pool = after(healthy("ab"), listed("a", off("b")), down("a"))
    assert wanted(pool) == {ip(1): 10}
    assert list(changes(after(healthy("ab"), listed("a", off("b"))), pool))[-1].kind is ChangeKind.NOT_DEPOOLED


def test_20230516_decision_counts_the_state_after_the_removal() -> None:
    assert standing(after(healthy("abc"), down("a"), down("b"))) == "b! c"


def test_20210716_disabled_servers_count_for_the_total() -> None:
    pool = after(healthy("abcdefghij", threshold=0.8), listed("abcdefgh", off("i"), off("j")), down("a"), down("b"))
    assert (floor(pool), serving(pool)) == (8, 6)
    assert arithmetic(pool) == "serving 6 of 10, floor 8, 2 forced, 2 disabled"
    assert standing(pool) == "a! b! c d e f g h"


def test_20210716_dead_servers_leave_when_disabled_ones_are_removed() -> None:
    pool = after(healthy("abcdefghij", threshold=0.8), listed("abcdefgh", off("i"), off("j")), down("a"))
    assert standing(after(pool, listed("abcdefgh"))) == "b c d e f g h"


def test_t177815_pool_of_one_server_is_not_too_small() -> None:
    assert not too_small(healthy("a"))
    assert not too_small(healthy("a", threshold=1))


def test_t177815_only_server_of_a_pool_stays_when_down() -> None:
    assert standing(after(healthy("a"), down("a"))) == "a!"


def test_t176388_pooled_down_follows_from_the_state_alone() -> None:
    pool = after(healthy("ab"), down("a"), down("b"))
    assert pool.servers["b"].pooled_down
    pool = after(pool, up("b"))
    assert not any(server.pooled_down for server in pool.servers.values())


def test_list_change_depools_no_server_without_monitors() -> None:
    pool = healthy("abc", monitors=())
    assert standing(after(pool, listed("abcd"), resolved("d"))) == "a b c d"
    assert standing(after(pool, listed("cba"))) == "c b a"
    assert all(server.health is Health.UP for server in pool.servers.values())


def test_20220908_list_that_disables_half_is_applied() -> None:
    pool = after(healthy("abcd"), listed(off("a"), off("b"), off("c"), "d"))
    assert standing(pool) == "d"
    assert floor(pool) == 2


def test_20230222_list_that_disables_all_is_applied() -> None:
    assert wanted(after(healthy("ab"), listed(off("a"), off("b")))) == {}


def test_t176388_reason_of_each_monitor_is_kept() -> None:
    pool = after(healthy("abc", monitors=(M, N)), down("a", M, "status: HTTP 500, wanted 200"))
    report = pool.servers["a"].reports[M]
    assert report is not None
    assert report.reason == "status: HTTP 500, wanted 200"
    assert standing(pool) == "b c"


def test_replaced_pool_is_never_empty_while_the_resolver_fails() -> None:
    pool = after(healthy("abcd"), listed("efgh"))
    assert wanted(pool) == wanted(healthy("abcd"))
    pool = after(pool, resolved("g"), tried("g"))
    assert set(wanted(pool)) == {*wanted(healthy("abcd")), address("g")}
    pool = after(pool, resolved("efh"))
    assert set(wanted(pool)) == {*wanted(healthy("abcd")), address("g")}
    pool = after(pool, Overdue(frozenset("efh")))
    assert set(wanted(pool)) == {*wanted(healthy("abcd")), address("g")}
    assert set(wanted(after(pool, tried("e")))) == {address("e"), address("g")}


def test_pool_is_empty_when_replaced_by_no_members() -> None:
    assert wanted(after(healthy("ab"), Listed(()))) == {}


def test_pool_stays_when_replaced_by_unresolvable_members() -> None:
    assert wanted(after(healthy("ab"), listed("cd"), moved(c=None, d=None))) == {ip(1): 10, ip(2): 10}


def test_disabled_server_leaves_immediately_beside_unresolved_ones() -> None:
    assert wanted(after(healthy("ab"), listed(off("a"), "c"))) == {address("b"): 10}


def test_list_delivered_again_changes_nothing() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("c"))
    assert step(pool, Listed(tuple(map(Member, "abcd")))) is pool
