"""Sanity checks on a new list."""

from __future__ import annotations

from dataclasses import replace

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.core.text import numbered
from pybal.sources.base import PoolState
from pybal.sources.safety import NewList, SafeList, safe_list

SETTINGS = SourceSettings("file:///pool")
SIXTEEN = tuple(Member(f"web{number}") for number in range(16))
EIGHT, SEVEN = SIXTEEN[:8], SIXTEEN[:7]
EMPTY_LIST = "empty: refused an empty server list (set allow-empty = yes to accept it)"


def disabled(*members: Member) -> tuple[Member, ...]:
    return tuple(replace(member, enabled=False) for member in members)


def checked(
    before: tuple[Member, ...] | None, after: tuple[Member, ...], settings: SourceSettings = SETTINGS
) -> SafeList:
    """Return the result for a pool whose enabled servers are all pooled."""
    pooled = frozenset(member.host for member in before or () if member.enabled)
    return safe_list(PoolState(before, pooled), NewList(after), settings)


def accepted(safe: SafeList) -> tuple[Member, ...]:
    assert safe.refusal is None
    return safe.members


def refusal(before: tuple[Member, ...] | None, after: tuple[Member, ...], settings: SourceSettings = SETTINGS) -> str:
    safe = checked(before, after, settings)
    assert safe.refusal is not None
    assert safe.members == (before or ()), "without the hosts in both lists"
    return f"{safe.refusal.trouble}: {safe.refusal}"


def test_first_list_of_any_length_is_accepted() -> None:
    assert accepted(checked(None, SIXTEEN[:1])) == SIXTEEN[:1]


def test_empty_list_is_accepted_only_with_allow_empty() -> None:
    assert refusal(None, ()) == EMPTY_LIST
    assert refusal(SIXTEEN[:2], ()) == EMPTY_LIST
    allowing = replace(SETTINGS, allow_empty=True)
    assert accepted(checked(None, (), allowing)) == ()
    assert accepted(checked(SIXTEEN[:2], (), allowing)) == ()


def test_empty_list_of_an_empty_pool_is_accepted() -> None:
    """A restart must not refuse again what the operator has accepted."""
    assert accepted(checked((), ())) == ()


def test_refused_empty_list_names_all_settings_that_accept_it() -> None:
    assert "set allow-empty = yes and max-depool-step = 1 to accept it" in refusal(SIXTEEN[:4], ())
    assert accepted(checked(SIXTEEN[:4], (), replace(SETTINGS, allow_empty=True, max_step=1.0))) == ()


def test_empty_list_that_declares_hosts_out_of_the_pool_is_accepted() -> None:
    declared = NewList((), frozenset(("web0", "web1")))
    assert accepted(safe_list(PoolState(SIXTEEN[:2], frozenset(("web0", "web1"))), declared, SETTINGS)) == ()
    assert accepted(safe_list(PoolState(), declared, SETTINGS)) == ()


def test_list_that_lost_more_than_half_is_refused() -> None:
    assert accepted(checked(SIXTEEN, EIGHT)) == EIGHT
    assert refusal(SIXTEEN, SEVEN) == (
        "shrunk: refused a list of 7 servers: it lacks 9 of 16 pooled servers, at most 8 may leave "
        "(set max-depool-step = 1 to accept any list)"
    )


def test_max_depool_step_sets_the_largest_accepted_loss() -> None:
    assert accepted(checked(SIXTEEN, SIXTEEN[:1], replace(SETTINGS, max_step=1.0))) == SIXTEEN[:1]
    refusal(SIXTEEN, SIXTEEN[:15], replace(SETTINGS, max_step=0.05))


def test_max_depool_step_of_0_99_refuses_only_the_loss_of_all() -> None:
    settings = replace(SETTINGS, max_step=0.99)
    assert accepted(checked(SIXTEEN, SIXTEEN[:1], settings)) == SIXTEEN[:1]
    refusal(SIXTEEN, (Member("new"),), settings)


def test_max_depool_step_of_1_refuses_an_empty_list_nevertheless() -> None:
    assert "set allow-empty = yes to accept it" in refusal(SIXTEEN, (), replace(SETTINGS, max_step=1.0))


def test_share_of_max_depool_step_is_exact() -> None:
    hundred = tuple(Member(f"web{number}") for number in range(100))
    settings = replace(SETTINGS, max_step=0.29)
    assert accepted(checked(hundred, hundred[29:], settings)) == hundred[29:]
    refusal(hundred, hundred[30:], settings)


def test_pool_of_fewer_than_four_may_lose_all_but_one() -> None:
    assert accepted(checked(SIXTEEN[:3], SIXTEEN[:1])) == SIXTEEN[:1]
    refusal(SIXTEEN[:4], SIXTEEN[:1])


def test_list_that_lacks_all_pooled_servers_is_refused_at_any_size() -> None:
    for size in (1, 2, 3, 4, 16):
        others = tuple(Member(f"new{number}") for number in range(size))
        assert f"it lacks {size} of {numbered(size, 'pooled server')}" in refusal(SIXTEEN[:size], others)
        assert accepted(checked(SIXTEEN[:size], others, replace(SETTINGS, max_step=1.0))) == others


def test_servers_that_are_not_pooled_may_all_leave() -> None:
    pool = PoolState(SIXTEEN, frozenset(("web0", "web1")))
    assert accepted(safe_list(pool, NewList(SIXTEEN[:2]), SETTINGS)) == SIXTEEN[:2]


def test_list_may_disable_any_number() -> None:
    """2023-02-22: the list of an operator is applied, and causes an alert."""
    assert accepted(checked(SIXTEEN, disabled(*SIXTEEN))) == disabled(*SIXTEEN)


def test_refused_list_may_disable_any_number() -> None:
    safe = checked(SIXTEEN, disabled(*SIXTEEN[:3]))
    assert safe.refusal is not None
    assert safe.members == (*disabled(*SIXTEEN[:3]), *SIXTEEN[3:])


def test_admin_floor_keeps_enabled_servers_up_to_its_number() -> None:
    a, b, c = SIXTEEN[:3]
    settings = replace(SETTINGS, admin_floor=2)
    assert checked((a, b, c), disabled(a, b, c), settings) == SafeList((a, b, *disabled(c)), ("web0", "web1"))
    assert checked((a, b, c), (*disabled(a, b), c), settings) == SafeList((a, *disabled(b), c), ("web0",))
    assert checked((a, b, c), (a, *disabled(b, c)), settings) == SafeList((a, b, *disabled(c)), ("web1",))
    assert checked((a, b, c), (*disabled(a), b, c), settings) == SafeList((*disabled(a), b, c))


def test_admin_floor_enables_no_server_that_was_disabled() -> None:
    a, b = SIXTEEN[:2]
    settings = replace(SETTINGS, admin_floor=2)
    assert checked((a, *disabled(b)), disabled(a, b), settings) == SafeList((a, *disabled(b)), ("web0",))
    assert checked(None, disabled(a, b), settings) == SafeList(disabled(a, b))


def test_list_longer_than_max_pool_size_is_refused() -> None:
    settings = replace(SETTINGS, max_pool_size=15)
    assert refusal(SIXTEEN[:10], SIXTEEN, settings) == (
        "grown: refused a list of 16 servers: more than max-pool-size = 15 (raise max-pool-size to accept it)"
    )
    assert accepted(checked(None, SIXTEEN[:15], settings)) == SIXTEEN[:15]


def test_unsure_hosts_stay_as_in_the_pool() -> None:
    pool = PoolState(SIXTEEN[:4], frozenset(member.host for member in SIXTEEN[:4]))
    unsure = frozenset(("web0", "web1", "web9"))
    new = NewList((*disabled(SIXTEEN[0]), *SIXTEEN[2:4], *disabled(SIXTEEN[9])), unsure=unsure)
    expected = (SIXTEEN[0], *SIXTEEN[2:4], *disabled(SIXTEEN[9]), SIXTEEN[1])
    assert accepted(safe_list(pool, new, SETTINGS)) == expected


def test_host_that_an_incomplete_list_declares_out_leaves() -> None:
    pool = PoolState(SIXTEEN[:3], frozenset(("web0", "web1", "web2")))
    safe = safe_list(pool, NewList(SIXTEEN[:1], frozenset(("web1",)), incomplete=True), SETTINGS)
    assert accepted(safe) == (SIXTEEN[0], SIXTEEN[2])
    assert (safe.departed, safe.obeyed) == (frozenset(), frozenset(("web1",)))


def test_departed_and_declared_hosts_are_those_that_were_pooled() -> None:
    pool = PoolState(SIXTEEN[:4], frozenset(("web0", "web1", "web2")))
    safe = safe_list(pool, NewList(SIXTEEN[:1], frozenset(("web1", "web3", "web9"))), SETTINGS)
    assert (safe.departed, safe.obeyed) == (frozenset(("web2",)), frozenset(("web1",)))


def test_no_host_departs_with_a_refused_list() -> None:
    assert checked(SIXTEEN, SEVEN).departed == frozenset()


def test_list_of_other_servers_is_refused_despite_allow_empty() -> None:
    refusal(SIXTEEN[:2], (Member("new"),), replace(SETTINGS, allow_empty=True))


def test_host_that_vanishes_again_counts_once() -> None:
    pool = PoolState(SIXTEEN[:8], frozenset(member.host for member in SIXTEEN[:8]))
    safe = safe_list(pool, NewList(SIXTEEN[4:8]), SETTINGS, ("web0", "gone"))
    assert "it lacks 5 of 9 pooled servers (1 of them left within the last 60 s), at most 4 may" in str(safe.refusal)
