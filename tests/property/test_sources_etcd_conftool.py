"""Arbitrary values in etcd: each key is parsed independently."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.sources.etcd.conftool import NotPooled, Values, parse_value
from pybal.sources.formats.entry import Refused

HOSTS = st.text("abc.-", min_size=1, max_size=6).filter(lambda host: not host.startswith("-"))
GOOD = st.builds(
    lambda weight, pooled: json.dumps({"weight": weight, "pooled": pooled}),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["yes", "no", "inactive"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["yes", "no"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["weight", "pooled", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
ANYTHING = GOOD | JSON.map(json.dumps) | st.text(max_size=12) | st.binary(max_size=12)


def member_of(host: str, text: str | bytes) -> Member | None:
    """Return the member that a value alone defines, ``None`` also if it is invalid."""
    try:
        return parse_value(host, text)
    except NotPooled:
        return Member(host, enabled=False)
    except Refused:
        return None


@given(HOSTS, ANYTHING)
def test_value_is_a_member_or_inactive_or_refused(host: str, text: str | bytes) -> None:
    member = member_of(host, text)
    assert member is None or (member.host == host and 0 <= member.weight < 2**31)


@given(HOSTS, st.integers(0, 2**31 - 1), st.booleans())
def test_value_of_conftool_is_read_back(host: str, weight: int, enabled: bool) -> None:
    text = json.dumps({"weight": weight, "pooled": "yes" if enabled else "no"})
    assert parse_value(host, text) == Member(host, weight, enabled)


@given(st.lists(st.dictionaries(HOSTS, ANYTHING, max_size=5), max_size=5))
def test_host_keeps_its_last_valid_value_independently_of_others(lists: list[dict[str, str | bytes]]) -> None:
    values, watched = Values("/p"), Values("/p")
    good: dict[str, Member | None] = {}
    for texts in lists:
        finish(values.replacing(texts.items()))
        listing = values.listing()
        for host in good.keys() - texts.keys():
            watched.remove(host)
        for host, text in texts.items():
            watched.put(host, text)
        assert (watched.listing(), watched.size) == (listing, values.size)
        before, good = good, {}
        wrong = 0
        for host, text in texts.items():
            try:
                good[host] = parse_value(host, text)
            except NotPooled:
                wrong += 1
                good[host] = replace(before.get(host) or Member(host), enabled=False)
            except Refused:
                wrong += 1
                good[host] = before.get(host)
        assert listing.members == tuple(good[host] or Member("") for host in sorted(good) if good[host])
        assert len(listing.problems) == wrong


@given(st.dictionaries(HOSTS, ANYTHING, max_size=5))
def test_first_listing_equals_values_parsed_alone(texts: dict[str, str | bytes]) -> None:
    alone = [member_of(host, texts[host]) for host in sorted(texts)]
    values = Values("/p")
    assert finish(values.replacing(texts.items())) == len(texts)
    assert values.listing().members == tuple(member for member in alone if member)
