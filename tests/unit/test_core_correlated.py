"""When the check is the suspect: claims on the pure function, and on the policy that holds servers for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from pybal.core.correlated import correlated_failures
from pybal.core.model import Health, Member, Pool, Report, Server, SuspectCheck
from pybal.core.policy import Reported, wanted
from tests.harness.pool_events import M, N, after, healthy, listed, off, service, standing, up

REDIRECT = "status: HTTP 301, wanted 200"


def fails(host: str, at: float, reason: str = REDIRECT, monitor: str = M) -> Reported:
    return Reported(host, monitor, Report(up=False, reason=reason, at=at, cause=reason))


def all_fail(hosts: str, step: float = 0.5, reason: str = REDIRECT) -> list[Reported]:
    return [fails(host, step * place, reason) for place, host in enumerate(hosts)]


def suspected(pool: Pool) -> list[str]:
    return [str(suspicion) for suspicion in correlated_failures(pool.servers.values(), 10.0)]


def holding(hosts: str, monitors: tuple[str, ...] = (M,)) -> Pool:
    pool = healthy(hosts, monitors=monitors)
    return replace(pool, service=replace(pool.service, suspect_check=SuspectCheck.HOLD))


def test_half_of_those_up_that_fail_alike_within_one_interval_are_suspicious() -> None:
    pool = after(healthy("abcdefghijklmnop"), *all_fail("abcdefgh"))
    assert suspected(pool) == [f'8 of 16 servers began to fail {M} with "{REDIRECT}" within 4 s']


def test_less_than_half_is_not() -> None:
    assert suspected(after(healthy("abcdefghijklmnop"), *all_fail("abcdefg"))) == []


def test_two_servers_are_too_few_to_tell() -> None:
    assert suspected(after(healthy("ab"), *all_fail("ab"))) == []
    assert len(suspected(after(healthy("abc"), *all_fail("abc")))) == 1


def test_failures_spread_over_more_than_an_interval_are_no_coincidence_to_wonder_at() -> None:
    assert suspected(after(healthy("abcd"), *all_fail("abcd", step=6.0))) == []
    assert len(suspected(after(healthy("abcd"), *all_fail("abcd", step=3.0)))) == 1


def test_different_causes_are_no_coincidence() -> None:
    events = [fails(host, 0.0, f"status: HTTP {500 + place}") for place, host in enumerate("abcd")]
    assert suspected(after(healthy("abcd"), *events)) == []


def test_those_that_were_down_before_do_not_count_as_up() -> None:
    pool = after(healthy("abcdefgh"), *all_fail("efgh", step=100.0, reason="connect: refused"))
    assert suspected(after(pool, *(fails(host, 1000.0) for host in "abc"))) == [
        f'3 of 4 servers began to fail {M} with "{REDIRECT}" within 0 s'
    ]


def test_disabled_servers_are_nobodys_evidence() -> None:
    pool = after(healthy("abcd"), listed("a", "b", off("c"), off("d")), *all_fail("abcd"))
    assert suspected(pool) == []


def test_20150613_with_hold_a_redirected_check_url_depools_nobody() -> None:
    pool = after(holding("abcdefghijklmnop"), *all_fail("abcdefghijklmnop"))
    assert len(wanted(pool)) == 16
    assert all(server.health is Health.DOWN for server in pool.servers.values())
    pool = after(pool, listed(*"abcdefghijklmno", Member("p", 20)))
    assert len(wanted(pool)) == 16


def test_20130418_with_hold_time_outs_of_a_check_that_waits_for_the_end_depool_nobody() -> None:
    waits = "body: 1043 of 1043 bytes, then nothing"
    pool = after(holding("abcdef"), *all_fail("abcdef", reason=waits))
    assert standing(pool) == "a b c d e f"


def test_those_depooled_before_it_was_a_pattern_return() -> None:
    pool = after(holding("abcdef"), *all_fail("ab"))
    assert standing(pool) == "c d e f"
    assert standing(after(pool, fails("c", 2.0))) == "a b c d e f"


def test_a_held_server_that_fails_in_another_way_too_leaves() -> None:
    pool = after(holding("abcdef", monitors=(M, N)), *all_fail("abc"))
    assert standing(pool) == "a b c d e f"
    assert standing(after(pool, fails("a", 3.0, "connect: refused", N))) == "b c d e f"


def test_a_held_server_whose_cause_changes_leaves() -> None:
    pool = after(holding("abcdef"), *all_fail("abc"))
    assert standing(after(pool, fails("a", 3.0, "connect: refused"))) == "b c d e f"


def test_the_last_of_those_held_stay_while_the_others_recover() -> None:
    pool = after(holding("abcdef"), *all_fail("abcdef"), *(up(host) for host in "abcde"))
    assert standing(pool) == "a b c d e f"


def test_a_server_that_has_recovered_is_not_excused_the_next_time() -> None:
    pool = after(holding("abcdef"), *all_fail("abc"), up("a"), up("b"), up("c"))
    assert standing(after(pool, fails("a", 500.0))) == "b c d e f"


def test_by_default_the_threshold_alone_decides() -> None:
    assert service().suspect_check is SuspectCheck.ALERT
    pool = after(healthy("abcdef"), *all_fail("abcdef"))
    assert standing(pool) == "d! e! f!"


def test_an_empty_pool_is_not_suspicious() -> None:
    assert list(correlated_failures(chain[Server](), 10.0)) == []
