"""Correlated failures: their detection, and the policy that keeps such servers pooled."""

from __future__ import annotations

from dataclasses import replace

from pybal.core import policy
from pybal.core.correlated import correlated_failures, may_be_correlated
from pybal.core.events import Gathered, Reconfigured, Reported
from pybal.core.model import Health, Member, Pool, Report, Servers, SuspectCheck
from pybal.core.policy import arithmetic, wanted
from pybal.core.steps import finish
from tests.harness.pool_events import M, N, after, healthy, listed, off, service, standing, up

REDIRECT = "status: HTTP 301, wanted 200"


def fails(host: str, at: float, reason: str = REDIRECT, monitor: str = M) -> Reported:
    return Reported(host, monitor, Report(up=False, reason=reason, at=at, cause=reason))


def all_fail(hosts: str, step: float = 0.5, reason: str = REDIRECT) -> list[Reported]:
    return [fails(host, step * place, reason) for place, host in enumerate(hosts)]


def all_fail_from(at: float, hosts: str, step: float = 0.5) -> list[Reported]:
    return [fails(host, at + step * place) for place, host in enumerate(hosts)]


def at_once(pool: Pool, *reports: Reported) -> Pool:
    """Return the pool after these reports in one event."""
    return policy.step(pool, Gathered(reports))


def correlated(pool: Pool) -> list[str]:
    return [str(failures) for failures in finish(correlated_failures(pool.servers, 10.0))]


def holding(hosts: str, monitors: tuple[str, ...] = (M,)) -> Pool:
    pool = healthy(hosts, monitors=monitors)
    return replace(pool, service=replace(pool.service, suspect_check=SuspectCheck.HOLD))


def test_failures_are_correlated_when_half_of_the_up_servers_fail_alike() -> None:
    pool = after(healthy("abcdefghijklmnop"), *all_fail("abcdefgh"))
    assert correlated(pool) == [f'8 of 16 servers began to fail {M} with "{REDIRECT}" within 4 s']


def test_failures_are_not_correlated_when_fewer_than_half_fail() -> None:
    assert correlated(after(healthy("abcdefghijklmnop"), *all_fail("abcdefg"))) == []


def test_failures_of_two_servers_are_not_correlated() -> None:
    assert correlated(after(healthy("ab"), *all_fail("ab"))) == []
    assert len(correlated(after(healthy("abc"), *all_fail("abc")))) == 1


def test_failures_are_not_correlated_when_spread_over_two_intervals() -> None:
    assert correlated(after(healthy("abcd"), *all_fail("abcd", step=6.0))) == []
    assert len(correlated(after(healthy("abcd"), *all_fail("abcd", step=3.0)))) == 1


def test_failures_outside_the_interval_do_not_help_to_outnumber_passes() -> None:
    pool = after(healthy("abcdefgh"), fails("a", 0.0), *all_fail_from(100.0, "bcd"))
    assert correlated(pool) == []


def test_first_of_two_equally_large_groups_counts() -> None:
    pool = after(healthy("abcdefghi"), *all_fail("abc", step=1.0), *all_fail_from(100.0, "def", step=0.0))
    assert correlated(pool) == [f'3 of 6 servers began to fail {M} with "{REDIRECT}" within 2 s']


def test_failures_of_different_causes_are_not_correlated() -> None:
    events = [fails(host, 0.0, f"status: HTTP {500 + place}") for place, host in enumerate("abcd")]
    assert correlated(after(healthy("abcd"), *events)) == []


def test_servers_that_were_down_before_do_not_count_as_up() -> None:
    pool = after(healthy("abcdefgh"), *all_fail("efgh", step=100.0, reason="connect: refused"))
    assert correlated(after(pool, *(fails(host, 1000.0) for host in "abc"))) == [
        f'3 of 4 servers began to fail {M} with "{REDIRECT}" within 1 s'
    ]


def test_disabled_servers_do_not_count_for_correlation() -> None:
    pool = after(healthy("abcd"), listed("a", "b", off("c"), off("d")), *all_fail("abcd"))
    assert correlated(pool) == []


def test_20150613_redirected_check_url_depools_no_server_with_hold() -> None:
    pool = after(holding("abcdefghijklmnop"), *all_fail("abcdefghijklmnop"))
    assert len(wanted(pool)) == 16
    assert all(server.health is Health.DOWN for server in pool.servers.values())
    pool = after(pool, listed(*"abcdefghijklmno", Member("p", 20)))
    assert len(wanted(pool)) == 16


def test_20130418_timeouts_in_the_body_depool_no_server_with_hold() -> None:
    waits = "body: 1043 of 1043 bytes, then nothing"
    pool = after(holding("abcdef"), *all_fail("abcdef", reason=waits))
    assert standing(pool) == "a b c d e f"


def test_servers_return_when_their_failures_become_correlated() -> None:
    pool = after(holding("abcdef"), *all_fail("ab"))
    assert standing(pool) == "c d e f"
    assert standing(after(pool, fails("c", 2.0))) == "a b c d e f"


def test_held_server_leaves_when_another_monitor_fails() -> None:
    pool = after(holding("abcdef", monitors=(M, N)), *all_fail("abc"))
    assert standing(pool) == "a b c d e f"
    assert standing(after(pool, fails("a", 3.0, "connect: refused", N))) == "b c d e f"


def test_held_server_leaves_when_its_cause_changes() -> None:
    pool = after(holding("abcdef"), *all_fail("abc"))
    assert standing(after(pool, fails("a", 3.0, "connect: refused"))) == "b c d e f"


def test_last_held_server_stays_when_the_others_recover() -> None:
    pool = after(holding("abcdef"), *all_fail("abcdef"), *(up(host) for host in "abcde"))
    assert standing(pool) == "a b c d e f"


def test_last_held_server_stays_when_it_fails_again_in_the_same_way() -> None:
    pool = after(holding("abcdef"), *all_fail("abcdef"), *(up(host) for host in "abcde"))
    longer = Report(up=False, reason=f"{REDIRECT} (in 2 s)", at=100.0, cause=REDIRECT)
    assert standing(after(pool, Reported("f", M, longer))) == "a b c d e f"


def test_recovered_server_is_not_held_the_next_time() -> None:
    pool = after(holding("abcdef"), *all_fail("abc"), up("a"), up("b"), up("c"))
    assert standing(after(pool, fails("a", 500.0))) == "b c d e f"


def test_batch_holds_no_failure_before_the_correlated_ones() -> None:
    assert standing(at_once(holding("abcdef"), fails("a", 0.0), *all_fail_from(100.0, "bcd"))) == "b c d e f"


def test_batch_holds_no_late_report_of_an_early_failure() -> None:
    assert standing(at_once(holding("abcdef"), *all_fail_from(100.0, "abc"), fails("d", 0.0))) == "a b c d! e f"


def test_batch_holds_no_failure_after_a_recovery_among_the_correlated_ones() -> None:
    assert standing(at_once(holding("abcdef"), *all_fail("abcd"), up("a"), fails("e", 100.0))) == "a b c d e! f"


def test_batch_attributes_no_failure_that_ended() -> None:
    pool = at_once(holding("abcdef"), fails("a", 1.2), up("a"), *all_fail_from(1.0, "bcd"))
    assert [host for host, server in pool.servers.items() if server.suspect_failures] == ["b", "c", "d"]


def test_batch_holds_no_two_failures() -> None:
    assert standing(at_once(holding("abcde"), fails("a", 0.0), *all_fail_from(100.0, "bc"))) == "c! d e"


def test_batch_holds_no_fewer_failures_than_passes() -> None:
    assert standing(at_once(holding("abcdefgh"), fails("a", 0.0), *all_fail_from(100.0, "bcd"))) == "e f g h"


def test_threshold_alone_decides_by_default() -> None:
    assert service().suspect_check is SuspectCheck.ALERT
    pool = after(healthy("abcdef"), *all_fail("abcdef"))
    assert standing(pool) == "d! e! f!"


def test_empty_pool_has_no_correlated_failures() -> None:
    assert finish(correlated_failures(Servers(), 10.0)) == ()


def test_servers_that_recovered_serve_after_a_reload_from_hold_to_alert() -> None:
    pool = after(holding("abcdef"), *all_fail("abc"))
    pool = after(pool, Reconfigured(replace(pool.service, suspect_check=SuspectCheck.ALERT)), *map(up, "abc"))
    assert arithmetic(pool) == "serving 6 of 6, floor 3, 0 forced"
    assert standing(after(pool, fails("d", 60.0))) == "a b c e f"


def test_excuse_of_a_monitor_ends_with_a_reload_without_it() -> None:
    pool = after(holding("abcdef", monitors=(M, N)), *all_fail("abc"))
    assert all(pool.servers[host].suspect_failures for host in "abc")
    pool = after(pool, Reconfigured(replace(pool.service, monitors=(N,))))
    assert not any(server.suspect_failures for server in pool.servers.values())


def test_excuses_end_with_a_reload_from_hold_to_alert() -> None:
    pool = after(holding("abcdefgh"), *all_fail("abcd"))
    assert standing(pool) == "a b c d e f g h"
    pool = after(pool, Reconfigured(replace(pool.service, suspect_check=SuspectCheck.ALERT)))
    assert standing(pool) == "e f g h"


def test_servers_without_a_result_of_a_monitor_do_not_hide_its_failures() -> None:
    added = Reconfigured(service(monitors=(M, N), suspect_check=SuspectCheck.HOLD))
    pool = after(holding("abcdefghi"), added, *(fails(host, 0.0, monitor=N) for host in "abc"))
    assert correlated(pool) != []
    assert all(pool.servers[host].pooled for host in "abc")
    assert may_be_correlated(pool.servers)
