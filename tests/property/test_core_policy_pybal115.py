"""Differences from PyBal 1.15: each has a name and a reason, any other difference fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pybal.core.changes import ChangeKind, changes
from pybal.core.events import Event, Listed, Reported, Resolved
from pybal.core.model import Health, Member, Placement, Pool, Report
from pybal.core.policy import step
from tests.harness.pool_events import (
    M,
    N,
    down,
    ip,
    listed,
    moved,
    off,
    resolved,
    service,
    tried,
    up,
)
from tests.property.policy_pybal115 import Left, NaiveServer, PyBal115


class Difference(Enum):
    """The intended differences, with their reasons."""

    UNKNOWN_IS_NOT_UP = (
        "a new server enters at its first up; in PyBal 1.15 it counted as up (architecture, principle 7)"
    )
    FLOOR_ON_LISTS = "the threshold applies to lists, too (2015-06-13)"
    SERVING_COUNTS = "serving servers count, not all servers that are not down (T184715, 2023-05-16)"
    ANOTHER_ONE_STAYS = (
        "another down server stays pooled, because other servers were pooled before (follows from the above)"
    )
    FORCED_IN = "depooled servers are forced in below the floor (the rule of 2015-06-13)"
    NO_MONITORS_IS_UP = (
        "servers without monitors are up ('services without monitors: any list change depooled everything')"
    )
    LOOKED_UP_AGAIN = "a name is looked up until it has an address ('a server whose name did not resolve at start')"
    ADDRESS_FOLLOWED = "a changed address is applied, and clears the reports on the old one (the same row)"
    WEIGHT_ZERO = "a weight of 0 is honoured (contract, 'Pool sources')"


class BothPolicies:
    """Both programs, with the same events."""

    def __init__(self, threshold: float, monitors: tuple[str, ...], *, optimistic: bool = False) -> None:
        self.pool = Pool(service(threshold, monitors, initially_up=optimistic))
        self.naive = PyBal115(self.pool.service)
        self.forced_in: set[str] = set()
        self.followed: set[str] = set()

    def happen(self, event: Event) -> None:
        before, self.pool = self.pool, step(self.pool, event)
        self.naive.happen(event)
        for change in changes(before, self.pool):
            host = change.server.host
            if change.kind is ChangeKind.FORCED_IN:
                self.forced_in.add(host)
            if change.kind is ChangeKind.MOVED:
                self.followed.add(host)
        servers = self.pool.servers
        self.forced_in = {h for h in self.forced_in if h in servers and servers[h].placement is Placement.FORCED}
        self.followed &= servers.keys()

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """Yield the differences by host; raise AssertionError for a difference without a name."""
        assert list(self.pool.servers) == list(self.naive.servers)
        for host, naive in self.naive.servers.items():
            server = self.pool.servers[host]
            if server.pooled and naive.pooled:
                if server.address != naive.address:
                    assert host in self.followed
                    yield host, Difference.ADDRESS_FOLLOWED
                if server.member.weight != naive.weight:
                    assert (server.member.weight, naive.weight) == (0, 1)
                    yield host, Difference.WEIGHT_ZERO
            elif server.pooled:
                yield host, self.only_we_pool(host, naive)
            elif naive.pooled:
                yield host, self.only_pybal115_pools(host, naive)

    def only_pybal115_pools(self, host: str, naive: NaiveServer) -> Difference:
        server = self.pool.servers[host]
        if server.condition.arriving:  # its address is checked first, because addresses of before are held
            assert self.pool.held
            return Difference.UNKNOWN_IS_NOT_UP
        assert server.eligible
        if server.health is Health.UNKNOWN:
            assert naive.up or host in self.followed
            assert not self.pool.service.initially_up
            return Difference.UNKNOWN_IS_NOT_UP
        assert server.health is Health.DOWN, f"{host}: up and not pooled"
        assert not naive.up
        assert not self.naive.can_depool()
        return Difference.ANOTHER_ONE_STAYS

    def only_we_pool(self, host: str, naive: NaiveServer) -> Difference:
        server = self.pool.servers[host]
        if naive.address is None:
            assert naive.looked_up
            return Difference.LOOKED_UP_AGAIN
        if not server.reports:
            assert not naive.up
            return Difference.NO_MONITORS_IS_UP
        if server.placement is Placement.FORCED:
            if host in self.forced_in:
                return Difference.FORCED_IN
            if naive.left is Left.NEVER_POOLED:
                assert host in self.followed
                return Difference.ADDRESS_FOLLOWED
            return Difference.FLOOR_ON_LISTS if naive.left is Left.BY_LIST else Difference.SERVING_COUNTS
        assert host in self.followed, f"{host}: not pooled by PyBal 1.15, without a name"
        return Difference.ADDRESS_FOLLOWED


KNOWN = (up("a"), up("b"))
EXAMPLES: tuple[tuple[set[Difference], tuple[Event, ...]], ...] = (
    ({Difference.UNKNOWN_IS_NOT_UP}, (*KNOWN, listed("abc"), resolved("c"))),
    ({Difference.FLOOR_ON_LISTS}, (*KNOWN, down("a"), down("b"), listed("ba"))),
    ({Difference.SERVING_COUNTS}, (*KNOWN, listed("a", off("b")), down("a"))),
    ({Difference.FORCED_IN}, (*KNOWN, down("a"), listed("a", off("b")))),
    ({Difference.LOOKED_UP_AGAIN}, (*KNOWN, listed("abc"), moved(c=None), moved(c=3), up("c"))),
    ({Difference.ADDRESS_FOLLOWED}, (*KNOWN, moved(a=7), tried("a"))),
    ({Difference.WEIGHT_ZERO}, (*KNOWN, listed("a", Member("b", 0)))),
    ({Difference.ANOTHER_ONE_STAYS, Difference.SERVING_COUNTS}, (down("a"), down("b"))),
)


@pytest.mark.parametrize(("expected", "events"), EXAMPLES)
def test_difference_occurs_after_its_events(expected: set[Difference], events: tuple[Event, ...]) -> None:
    both = BothPolicies(0.5, (M,))
    both.happen(listed("ab"))
    both.happen(resolved("ab"))
    for event in events:
        both.happen(event)
    assert {found for _, found in both.differences()} == expected


def test_difference_occurs_for_a_service_without_monitors() -> None:
    both = BothPolicies(0.5, ())
    both.happen(listed("ab"))
    both.happen(resolved("ab"))
    assert list(both.differences()) == []
    both.happen(listed("ba"))
    assert {found for _, found in both.differences()} == {Difference.NO_MONITORS_IS_UP}


def test_examples_cover_every_difference() -> None:
    assert set().union(*(expected for expected, _ in EXAMPLES)) | {Difference.NO_MONITORS_IS_UP} == set(Difference)


def test_policies_agree_without_edits_when_all_servers_are_known() -> None:
    both = BothPolicies(0.5, (M,))
    hosts = "abcdef"
    reports = [*map(up, hosts), *map(down, hosts), *map(up, reversed(hosts))]
    both.happen(listed(hosts))
    both.happen(resolved(hosts))
    for event in reports:
        both.happen(event)
        known = all(server.health is not Health.UNKNOWN for server in both.pool.servers.values())
        assert not known or list(both.differences()) == []


HOSTS = "abcdefgh"
which = st.integers(0, 7)


class ComparisonMachine(RuleBasedStateMachine):
    """Arbitrary events for both policies."""

    both: BothPolicies

    @initialize(
        total=st.integers(1, 6),
        threshold=st.sampled_from((0.5, 0.66, 0.3, 0.01, 0.75, 1, 0)),
        monitors=st.sampled_from(((M,), (M, N), ())),
        optimistic=st.booleans(),
        known=st.booleans(),
    )
    def start(self, total: int, threshold: float, monitors: tuple[str, ...], *, optimistic: bool, known: bool) -> None:
        self.both = BothPolicies(threshold, monitors, optimistic=optimistic)
        self.happen(listed(HOSTS[:total]))
        self.happen(resolved(HOSTS[:total]))
        for host in HOSTS[: total if known else 0]:
            self.report_host(host, up=True)

    def happen(self, event: Event) -> None:
        self.both.happen(event)
        for _ in self.both.differences():
            pass

    def members(self) -> list[Member]:
        return [server.member for server in self.both.pool.servers.values()]

    def edit(self, change: Callable[[Member], Member]) -> None:
        self.happen(Listed(tuple(map(change, self.members()))))

    def report_host(self, host: str, *, up: bool) -> None:
        # A server without an address has no monitors.
        if self.both.pool.servers[host].ready:
            for monitor in self.both.pool.service.monitors:
                self.happen(Reported(host, monitor, Report(up)))

    @precondition(lambda self: self.both.pool.servers and self.both.pool.service.monitors)
    @rule(host=which, monitor=which, up=st.booleans())
    def report(self, host: int, monitor: int, *, up: bool) -> None:
        servers, watching = list(self.both.pool.servers.values()), self.both.pool.service.monitors
        server = servers[host % len(servers)]
        if server.ready:
            self.happen(Reported(server.host, watching[monitor % len(watching)], Report(up)))

    @rule(hosts=st.sets(st.sampled_from(HOSTS)))
    def try_next_addresses(self, hosts: set[str]) -> None:
        for host in sorted(hosts):
            for monitor in self.both.pool.service.monitors:
                self.happen(tried(host, monitor))

    @rule(order=st.permutations(HOSTS), up=st.booleans())
    def report_all(self, order: Sequence[str], *, up: bool) -> None:
        for host in order:
            if host in self.both.pool.servers:
                self.report_host(host, up=up)

    @rule(host=st.sampled_from(HOSTS), weight=st.integers(0, 2), enabled=st.booleans(), place=which, number=which)
    def add(self, host: str, weight: int, place: int, number: int, *, enabled: bool) -> None:
        members = [member for member in self.members() if member.host != host]
        members.insert(place, Member(host, weight, enabled))
        self.happen(Listed(tuple(members)))
        if number:
            self.happen(resolved(host))

    @rule(place=which)
    def remove(self, place: int) -> None:
        members = self.members()
        self.happen(Listed(tuple(members[:place] + members[place + 1 :])))

    @rule(host=st.sampled_from(HOSTS))
    def toggle(self, host: str) -> None:
        self.edit(lambda member: replace(member, enabled=member.enabled != (member.host == host)))

    @rule(enabled=st.booleans())
    def toggle_all(self, *, enabled: bool) -> None:
        self.edit(lambda member: replace(member, enabled=enabled))

    @rule(found=st.dictionaries(st.sampled_from(HOSTS), st.none() | st.integers(1, 12), max_size=3))
    def resolve(self, found: dict[str, int | None]) -> None:
        self.happen(Resolved({host: None if number is None else ip(number) for host, number in found.items()}))


TestPyBal115 = ComparisonMachine.TestCase
TestPyBal115.settings = settings(
    max_examples=3 * settings().max_examples // 2,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
