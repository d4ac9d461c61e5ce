"""Conversion of SRV records into members."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.core.model import Member
from pybal.sources.base import SourceError
from pybal.sources.dns.records import SRVRecord, listing
from pybal.sources.formats.text import Listing

A, B = SRVRecord(10, 5, 80, "a.example"), SRVRecord(10, 7, 80, "b.example")


def test_members_are_sorted_by_host_for_any_order_of_records() -> None:
    third = SRVRecord(10, 1, 80, "c.example")
    members = (Member("a.example", 5), Member("b.example", 7), Member("c.example", 1))
    assert all(listing(order, 80, None).members == members for order in permutations((A, B, third)))


def test_records_of_higher_priority_values_are_ignored() -> None:
    assert listing([A, SRVRecord(9, 7, 80, "b.example")], 80, None).members == (Member("b.example", 7),)


def test_weight_0_becomes_1() -> None:
    assert listing([SRVRecord(10, 0, 80, "a.example"), B], 80, None).members == (
        Member("a.example", 1),
        Member("b.example", 7),
    )


def test_host_names_are_lowercased() -> None:
    assert listing([SRVRecord(10, 5, 80, "A.Example")], 80, None).members == (Member("a.example", 5),)


def test_target_of_a_dot_is_an_empty_list() -> None:
    found = listing([SRVRecord(0, 0, 0, "")], 80, (Member("a.example"),))
    assert (found.members, found.problems) == ((), ())


def test_target_of_a_dot_is_reported_when_others_exist() -> None:
    found = listing([SRVRecord(0, 0, 0, ""), A], 80, None)
    assert found.members == (Member("a.example", 5),)
    assert found.problems == ("target . in addition to other targets",)


def test_listing_without_records_is_refused() -> None:
    with pytest.raises(SourceError, match="no SRV record"):
        listing([], 80, None)


def test_record_with_a_different_port_is_used_and_reported() -> None:
    found = listing([A, SRVRecord(10, 7, 8080, "b.example")], 80, None)
    assert found.members == (Member("a.example", 5), Member("b.example", 7))
    assert found.problems == (
        "host b.example has port 8080, wanted 80 (servers are reached at the port of the service)",
    )


@pytest.mark.parametrize(("port", "service"), [(0, 80), (8080, 0), (80, 80)])
def test_equal_or_unknown_port_is_accepted(port: int, service: int) -> None:
    assert listing([SRVRecord(10, 5, port, "a.example")], service, None).problems == ()


def test_record_with_the_service_port_is_preferred() -> None:
    found = listing([SRVRecord(10, 1, 8080, "a.example"), A, SRVRecord(10, 2, 22, "a.example")], 80, None)
    assert (found.members, found.problems) == ((Member("a.example", 5),), ())


def test_record_with_the_lowest_port_is_used_without_a_match() -> None:
    found = listing([SRVRecord(10, 1, 8080, "a.example"), SRVRecord(10, 2, 443, "a.example")], 80, None)
    assert found.members == (Member("a.example", 2),)
    assert found.problems[0].startswith("host a.example has port 443, wanted 80")


def test_host_with_two_weights_stays_unchanged() -> None:
    records = [A, SRVRecord(10, 6, 80, "a.example"), B]
    problem = ("host a.example has weights 5 and 6, wanted one",)
    found = listing(records, 80, (Member("a.example", 4),))
    assert (found.members, found.problems) == ((Member("a.example", 4), Member("b.example", 7)), problem)
    found = listing(records, 80, None)
    assert (found.members, found.problems) == ((Member("b.example", 7),), problem)


def test_invalid_target_omits_no_other_host() -> None:
    found = listing([SRVRecord(10, 1, 80, "we b.example"), B], 80, None)
    assert found.members == (Member("b.example", 7),)
    assert found.problems == ("host 'we b.example', wanted a name or an address",)


def test_problem_of_an_unprintable_host_is_one_line() -> None:
    found = listing([SRVRecord(10, 1, 80, "a\n"), SRVRecord(10, 2, 80, "a\n"), B], 80, None)
    assert found.problems == (r"host a\n has weights 1 and 2, wanted one",)


def test_listing_is_refused_when_all_records_are_invalid() -> None:
    with pytest.raises(SourceError, match="wanted a name or an address"):
        listing([SRVRecord(10, 1, 80, "\xff")], 80, None)


RECORDS = st.lists(
    st.builds(
        SRVRecord,
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([0, 80, 81]),
        st.sampled_from(["", "a", "A", "b", "c", "d d"]),
    )
)


def result(records: list[SRVRecord]) -> Listing | str:
    try:
        return listing(records, 80, None)
    except SourceError as error:
        return str(error)


@given(RECORDS, st.randoms(use_true_random=False))
def test_listing_is_independent_of_order_and_lists_each_host_once(records: list[SRVRecord], random: Random) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    found = result(records)
    assert result(shuffled) == found
    if isinstance(found, str):
        return
    hosts = [member.host for member in found.members]
    assert hosts == sorted(set(hosts))
    assert all(member.weight >= 1 and member.enabled for member in found.members)
