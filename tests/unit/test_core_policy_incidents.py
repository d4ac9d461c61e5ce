"""What went wrong before, and must be impossible now: the rows of "Pooling" in incidents.md that the policy covers."""

from __future__ import annotations

from pybal.core.changes import ChangeKind, changes
from pybal.core.model import Health, Member, Pool
from pybal.core.policy import (
    Listed,
    Reconfigured,
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
    up,
)


def test_20150613_an_edit_of_a_pool_that_is_all_down_does_not_empty_it() -> None:
    pool = after(healthy("abcdefgh"), *(down(host, reason="status: HTTP 301, wanted 200") for host in "abcdefgh"))
    assert standing(pool) == "e! f! g! h!"
    assert standing(after(pool, listed("abcdefg", Member("h", 20)))) == "e! f! g! h!"
    assert standing(after(pool, listed("abcdefg", off("h")))) == "a! e! f! g!"
    assert standing(after(pool, listed("abcdefg"))) == "a! e! f! g!"
    assert standing(after(pool, listed("hgfedcba"))) == "h! g! f! e!"


def test_20150613_a_new_pool_whose_servers_are_all_down_is_not_empty() -> None:
    pool = after(Pool(service()), listed("abcd"), resolved("abcd"), *(down(host) for host in "abcd"))
    assert standing(pool) == "a! b!"


def test_20150613_no_reload_empties_a_pool_that_is_all_down() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"))
    assert standing(after(pool, Reconfigured(service(monitors=(N,))))) == "c d"
    assert standing(after(pool, Reconfigured(service(0.75)))) == "a! c! d!"
    assert standing(after(pool, Reconfigured(service(0.2)))) == "c! d!"


def test_20150613_no_change_of_addresses_empties_a_pool_that_is_all_down() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"), moved(c=7, d=8))
    assert wanted(pool) == {ip(7): 10, ip(8): 10}


def test_20150613_a_pool_that_is_down_but_pooled_is_told() -> None:
    pool = after(healthy("abcd"), *(down(host) for host in "abcd"))
    assert [s.host for s in pool.servers.values() if s.pooled_down] == ["c", "d"]


def test_t184715_disabled_servers_do_not_count_as_serving() -> None:
    pool = after(healthy("abcd"), listed("ab", off("c"), off("d")))
    assert not can_depool(after(pool, down("a")))
    assert standing(after(pool, down("a"))) == "a! b"


def test_20230516_the_last_serving_server_is_never_depooled() -> None:
    pool = after(healthy("ab"), listed("a", off("b")), down("a"))
    assert wanted(pool) == {ip(1): 10}
    assert list(changes(after(healthy("ab"), listed("a", off("b"))), pool))[-1].kind is ChangeKind.NOT_DEPOOLED


def test_20230516_the_decision_is_about_the_state_after_the_removal() -> None:
    assert standing(after(healthy("abc"), down("a"), down("b"))) == "b! c"


def test_20210716_disabled_servers_count_for_the_total_and_the_numbers_are_said() -> None:
    pool = after(healthy("abcdefghij", threshold=0.8), listed("abcdefgh", off("i"), off("j")), down("a"), down("b"))
    assert (floor(pool), serving(pool)) == (8, 6)
    assert arithmetic(pool) == "serving 6 of 10, floor 8, 2 forced"
    assert standing(pool) == "a! b! c d e f g h"


def test_20210716_the_dead_of_a_rack_leave_when_the_operator_takes_the_disabled_out() -> None:
    pool = after(healthy("abcdefghij", threshold=0.8), listed("abcdefgh", off("i"), off("j")), down("a"))
    assert standing(after(pool, listed("abcdefgh"))) == "b c d e f g h"


def test_t177815_a_pool_of_one_server_is_not_too_small() -> None:
    assert not too_small(healthy("a"))
    assert not too_small(healthy("a", threshold=1))


def test_t177815_the_one_server_of_a_pool_stays_when_it_is_down() -> None:
    assert standing(after(healthy("a"), down("a"))) == "a!"


def test_t176388_forced_and_pooled_but_down_are_read_from_the_state_alone() -> None:
    pool = after(healthy("ab"), down("a"), down("b"))
    assert pool.servers["b"].pooled_down
    pool = after(pool, up("b"))
    assert not any(server.pooled_down for server in pool.servers.values())


def test_a_list_change_depools_nobody_of_a_service_without_monitors() -> None:
    pool = healthy("abc", monitors=())
    assert standing(after(pool, listed("abcd"), resolved("d"))) == "a b c d"
    assert standing(after(pool, listed("cba"))) == "c b a"
    assert all(server.health is Health.UP for server in pool.servers.values())


def test_20220908_a_stale_list_that_disables_half_is_obeyed() -> None:
    pool = after(healthy("abcd"), listed(off("a"), off("b"), off("c"), "d"))
    assert standing(pool) == "d"
    assert floor(pool) == 2


def test_20230222_a_list_that_disables_everybody_is_obeyed() -> None:
    assert wanted(after(healthy("ab"), listed(off("a"), off("b")))) == {}


def test_t176388_the_reason_of_each_monitor_is_kept() -> None:
    pool = after(healthy("abc", monitors=(M, N)), down("a", M, "status: HTTP 500, wanted 200"))
    report = pool.servers["a"].reports[M]
    assert report is not None
    assert report.reason == "status: HTTP 500, wanted 200"
    assert standing(pool) == "b c"


def test_a_pool_replaced_wholesale_is_never_empty_not_even_while_the_resolver_is_down() -> None:
    pool = after(healthy("abcd"), listed("efgh"))
    assert wanted(pool) == wanted(healthy("abcd"))
    pool = after(pool, resolved("g"), up("g"))
    assert set(wanted(pool)) == {*wanted(healthy("abcd")), address("g")}
    pool = after(pool, resolved("efh"))
    assert standing(pool) == "e g"
    assert len(wanted(pool)) == 2


def test_a_pool_replaced_by_nobody_or_by_names_without_an_address_is_empty() -> None:
    assert wanted(after(healthy("ab"), Listed(()))) == {}
    assert wanted(after(healthy("ab"), listed("cd"), moved(c=None, d=None))) == {}


def test_a_disabled_server_leaves_at_once_whatever_else_is_on_the_list() -> None:
    assert wanted(after(healthy("ab"), listed(off("a"), "c"))) == {address("b"): 10}


def test_a_list_delivered_again_by_a_restarted_source_changes_nothing() -> None:
    pool = after(healthy("abcd"), down("a"), down("b"), down("c"))
    assert step(pool, Listed(tuple(map(Member, "abcd")))) is pool
