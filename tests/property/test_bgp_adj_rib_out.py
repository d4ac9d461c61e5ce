"""The router ends with the goal for any order of ExaBGP's updates, any loss and any restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pybal.bgp.adj_rib_out import AdjRIBOut, RouteChange
from pybal.bgp.model import Announcement, Prefix
from tests.harness.fake_adj_rib import FakeRIB, Update, report

PREFIXES = 3
ENOUGH = 200
"""Rounds of 0.5 s within which the router must hold the goal."""

PREFIX = Announcement(ip_address("10.0.0.1"), 10).prefix

goals = st.dictionaries(
    st.integers(1, PREFIXES), st.tuples(st.sampled_from((10, 20)), st.booleans()), max_size=PREFIXES
).map(
    lambda chosen: {
        announcement.prefix: announcement
        for announcement in (Announcement(ip_address(f"10.0.0.{n}"), *about) for n, about in chosen.items())
    }
)


class AdjRIBOutMachine(RuleBasedStateMachine):
    """The daemon's side (``adj``), the pipes in both directions, and ExaBGP with its router."""

    variant: type[AdjRIBOut] = AdjRIBOut

    def __init__(self) -> None:
        super().__init__()
        self.adj = self.variant()
        self.rib = FakeRIB()
        self.now = 0.0
        self.commands: deque[RouteChange] = deque()
        self.events: deque[Update | str | RouteChange] = deque()

    @rule(goal=goals)
    def set_goal(self, goal: dict[Prefix, Announcement]) -> None:
        self.adj.set_goal(goal)

    @rule(room=st.integers(0, 4))
    def issue(self, room: int) -> None:
        changes = list(self.adj.due(self.now, room))
        assert len(changes) <= room
        assert self.adj.established or not changes
        self.commands.extend(changes)

    @precondition(lambda self: self.commands)
    @rule(accept=st.integers(0, 9).map(bool))
    def take(self, accept: bool) -> None:
        change = self.commands.popleft()
        if accept:
            self.rib.take(change)
        else:
            self.events.append(change)

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        self.events.extend(self.rib.send(lambda pending: data.draw(st.permutations(pending), "order")))

    @rule()
    def run(self) -> None:
        """Drain all pipes: pending updates remain in ExaBGP only."""
        while self.events:
            self.receive(1)
        self.issue(100)
        while self.commands:
            self.take(accept=True)

    @precondition(lambda self: self.events)
    @rule(count=st.integers(1, 6))
    def receive(self, count: int) -> None:
        for _ in range(min(count, len(self.events))):
            event = self.events.popleft()
            if isinstance(event, Update):
                report(self.adj, event)
            elif isinstance(event, RouteChange):
                self.adj.refuse(event)
            elif event == "up":
                self.adj.up(self.now)
            else:
                self.adj.down()

    @rule()
    def send_without_events(self) -> None:
        """Lose the events, except with two pending updates of one prefix: the second would leave no trace."""
        self.run()
        if len({update.prefix for update in self.rib.pending}) == len(self.rib.pending):
            self.rib.send(lambda pending: pending)

    @precondition(lambda self: not self.rib.up)
    @rule()
    def establish_session(self) -> None:
        self.rib.establish()
        self.events.append("up")

    @precondition(lambda self: self.rib.up)
    @rule()
    def lose_session(self) -> None:
        self.rib.lose_session()
        self.events.append("down")

    @rule()
    def restart_exabgp(self) -> None:
        self.rib = FakeRIB()
        self.commands.clear()
        self.events.clear()
        self.adj.reset()

    @rule(beats=st.integers(1, 6))
    def beat(self, beats: int) -> None:
        self.now += 0.5 * beats
        self.adj.verify(self.now)

    @invariant()
    def wire_is_empty_while_the_session_is_down(self) -> None:
        assert self.adj.established or not self.adj.wire

    def teardown(self) -> None:
        """Check that the router holds the goal after enough rounds without changes."""
        for _ in range(ENOUGH):
            if not self.rib.up:
                self.establish_session()
            while self.events:
                self.receive(1)
            self.beat(1)
            if self.adj.stuck:
                self.restart_exabgp()
            for change in self.adj.due(self.now, 100):
                self.commands.append(change)
            while self.commands:
                self.rib.take(self.commands.popleft())
            self.events.extend(self.rib.send(lambda pending: pending[::-1]))
        refused = self.adj.refused
        wanted = {p: a for p, a in self.adj.goal.items() if p not in refused}
        assert {p: a for p, a in self.rib.router.items() if p not in refused} == wanted
        assert self.adj.wire == self.rib.router
        assert not self.adj.attempts


AdjRIBOutMachine.TestCase.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=40)
TestAdjRIBOut = AdjRIBOutMachine.TestCase


@pytest.mark.parametrize("later", [{}, {PREFIX: Announcement(ip_address("10.0.0.1"), 20)}], ids=["gone", "other"])
def test_unreported_route_is_withdrawn_after_one_refusal(
    later: dict[Prefix, Announcement],
) -> None:
    machine = AdjRIBOutMachine()
    machine.establish_session()
    machine.set_goal({PREFIX: Announcement(ip_address("10.0.0.1"), 10)})
    machine.send_without_events()
    machine.run()
    machine.beat(4)
    machine.set_goal(later)
    machine.issue(1)
    machine.take(accept=False)
    machine.run()
    machine.set_goal({})
    machine.teardown()


def test_overdue_route_that_is_refused_is_no_longer_overdue() -> None:
    machine = AdjRIBOutMachine()
    machine.establish_session()
    machine.run()
    machine.set_goal({PREFIX: Announcement(ip_address("10.0.0.1"), 10)})
    machine.issue(1)
    machine.beat(4)
    machine.take(accept=False)
    machine.teardown()


class Trusting(AdjRIBOut):
    """Treat each command as sent when ExaBGP answers ``done``."""

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        for change in super().due(now, room):
            yield change
            if change.new is None:
                super().withdrawn(change.prefix)
            else:
                super().announced(change.new)

    def announced(self, announcement: Announcement) -> None:
        pass

    def withdrawn(self, prefix: Prefix) -> None:
        pass


class Unverified(AdjRIBOut):
    """Ignore deadlines: assume that no update and no event is lost."""

    def verify(self, now: float) -> None:
        pass


class Repeating(AdjRIBOut):
    """Announce an overdue route again without a withdrawal before it."""

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        for change in super().due(now, room):
            want = self.goal.get(change.prefix)
            yield RouteChange(change.prefix, want) if want is not None else change


@pytest.mark.parametrize("variant", [Trusting, Unverified, Repeating])
def test_invariant_fails_for_a_broken_variant(variant: type[AdjRIBOut]) -> None:
    class Mutant(AdjRIBOutMachine):
        pass

    Mutant.variant = variant
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Mutant,
            settings=settings(
                max_examples=500, stateful_step_count=30, derandomize=True, database=None, phases=[Phase.generate]
            ),
        )


def test_concurrent_changes_of_a_prefix_can_end_with_a_stale_med() -> None:
    vip = ip_address("10.0.0.1")
    low, high = Announcement(vip, 10), Announcement(vip, 20)
    rib = FakeRIB(up=True)
    for announcement in (low, high, low):
        rib.take(RouteChange(low.prefix, announcement))
    rib.send(lambda pending: [pending[0], pending[2], pending[1]])
    assert rib.router == {low.prefix: high}


def test_overdue_route_that_is_no_longer_wanted_is_forgotten() -> None:
    vip = Announcement(ip_address("10.0.0.1"), 10)
    adj = AdjRIBOut()
    adj.up(0.0)
    adj.set_goal({vip.prefix: vip})
    assert list(adj.due(0.0, 1)) == [RouteChange(vip.prefix, vip)]
    adj.verify(2.0)
    assert list(adj.due(2.0, 1)) == [RouteChange(vip.prefix, None, vip, repair=True)]
    adj.set_goal({})
    assert adj.attempts == {vip.prefix: 1}
    adj.verify(6.0)
    assert list(adj.due(6.0, 1)) == []
    adj.verify(6.5)
    assert adj.attempts == {}


class Piling(AdjRIBOut):
    """Send the next change of a prefix while the last one is in flight."""

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        self.in_flight.clear()
        yield from super().due(now, room)


def check_no_repair(variant: type[AdjRIBOut], data: st.DataObject) -> None:
    """Run without losses, refusals and delays; ExaBGP sends pending updates in any order."""
    adj, rib = variant(), FakeRIB(up=True)
    adj.up(0.0)
    for goal in data.draw(st.lists(goals, min_size=1, max_size=8), "goals"):
        adj.set_goal(goal)
        for change in adj.due(0.0, data.draw(st.integers(0, 4), "room")):
            rib.take(change)
        if data.draw(st.booleans(), "sent"):
            for update in rib.send(lambda pending: data.draw(st.permutations(pending), "order")):
                report(adj, update)
    for _ in range(3):  # the changes in flight, their successors, and repairs
        for change in adj.due(0.0, PREFIXES):
            rib.take(change)
        for update in rib.send(lambda pending: pending):
            report(adj, update)
    assert rib.router == adj.goal
    assert adj.repairs == 0


@given(st.data())
def test_no_repair_happens_without_loss(data: st.DataObject) -> None:
    check_no_repair(AdjRIBOut, data)


def test_two_changes_in_flight_need_repairs() -> None:
    broken = settings(derandomize=True, database=None, max_examples=1000, phases=[Phase.generate])(
        given(st.data())(lambda data: check_no_repair(Piling, data))
    )
    with pytest.raises(AssertionError):
        broken()


def test_routes_that_exabgp_resends_itself_need_no_command() -> None:
    vip = Announcement(ip_address("10.0.0.1"), 10)
    adj = established(vip)
    adj.announced(vip)
    adj.down()
    adj.up(1.0)
    assert list(adj.due(1.0, 1)) == []


def test_new_session_resets_refusals_and_attempts() -> None:
    vip = Announcement(ip_address("10.0.0.1"), 10)
    adj = established(vip)
    adj.verify(2.0)
    assert adj.attempts == {vip.prefix: 1}
    adj.down()
    assert adj.attempts == {}
    adj.up(3.0)
    adj.refuse(RouteChange(vip.prefix, vip))
    assert adj.refused == {vip.prefix: vip}
    adj.down()
    adj.up(4.0)
    assert list(adj.due(4.0, 1)) == [RouteChange(vip.prefix, vip)]


def established(vip: Announcement) -> AdjRIBOut:
    """Return an AdjRIBOut whose command for the VIP is in flight."""
    adj = AdjRIBOut()
    adj.up(0.0)
    adj.set_goal({vip.prefix: vip})
    assert list(adj.due(0.0, 1)) == [RouteChange(vip.prefix, vip)]
    return adj
