"""Parsing of conftool's values, and the fallback for invalid ones."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.sources.etcd.conftool import Text, Values, parse_value
from pybal.sources.formats.entry import Refused
from pybal.sources.formats.text import Listing

WANTED = 'wanted {"weight": INTEGER, "pooled": "yes", "no" or "inactive"}'


def listing_of(values: Values, texts: Mapping[str, Text]) -> Listing:
    """Return the list after a read of all values."""
    finish(values.replacing(texts.items()))
    return values.listing()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"weight": 10, "pooled": "yes"}', Member("a", 10, enabled=True)),
        ('{"pooled": "no", "weight": 0}', Member("a", 0, enabled=False)),
        (b'{"weight": 1, "pooled": "yes", "note": [1]}', Member("a", 1, enabled=True)),
        ('{"weight": 10, "pooled": "inactive"}', None),
        ('{"weight": "broken", "pooled": "inactive"}', None),
    ],
)
def test_value_defines_weight_and_enabled(text: str, expected: Member | None) -> None:
    assert parse_value("a", text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"value of host 'a' is not JSON (Expecting value: line 1 column 1 (char 0)), {WANTED}"),
        ("[" * 10**5, "value of host 'a' is not JSON"),
        (b"\xff", "value of host 'a' is not JSON"),
        (None, f"value of host 'a' is not a string, {WANTED}"),
        ("[]", f"value of host 'a' has no pooled, {WANTED}"),
        ("{}", f"value of host 'a' has no pooled, {WANTED}"),
        ('{"pooled": "no", "pooled": "yes", "weight": 1}', "duplicate key 'pooled' of host 'a'"),
        ('{"pooled": "yes"}', f"value of host 'a' has no weight, {WANTED}"),
        ('{"weight": 1, "pooled": "YES"}', "pooled 'YES' of host a, wanted yes, no or inactive"),
        ('{"weight": 1, "pooled": true}', "pooled True of host a, wanted yes, no or inactive"),
        ('{"weight": 1, "pooled": ["yes"]}', "pooled a list of host a, wanted yes, no or inactive"),
        ('{"weight": "many", "pooled": "yes"}', "weight 'many' of host a, wanted an integer from 0 to 2147483647"),
        ('{"weight": 2147483648, "pooled": "yes"}', "weight 2147483648 of host a, wanted an integer from 0 to"),
        ('{"weight": 1.5, "pooled": "yes"}', "weight 1.5 of host a, wanted an integer from 0 to 2147483647"),
    ],
)
def test_invalid_value_is_refused_with_reason(text: str | bytes | None, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_value("a", text)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize("key", ["web/a", "", "ä", "a b"])
def test_key_is_refused_when_not_a_host_name(key: str) -> None:
    with pytest.raises(Refused, match="wanted a name or an address"):
        parse_value(key, '{"weight": 1, "pooled": "yes"}')


def test_listing_has_active_members_in_order_of_keys() -> None:
    listing = listing_of(
        Values("/pools/web"),
        {
            "c": '{"weight": 3, "pooled": "yes"}',
            "a": '{"weight": 1, "pooled": "no"}',
            "b": '{"weight": 2, "pooled": "inactive"}',
        },
    )
    assert listing.members == (Member("a", 1, enabled=False), Member("c", 3))
    assert listing.problems == ()
    assert listing.removed == {"b"}


def test_invalid_value_keeps_last_valid_member_and_is_a_problem() -> None:
    values = Values("/pools/web")
    listing_of(values, {"a": '{"weight": 1, "pooled": "yes"}'})
    for _ in range(2):
        listing = listing_of(values, {"a": '{"weight": -1, "pooled": "yes"}', "b": '{"weight": 2, "pooled": "yes"}'})
        assert listing.members == (Member("a", 1), Member("b", 2))
        assert listing.problems == ("key /pools/web/a: weight -1 of host a, wanted an integer from 0 to 2147483647",)
    assert listing_of(values, {"a": '{"weight": 4, "pooled": "yes"}'}).problems == ()


def test_problem_of_an_unprintable_key_is_one_line() -> None:
    problems = listing_of(Values("/pools"), {"a\n\x1b": '{"pooled": "maybe"}'}).problems
    assert problems == (r"key /pools/a\n\x1b: pooled 'maybe' of host a\n\x1b, wanted yes, no or inactive",)


def test_host_is_omitted_until_its_first_valid_value() -> None:
    values = Values("/pools/web")
    assert listing_of(values, {"a": "?"}).members == ()
    assert listing_of(values, {"a": "??"}).members == ()


def test_removed_host_loses_its_last_valid_value() -> None:
    values = Values("/pools/web")
    listing_of(values, {"a": '{"weight": 1, "pooled": "yes"}'})
    listing_of(values, {})
    assert listing_of(values, {"a": "?"}).members == ()


def test_inactive_host_stays_inactive_while_its_value_is_invalid() -> None:
    values = Values("/pools/web")
    listing_of(values, {"a": '{"weight": 1, "pooled": "inactive"}'})
    listing = listing_of(values, {"a": "?"})
    assert (listing.members, len(listing.problems), listing.removed) == ((), 1, frozenset(("a",)))


def test_host_without_any_valid_value_is_not_declared_inactive() -> None:
    assert listing_of(Values("/pools/web"), {"a": "?"}).removed == set()


@pytest.mark.parametrize("text", ['{"pooled": "no"}', '{"pooled": "no", "weight": null}'])
def test_no_disables_the_host_when_its_weight_is_invalid(text: str) -> None:
    """An operator who writes the key by hand wants the server out, with any weight."""
    values = Values("/d")
    listing_of(values, {"a": '{"pooled": "yes", "weight": 7}'})
    listing = listing_of(values, {"a": text})
    assert listing.members == (Member("a", 7, enabled=False),)
    assert len(listing.problems) == 1
    assert not listing.unsure
    assert listing_of(values, {"a": '{"pooled": "yes", "weight": -1}'}).members == (Member("a", 7, enabled=False),)
    fresh = listing_of(Values("/d"), {"a": text, "-x": text})
    assert fresh.members == (Member("a", enabled=False),)
    assert fresh.unsure == {"-x"}
