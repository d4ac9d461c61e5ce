"""Sanity checks on a new list."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.config.settings import SourceSettings
from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.safety import SafeList, safe_list

SETTINGS = SourceSettings("file:///pool")
SIXTEEN = tuple(Member(f"web{number}") for number in range(16))
EIGHT, SEVEN = SIXTEEN[:8], SIXTEEN[:7]


def disabled(*members: Member) -> tuple[Member, ...]:
    return tuple(replace(member, enabled=False) for member in members)


def refusal(before: tuple[Member, ...] | None, after: tuple[Member, ...], settings: SourceSettings = SETTINGS) -> str:
    with pytest.raises(SourceError) as caught:
        safe_list(before, after, settings)
    return f"{caught.value.trouble}: {caught.value}"


def test_first_list_of_any_length_is_accepted() -> None:
    assert safe_list(None, SIXTEEN[:1], SETTINGS) == SafeList(SIXTEEN[:1])


def test_empty_list_is_accepted_only_with_allow_empty() -> None:
    assert refusal(None, ()) == "empty: refused an empty server list (set allow-empty = yes to accept it)"
    assert refusal(SIXTEEN[:2], ()) == "empty: refused an empty server list (set allow-empty = yes to accept it)"
    allowing = replace(SETTINGS, allow_empty=True)
    assert safe_list(None, (), allowing) == SafeList(())
    assert safe_list(SIXTEEN[:2], (), allowing) == SafeList(())


def test_list_that_lost_more_than_half_is_refused() -> None:
    assert safe_list(SIXTEEN, EIGHT, SETTINGS) == SafeList(EIGHT)
    assert refusal(SIXTEEN, SEVEN) == (
        "shrunk: refused a list of 7 servers after one of 16: more than 0.5 of them removed in one step "
        "(set max-depool-step = 1 to accept it)"
    )


def test_max_depool_step_sets_the_largest_accepted_loss() -> None:
    assert safe_list(SIXTEEN, SIXTEEN[:1], replace(SETTINGS, max_step=1.0)) == SafeList(SIXTEEN[:1])
    refusal(SIXTEEN, SIXTEEN[:15], replace(SETTINGS, max_step=0.05))


def test_list_of_fewer_than_four_may_lose_any_number() -> None:
    assert safe_list(SIXTEEN[:3], SIXTEEN[:1], SETTINGS) == SafeList(SIXTEEN[:1])
    refusal(SIXTEEN[:4], SIXTEEN[:1])


def test_list_with_other_hosts_of_equal_number_is_accepted() -> None:
    others = tuple(Member(f"new{number}") for number in range(16))
    assert safe_list(SIXTEEN, others, SETTINGS) == SafeList(others)


def test_list_may_disable_any_number() -> None:
    """2023-02-22: the list of an operator is applied, and causes an alert."""
    assert safe_list(SIXTEEN, disabled(*SIXTEEN), SETTINGS) == SafeList(disabled(*SIXTEEN))


def test_admin_floor_keeps_enabled_servers_up_to_its_number() -> None:
    a, b, c = SIXTEEN[:3]
    settings = replace(SETTINGS, admin_floor=2)
    assert safe_list((a, b, c), disabled(a, b, c), settings) == SafeList((a, b, *disabled(c)), ("web0", "web1"))
    assert safe_list((a, b, c), (*disabled(a, b), c), settings) == SafeList((a, *disabled(b), c), ("web0",))
    assert safe_list((a, b, c), (*disabled(a), b, c), settings) == SafeList((*disabled(a), b, c))


def test_admin_floor_enables_no_server_that_was_disabled() -> None:
    a, b = SIXTEEN[:2]
    settings = replace(SETTINGS, admin_floor=2)
    assert safe_list((a, *disabled(b)), disabled(a, b), settings) == SafeList((a, *disabled(b)), ("web0",))
    assert safe_list(None, disabled(a, b), settings) == SafeList(disabled(a, b))


def test_list_longer_than_max_pool_size_is_refused() -> None:
    settings = replace(SETTINGS, max_pool_size=15)
    assert refusal(SIXTEEN[:10], SIXTEEN, settings) == (
        "grown: refused a list of 16 servers: more than max-pool-size = 15 (raise max-pool-size to accept it)"
    )
    assert safe_list(None, SIXTEEN[:15], settings) == SafeList(SIXTEEN[:15])
