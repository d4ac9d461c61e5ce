"""Events and servers as records of the journal, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import pytest

from pybal.core.events import Adopted, Event, Gathered, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import IPProtocol, Member, Move, Placement, Report, Server, Service, SuspectCheck
from pybal.core.policy import step
from pybal.journal.codec import event_in_parts, event_of, is_event
from pybal.journal.values import placements, server_of, server_value
from tests.harness.pool_events import M, N, down, healthy, listed, off, up

ONE, TWO = ip_address("10.0.0.1"), ip_address("2001:db8::2")
DOWN = Report(False, "status: HTTP 500, wanted 200", 4.123456789, "status: HTTP, wanted")
REPORTS = (
    Reported("a", M, Report(True, at=1.0000001), ONE),
    Reported("a", M, DOWN, TWO),
    Reported("b", N, Report(False, "connect: refused", 5.0, "connect: refused"), None),
    Reported("b", N, Report(False, "connect: refused", 5.0, "connect: refused", 2.5), ONE),
    Reported("c", N, Report(False, "connect: refused", 5.0, "", None), ONE),
    Reported("c", N, Report(True, "", 6.0, "", 3.0), ONE),
    Reported("c", N, Report(True, "odd", 6.0, "rare"), ONE),
)
EVENTS = (
    Adopted({ONE: 10, TWO: 0}),
    Listed((Member("a"), Member("b", 0), off("c"), Member("d", 5, enabled=False, overridden=True))),
    Listed(()),
    Resolved({"a": ONE, "b": TWO, "c": None}, 1234.567891),
    Gathered([*REPORTS]),
    Gathered([]),
    Tried([*REPORTS[:2]]),
    Overdue(frozenset("cab")),
    Reconfigured(
        Service(
            "web",
            IPProtocol.UDP,
            TWO,
            53,
            "mh",
            ("mh-port",),
            one_packet=True,
            monitors=(M, N),
            suspect_check=SuspectCheck.HOLD,
        )
    ),
)
REPORTED = MappingProxyType({M: Report(True, at=3.0), N: None})


def written(event: Event) -> Mapping[str, Any]:
    record: Mapping[str, Any] = json.loads("{" + "".join(event_in_parts(event)) + "}")
    return record


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_is_read_as_it_was_written(event: Event) -> None:
    assert is_event(written(event))
    assert event_of(written(event)) == event


def test_words_of_settings_are_read_as_members_of_their_types() -> None:
    changed = event_of(written(EVENTS[-1]))
    assert isinstance(changed, Reconfigured)
    assert changed.service.suspect_check is SuspectCheck.HOLD
    assert changed.service.protocol is IPProtocol.UDP


@pytest.mark.parametrize("number", [1, 499, 500, 501, 1001])
def test_event_of_many_servers_is_read_as_it_was_written(number: int) -> None:
    hosts = [f"web{each}" for each in range(number)]
    for event in (Listed(tuple(map(Member, hosts))), Gathered([Reported(host, M, DOWN) for host in hosts])):
        assert event_of(written(event)) == event


def test_host_that_a_long_list_repeats_is_written_once_in_its_first_place() -> None:
    others = [Member(f"web{number}") for number in range(600)]
    text = "".join(event_in_parts(Listed((Member("a"), *others, Member("a", 5)))))
    assert text.startswith('"event":"list","members":{"a":5,"web0":10,')
    assert text.count('"a":') == 1


def test_overdue_hosts_are_written_in_order() -> None:
    assert "".join(event_in_parts(Overdue(frozenset("edcba")))).endswith('["a","b","c","d","e"]')


def test_record_of_another_kind_is_no_event() -> None:
    assert not is_event({"event": "decision"})


@pytest.mark.parametrize(
    "server",
    [
        Server(Member("a")),
        Server(Member("a"), REPORTED, ONE, placement=Placement.POOLED),
        Server(Member("a"), REPORTED, unresolvable=True),
        Server(off("a"), {M: DOWN}, ONE, False, Placement.FORCED, frozenset(((M, "timeout"),)), frozenset((N,))),
        Server(Member("a"), REPORTED, ONE, move=Move(TWO, REPORTED, 7.5, overdue=True)),
        Server(Member("a"), REPORTED, ONE, move=Move(TWO, {M: DOWN}, 7.5)),
    ],
    ids=["new", "pooled", "unresolvable", "forced", "overdue", "moving"],
)
def test_server_is_read_as_it_was_written(server: Server) -> None:
    assert server_of(json.loads(json.dumps(server_value(server)))) == server


def test_placements_are_those_that_an_event_changed() -> None:
    pool = healthy("abc")
    assert placements(pool, step(pool, down("a"))) == {"a": "out"}
    assert placements(pool, step(pool, listed("abcd"))) == {}
    assert placements(pool, step(pool, listed("ab"))) == {}
    assert placements(pool, step(pool, up("a"))) == {}
