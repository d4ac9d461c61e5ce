"""The routes of one peer, command by command and event by event."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.bgp.adj_rib_out import AdjRIBOut, RouteChange
from pybal.bgp.model import Announcement

VIP, OTHER = Announcement(ip_address("10.0.0.1"), 10), Announcement(ip_address("10.0.0.2"), 10)
HIGHER = Announcement(VIP.vip, 20)
ANNOUNCE, WITHDRAW = RouteChange(VIP.prefix, VIP), RouteChange(VIP.prefix, None, VIP)
REPAIR = RouteChange(VIP.prefix, None, VIP, repair=True)


@pytest.fixture
def adj() -> AdjRIBOut:
    """The routes in an established session, without a goal."""
    adj = AdjRIBOut()
    adj.up(0.0)
    return adj


def want(adj: AdjRIBOut, *announcements: Announcement) -> None:
    adj.set_goal({each.prefix: each for each in announcements})


def due(adj: AdjRIBOut, now: float = 0.0, room: int = 10) -> list[RouteChange]:
    return list(adj.due(now, room))


def announce(adj: AdjRIBOut) -> None:
    """Announce the VIP, up to its event."""
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.announced(VIP)
    assert due(adj) == []


def test_route_is_announced_once_and_withdrawn_once(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    assert due(adj) == [WITHDRAW]
    adj.withdrawn(VIP.prefix)
    assert (due(adj), adj.wire, adj.in_flight) == ([], {}, {})


def test_unchanged_goal_sends_nothing(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, VIP, OTHER)
    assert due(adj) == [RouteChange(OTHER.prefix, OTHER)]


def test_no_command_is_sent_without_a_session() -> None:
    adj = AdjRIBOut()
    want(adj, VIP)
    assert due(adj) == []


def test_commands_fill_the_room_and_the_others_follow(adj: AdjRIBOut) -> None:
    third = Announcement(ip_address("10.0.0.3"))
    want(adj, VIP, OTHER, third)
    assert due(adj, room=2) == [ANNOUNCE, RouteChange(OTHER.prefix, OTHER)]
    assert due(adj, room=2) == [RouteChange(third.prefix, third)]


def test_change_in_flight_delays_the_next_one(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    want(adj, HIGHER)
    assert due(adj) == []
    adj.announced(VIP)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]


def test_event_of_an_earlier_change_does_not_end_the_flight(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]
    adj.announced(VIP)
    assert VIP.prefix in adj.in_flight


def test_routes_are_announced_by_the_first_session() -> None:
    adj = AdjRIBOut()
    want(adj, VIP)
    adj.up(0.0)
    assert due(adj) == [ANNOUNCE]


def test_new_session_withdraws_a_route_that_left_the_goal(adj: AdjRIBOut) -> None:
    announce(adj)
    adj.down()
    want(adj)
    adj.up(1.0)
    adj.announced(VIP)
    assert due(adj, 1.0) == [WITHDRAW]


def test_new_session_withdraws_a_route_whose_event_is_lost(adj: AdjRIBOut) -> None:
    announce(adj)
    adj.down()
    want(adj)
    assert due(adj) == []
    adj.up(1.0)
    adj.verify(3.0)
    assert due(adj, 3.0) == [WITHDRAW]


def test_end_of_a_session_clears_what_the_peer_held(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, VIP, OTHER)
    assert due(adj) == [RouteChange(OTHER.prefix, OTHER)]
    adj.down()
    assert (adj.established, adj.wire, adj.in_flight) == (False, {}, {})


def test_late_events_of_an_ended_session_are_ignored(adj: AdjRIBOut) -> None:
    announce(adj)
    adj.down()
    adj.announced(VIP)
    assert adj.wire == {}
    adj.refuse(ANNOUNCE)
    assert adj.refused == {}


def test_restarted_exabgp_gets_all_routes_again(adj: AdjRIBOut) -> None:
    announce(adj)
    adj.reset()
    adj.up(1.0)
    assert due(adj, 1.0) == [ANNOUNCE]


def test_overdue_route_is_withdrawn_and_announced_again(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.verify(1.9)
    assert due(adj, 1.9) == []
    adj.verify(2.0)
    assert (due(adj, 2.0), adj.repairs, adj.attempts) == ([REPAIR], 1, {VIP.prefix: 1})
    adj.withdrawn(VIP.prefix)
    assert due(adj, 2.1) == [ANNOUNCE]
    adj.announced(VIP)
    assert (due(adj), adj.repairs, adj.attempts) == ([], 1, {})


def test_announcements_and_withdrawals_are_no_repairs(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    assert due(adj) == [WITHDRAW]
    assert adj.repairs == 0


def test_deadline_doubles_with_each_repair_up_to_64_seconds(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    now, waits = 0.0, []
    for _ in range(8):
        assert due(adj, now)
        waits.append(adj.in_flight[VIP.prefix].deadline - now)
        now = adj.in_flight[VIP.prefix].deadline
        adj.verify(now)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]
    assert not adj.stuck


def test_overdue_route_that_reached_the_wire_is_no_attempt(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]
    want(adj, VIP)
    adj.verify(2.0)
    assert adj.attempts == {}


def test_attempts_end_when_the_goal_becomes_that_of_the_wire(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]
    adj.verify(2.0)
    want(adj, VIP)
    assert adj.attempts == {VIP.prefix: 1}
    adj.verify(2.5)
    assert adj.attempts == {}


def test_attempts_stay_while_a_change_is_in_flight(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]
    adj.verify(2.0)
    assert due(adj, 2.0) == [RouteChange(VIP.prefix, None, HIGHER, repair=True)]
    want(adj, VIP)
    adj.verify(2.5)
    assert adj.attempts == {VIP.prefix: 1}


def test_refused_route_is_sent_again_only_when_it_changes(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.refuse(ANNOUNCE)
    assert (due(adj), adj.refused, adj.in_flight) == ([], {VIP.prefix: VIP}, {})
    adj.verify(2.0)
    assert (due(adj, 2.0), adj.attempts) == ([], {})
    want(adj, HIGHER)
    assert (adj.refused, due(adj, 2.0)) == ({}, [RouteChange(VIP.prefix, HIGHER)])


def test_refused_change_leaves_the_route_of_before(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]
    adj.refuse(RouteChange(VIP.prefix, HIGHER))
    want(adj)
    assert due(adj) == [WITHDRAW]


def test_refused_withdrawal_needs_a_new_session(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    assert due(adj) == [WITHDRAW]
    adj.refuse(WITHDRAW)
    assert adj.stuck
    assert due(adj) == [WITHDRAW]
    adj.withdrawn(VIP.prefix)
    assert not adj.stuck


def test_refused_withdrawal_of_an_unsent_route_is_repeated_later(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.verify(2.0)
    assert due(adj, 2.0) == [REPAIR]
    adj.refuse(REPAIR)
    assert (due(adj, 2.0), adj.stuck) == ([], False)
    adj.verify(6.0)
    assert due(adj, 6.0) == [REPAIR]


def test_route_withdrawn_in_vain_three_times_needs_a_new_session(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    now, stuck = 0.0, []
    for _ in range(3):
        assert [(change.new, change.old) for change in due(adj, now)] == [(None, VIP)]
        now = adj.in_flight[VIP.prefix].deadline
        adj.verify(now)
        stuck.append(adj.stuck)
    assert stuck == [False, False, True]
    adj.down()
    assert not adj.stuck


def test_lost_announcements_need_no_new_session(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj, HIGHER)
    now = 0.0
    for _ in range(5):
        for change in due(adj, now):
            if change.new is None:
                adj.withdrawn(change.prefix)
                adj.announced(VIP)
        now += 200.0
        adj.verify(now)
    assert not adj.stuck


def test_refused_route_stays_refused_when_another_changes(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.refuse(ANNOUNCE)
    want(adj, VIP, OTHER)
    assert due(adj) == [RouteChange(OTHER.prefix, OTHER)]


def test_routes_that_exabgp_sends_itself_need_no_command(adj: AdjRIBOut) -> None:
    announce(adj)
    adj.down()
    adj.up(1.0)
    assert due(adj, 1.0) == []


def test_new_session_forgets_refusals_and_attempts(adj: AdjRIBOut) -> None:
    want(adj, VIP, OTHER)
    assert due(adj) == [ANNOUNCE, RouteChange(OTHER.prefix, OTHER)]
    adj.refuse(ANNOUNCE)
    adj.verify(2.0)
    assert (adj.refused, adj.attempts) == ({VIP.prefix: VIP}, {OTHER.prefix: 1})
    adj.down()
    assert (adj.refused, adj.attempts) == ({}, {})
    adj.up(3.0)
    assert due(adj, 3.0) == [ANNOUNCE]


def test_refusal_of_an_earlier_route_does_not_delay_the_present_one(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    want(adj, HIGHER)
    adj.refuse(ANNOUNCE)
    assert due(adj) == [RouteChange(VIP.prefix, HIGHER)]


def test_late_refusal_of_an_overdue_route_restores_nothing(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.verify(2.0)
    assert due(adj, 2.0) == [REPAIR]
    adj.refuse(ANNOUNCE)
    want(adj)
    assert due(adj, 2.0) == []


def test_late_refusal_of_an_overdue_withdrawal_restores_the_route(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    assert due(adj) == [WITHDRAW]
    adj.verify(2.0)
    adj.refuse(WITHDRAW)
    assert due(adj, 2.0) == [WITHDRAW]


def test_overdue_route_that_is_refused_is_no_longer_overdue(adj: AdjRIBOut) -> None:
    want(adj, VIP)
    assert due(adj) == [ANNOUNCE]
    adj.verify(2.0)
    assert due(adj, 2.0) == [REPAIR]
    adj.withdrawn(VIP.prefix)
    assert due(adj, 2.0) == [ANNOUNCE]
    adj.refuse(ANNOUNCE)
    assert adj.attempts == {}


def test_route_that_is_wanted_again_needs_no_new_session(adj: AdjRIBOut) -> None:
    announce(adj)
    want(adj)
    now = 0.0
    for _ in range(3):
        due(adj, now)
        now = adj.in_flight[VIP.prefix].deadline
        if adj.attempts == {VIP.prefix: 2}:
            want(adj, VIP)
        adj.verify(now)
    assert (adj.attempts, adj.stuck, due(adj, now)) == ({}, False, [ANNOUNCE])
