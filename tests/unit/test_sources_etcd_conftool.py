"""What conftool's values say, and what becomes of those that say nothing."""

from __future__ import annotations

import pytest

from pybal.core.model import Member
from pybal.sources.etcd.conftool import Values, parsed
from pybal.sources.formats.entry import Refused

WANTED = 'wanted {"weight": INTEGER, "pooled": "yes", "no" or "inactive"}'


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
def test_a_value_says_weight_and_pooled(text: str, expected: Member | None) -> None:
    assert parsed("a", text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", f"value of host 'a' is not JSON (Expecting value: line 1 column 1 (char 0)), {WANTED}"),
        ("[" * 10**5, "value of host 'a' is not JSON"),
        (b"\xff", "value of host 'a' is not JSON"),
        ("[]", f"value of host 'a', {WANTED}"),
        ("{}", f"value of host 'a', {WANTED}"),
        ('{"pooled": "yes"}', f"value of host 'a' without weight, {WANTED}"),
        ('{"weight": 1, "pooled": "YES"}', "pooled 'YES' of host a, wanted yes, no or inactive"),
        ('{"weight": 1, "pooled": true}', "pooled True of host a, wanted yes, no or inactive"),
        ('{"weight": 1, "pooled": ["yes"]}', "pooled a list of host a, wanted yes, no or inactive"),
        ('{"weight": "many", "pooled": "yes"}', "weight 'many' of host a, wanted an integer from 0 to 2147483647"),
        ('{"weight": 2147483648, "pooled": "yes"}', "weight 2147483648 of host a, wanted an integer from 0 to"),
        ('{"weight": 1.5, "pooled": "yes"}', "weight 1.5 of host a, wanted an integer from 0 to 2147483647"),
    ],
)
def test_what_is_wrong_with_a_value_is_said(text: str | bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        parsed("a", text)
    assert str(refused.value).startswith(reason)


@pytest.mark.parametrize("key", ["web/a", "", "ä", "a b"])
def test_a_key_that_is_no_host_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="wanted a name or an address"):
        parsed(key, '{"weight": 1, "pooled": "yes"}')


def test_members_come_in_the_order_of_their_keys_without_the_inactive() -> None:
    listing = Values("/pools/web").listing(
        {
            "c": '{"weight": 3, "pooled": "yes"}',
            "a": '{"weight": 1, "pooled": "no"}',
            "b": '{"weight": 2, "pooled": "inactive"}',
        }
    )
    assert listing.members == (Member("a", 1, enabled=False), Member("c", 3))
    assert listing.problems == ()


def test_a_value_that_is_wrong_keeps_the_last_good_one_and_is_a_problem_naming_the_key() -> None:
    values = Values("/pools/web")
    values.listing({"a": '{"weight": 1, "pooled": "yes"}'})
    for _ in range(2):
        listing = values.listing({"a": '{"weight": -1, "pooled": "no"}', "b": '{"weight": 2, "pooled": "yes"}'})
        assert listing.members == (Member("a", 1), Member("b", 2))
        assert listing.problems == ("key /pools/web/a: weight -1 of host a, wanted an integer from 0 to 2147483647",)
    assert values.listing({"a": '{"weight": 4, "pooled": "yes"}'}).problems == ()


def test_a_host_without_a_good_value_yet_is_left_out() -> None:
    values = Values("/pools/web")
    assert values.listing({"a": "?"}).members == ()
    assert values.listing({"a": "??"}).members == ()


def test_a_host_that_was_removed_has_no_last_good_value() -> None:
    values = Values("/pools/web")
    values.listing({"a": '{"weight": 1, "pooled": "yes"}'})
    values.listing({})
    assert values.listing({"a": "?"}).members == ()


def test_a_host_that_was_inactive_stays_so_while_its_value_is_wrong() -> None:
    values = Values("/pools/web")
    values.listing({"a": '{"weight": 1, "pooled": "inactive"}'})
    listing = values.listing({"a": "?"})
    assert (listing.members, len(listing.problems)) == ((), 1)
