"""From SRV records to members."""

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


def test_members_are_sorted_by_host_in_whatever_order_the_records_come() -> None:
    third = SRVRecord(10, 1, 80, "c.example")
    members = (Member("a.example", 5), Member("b.example", 7), Member("c.example", 1))
    assert all(listing(order, 80, None).members == members for order in permutations((A, B, third)))


def test_only_the_lowest_priority_counts() -> None:
    assert listing([A, SRVRecord(9, 7, 80, "b.example")], 80, None).members == (Member("b.example", 7),)


def test_a_weight_of_0_means_little_and_not_that_the_server_is_drained() -> None:
    assert listing([SRVRecord(10, 0, 80, "a.example"), B], 80, None).members == (
        Member("a.example", 1),
        Member("b.example", 7),
    )


def test_a_name_is_the_same_in_capitals() -> None:
    assert listing([SRVRecord(10, 5, 80, "A.Example")], 80, None).members == (Member("a.example", 5),)


def test_a_target_of_a_dot_is_nobody() -> None:
    found = listing([SRVRecord(0, 0, 0, "")], 80, (Member("a.example"),))
    assert (found.members, found.problems) == ((), ())


def test_a_target_of_a_dot_beside_others_is_doubted_and_takes_nobody_out() -> None:
    found = listing([SRVRecord(0, 0, 0, ""), A], 80, None)
    assert found.members == (Member("a.example", 5),)
    assert found.problems == ("target . in addition to other targets",)


def test_no_records_at_all_are_no_list_of_nobody() -> None:
    with pytest.raises(SourceError, match="no SRV record"):
        listing([], 80, None)


def test_another_port_than_the_services_is_a_problem_and_the_server_counts() -> None:
    found = listing([A, SRVRecord(10, 7, 8080, "b.example")], 80, None)
    assert found.members == (Member("a.example", 5), Member("b.example", 7))
    assert found.problems == (
        "host b.example has port 8080, wanted 80 (servers are reached at the port of the service)",
    )


@pytest.mark.parametrize(("port", "service"), [(0, 80), (8080, 0), (80, 80)])
def test_a_port_that_says_nothing_or_the_same_is_no_problem(port: int, service: int) -> None:
    assert listing([SRVRecord(10, 5, port, "a.example")], service, None).problems == ()


def test_of_a_host_at_several_ports_that_of_the_service_counts() -> None:
    found = listing([SRVRecord(10, 1, 8080, "a.example"), A, SRVRecord(10, 2, 22, "a.example")], 80, None)
    assert (found.members, found.problems) == ((Member("a.example", 5),), ())


def test_of_a_host_at_several_other_ports_the_lowest_counts() -> None:
    found = listing([SRVRecord(10, 1, 8080, "a.example"), SRVRecord(10, 2, 443, "a.example")], 80, None)
    assert found.members == (Member("a.example", 2),)
    assert found.problems[0].startswith("host a.example has port 443, wanted 80")


def test_two_weights_of_a_host_leave_it_as_it_was() -> None:
    records = [A, SRVRecord(10, 6, 80, "a.example"), B]
    problem = ("host a.example has weights 5 and 6, wanted one",)
    found = listing(records, 80, (Member("a.example", 4),))
    assert (found.members, found.problems) == ((Member("a.example", 4), Member("b.example", 7)), problem)
    found = listing(records, 80, None)
    assert (found.members, found.problems) == ((Member("b.example", 7),), problem)


def test_a_target_that_is_no_name_of_a_host_costs_no_other() -> None:
    found = listing([SRVRecord(10, 1, 80, "we b.example"), B], 80, None)
    assert found.members == (Member("b.example", 7),)
    assert found.problems == ("host 'we b.example', wanted a name or an address",)


def test_records_that_are_all_wrong_are_no_list() -> None:
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
def test_the_order_of_records_makes_no_difference_and_each_host_is_listed_once(
    records: list[SRVRecord], random: Random
) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)
    found = result(records)
    assert result(shuffled) == found
    if isinstance(found, str):
        return
    hosts = [member.host for member in found.members]
    assert hosts == sorted(set(hosts))
    assert all(member.weight >= 1 and member.enabled for member in found.members)
