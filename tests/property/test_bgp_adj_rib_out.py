"""However ExaBGP orders what it is told, and whatever ends or is lost, the router comes to hold what is wanted."""

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
from tests.harness.fake_adj_rib import Rib, Update, hear

PREFIXES = 3
ENOUGH = 200
"""Rounds of half a second within which everything is as wanted."""

PREFIX = Announcement(ip_address("10.0.0.1"), 10).prefix

goals = st.dictionaries(
    st.integers(1, PREFIXES), st.tuples(st.sampled_from((10, 20)), st.booleans()), max_size=PREFIXES
).map(
    lambda chosen: {
        announcement.prefix: announcement
        for announcement in (Announcement(ip_address(f"10.0.0.{n}"), *about) for n, about in chosen.items())
    }
)


class Machine(RuleBasedStateMachine):
    """The daemon's side (``adj``), the pipes both ways, and ExaBGP with its router."""

    adjacent: type[AdjRIBOut] = AdjRIBOut

    def __init__(self) -> None:
        super().__init__()
        self.adj = self.adjacent()
        self.rib = Rib()
        self.now = 0.0
        self.commands: deque[RouteChange] = deque()
        self.events: deque[Update | str | RouteChange] = deque()

    @rule(goal=goals)
    def want(self, goal: dict[Prefix, Announcement]) -> None:
        self.adj.want(goal)

    @rule(room=st.integers(0, 4))
    def tell(self, room: int) -> None:
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
        """All pipes are emptied: what is left waits in ExaBGP to be sent."""
        while self.events:
            self.hear(1)
        self.tell(100)
        while self.commands:
            self.take(accept=True)

    @precondition(lambda self: self.events)
    @rule(count=st.integers(1, 6))
    def hear(self, count: int) -> None:
        for _ in range(min(count, len(self.events))):
            event = self.events.popleft()
            if isinstance(event, Update):
                hear(self.adj, event)
            elif isinstance(event, RouteChange):
                self.adj.refuse(event)
            elif event == "up":
                self.adj.up(self.now)
            else:
                self.adj.down()

    @rule()
    def send_unheard(self) -> None:
        """Lines are lost. Not of two changes of one prefix: of the second alone there would be no trace at all."""
        self.run()
        if len({update.prefix for update in self.rib.pending}) == len(self.rib.pending):
            self.rib.send(lambda pending: pending)

    @precondition(lambda self: not self.rib.up)
    @rule()
    def begin_a_session(self) -> None:
        self.rib.begin()
        self.events.append("up")

    @precondition(lambda self: self.rib.up)
    @rule()
    def end_a_session(self) -> None:
        self.rib.fall()
        self.events.append("down")

    @rule()
    def restart_exabgp(self) -> None:
        self.rib = Rib()
        self.commands.clear()
        self.events.clear()
        self.adj.forgotten()

    @rule(beats=st.integers(1, 6))
    def beat(self, beats: int) -> None:
        self.now += 0.5 * beats
        self.adj.verify(self.now)

    @invariant()
    def nothing_is_known_of_a_session_that_is_down(self) -> None:
        assert self.adj.established or not self.adj.wire

    def teardown(self) -> None:
        """However it came to this: left alone, all becomes as wanted."""
        for _ in range(ENOUGH):
            if not self.rib.up:
                self.begin_a_session()
            while self.events:
                self.hear(1)
            self.beat(1)
            if self.adj.hopeless:
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


Machine.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestAdj = Machine.TestCase


@pytest.mark.parametrize("later", [{}, {PREFIX: Announcement(ip_address("10.0.0.1"), 20)}], ids=["gone", "other"])
def test_what_the_peer_may_hold_unheard_of_is_withdrawn_although_exabgp_refuses_once(
    later: dict[Prefix, Announcement],
) -> None:
    machine = Machine()
    machine.begin_a_session()
    machine.want({PREFIX: Announcement(ip_address("10.0.0.1"), 10)})
    machine.send_unheard()
    machine.run()
    machine.beat(4)
    machine.want(later)
    machine.tell(1)
    machine.take(accept=False)
    machine.run()
    machine.want({})
    machine.teardown()


def test_what_was_late_and_then_refused_is_refused_only() -> None:
    machine = Machine()
    machine.begin_a_session()
    machine.run()
    machine.want({PREFIX: Announcement(ip_address("10.0.0.1"), 10)})
    machine.tell(1)
    machine.beat(4)
    machine.take(accept=False)
    machine.teardown()


class Trusting(AdjRIBOut):
    """The obvious way: what was told, and answered with ``done``, is taken to be on the wire."""

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
    """Believes that what was told will be sent, and that what was sent will be heard of."""

    def verify(self, now: float) -> None:
        pass


class Repeating(AdjRIBOut):
    """Announces again what did not get there, without withdrawing it first."""

    def _change(self, prefix: Prefix) -> RouteChange | None:
        change = super()._change(prefix)
        want = self.goal.get(prefix)
        return RouteChange(prefix, want) if change is not None and want is not None else change


@pytest.mark.parametrize("adjacent", [Trusting, Unverified, Repeating])
def test_what_leaves_out_a_part_of_it_leaves_the_router_wrong(adjacent: type[AdjRIBOut]) -> None:
    class Mutant(Machine):
        pass

    Mutant.adjacent = adjacent
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Mutant,
            settings=settings(
                max_examples=500, stateful_step_count=30, derandomize=True, database=None, phases=[Phase.generate]
            ),
        )


def test_changes_told_together_leave_a_med_that_nobody_wants() -> None:
    vip = ip_address("10.0.0.1")
    low, high = Announcement(vip, 10), Announcement(vip, 20)
    rib = Rib(up=True)
    for announcement in (low, high, low):
        rib.take(RouteChange(low.prefix, announcement))
    rib.send(lambda pending: [pending[0], pending[2], pending[1]])
    assert rib.router == {low.prefix: high}


def test_trouble_with_what_is_not_wanted_any_more_is_none() -> None:
    vip = Announcement(ip_address("10.0.0.1"), 10)
    adj = AdjRIBOut()
    adj.up(0.0)
    adj.want({vip.prefix: vip})
    assert list(adj.due(0.0, 1)) == [RouteChange(vip.prefix, vip)]
    adj.verify(2.0)
    assert list(adj.due(2.0, 1)) == [RouteChange(vip.prefix, None, vip, repair=True)]
    adj.want({})
    assert adj.attempts == {vip.prefix: 1}
    adj.verify(6.0)
    assert list(adj.due(6.0, 1)) == []
    adj.verify(6.5)
    assert adj.attempts == {}


class Piling(AdjRIBOut):
    """Tells the next change of a prefix while the one before may still wait in ExaBGP."""

    def due(self, now: float, room: int) -> Iterator[RouteChange]:
        self._flight.clear()
        yield from super().due(now, room)


def nothing_is_repaired(adjacent: type[AdjRIBOut], data: st.DataObject) -> None:
    """Nothing is lost, refused or late; ExaBGP sends what waits in it in any order."""
    adj, rib = adjacent(), Rib(up=True)
    adj.up(0.0)
    for goal in data.draw(st.lists(goals, min_size=1, max_size=8), "goals"):
        adj.want(goal)
        for change in adj.due(0.0, data.draw(st.integers(0, 4), "room")):
            rib.take(change)
        if data.draw(st.booleans(), "sent"):
            for update in rib.send(lambda pending: data.draw(st.permutations(pending), "order")):
                hear(adj, update)
    for _ in range(3):  # what is in flight, what comes after it, what repairs that
        for change in adj.due(0.0, PREFIXES):
            rib.take(change)
        for update in rib.send(lambda pending: pending):
            hear(adj, update)
    assert rib.router == adj.goal
    assert adj.repairs == 0


@given(st.data())
def test_nothing_is_repaired_while_nothing_goes_wrong(data: st.DataObject) -> None:
    nothing_is_repaired(AdjRIBOut, data)


def test_two_changes_of_a_prefix_at_a_time_would_have_to_be_repaired() -> None:
    broken = settings(derandomize=True, database=None, phases=[Phase.generate])(
        given(st.data())(lambda data: nothing_is_repaired(Piling, data))
    )
    with pytest.raises(AssertionError):
        broken()


def test_what_exabgp_sends_by_itself_in_a_new_session_is_not_told() -> None:
    vip = Announcement(ip_address("10.0.0.1"), 10)
    adj = established(vip)
    adj.announced(vip)
    adj.down()
    adj.up(1.0)
    assert list(adj.due(1.0, 1)) == []


def test_a_new_session_forgets_what_was_wrong_in_the_last_one() -> None:
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
    """Return one that has told ExaBGP of a VIP."""
    adj = AdjRIBOut()
    adj.up(0.0)
    adj.want({vip.prefix: vip})
    assert list(adj.due(0.0, 1)) == [RouteChange(vip.prefix, vip)]
    return adj
