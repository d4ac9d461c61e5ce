"""Gathered reports lead to the same pool as the policy in full, applied after each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pybal.core.changes import changes
from pybal.core.correlated import correlated_failures, may_be_correlated
from pybal.core.events import Adopted, Event, Gathered, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import Address, Member, Pool, Report, Servers, SuspectCheck
from pybal.core.policy import arithmetic, step, wanted, wanted_changes
from pybal.core.steps import finish
from tests.harness.pool_events import M, N, healthy, ip, service
from tests.property import policy_in_full as in_full

HOSTS = "abcdefghijkl"
CAUSES = ("connect refused", "connect timeout")

thresholds = st.sampled_from((0.5, 0.66, 0.3, 0.01, 0.75, 1, 0))
monitors = st.sampled_from(((M,), (M, N), (M, N), (N,), ()))
optimism = st.sampled_from((False, False, True))
suspicion = st.sampled_from((SuspectCheck.ALERT, SuspectCheck.HOLD, SuspectCheck.HOLD, SuspectCheck.OFF))
numbers = st.integers(1, 10)
weights = st.integers(0, 3)
# Equal times, times within one interval (10 s) and times far apart.
times = st.sampled_from((0.0, 0.0, 4.0, 8.0, 30.0))


def report(cause: str, at: float) -> Report:
    return Report(up=not cause, reason=cause, at=at, cause=cause)


reports = st.builds(
    Reported,
    st.sampled_from(HOSTS),
    st.sampled_from((M, N)),
    st.builds(report, st.sampled_from(("", "", *CAUSES)), times),
)


class TwoPolicies(RuleBasedStateMachine):
    """One pool under the policy and under the policy in full."""

    pool: Pool
    expected: Any

    @initialize(total=st.integers(0, 12), threshold=thresholds, monitors=monitors, optimistic=optimism, check=suspicion)
    def start(
        self, total: int, threshold: float, monitors: tuple[str, ...], check: SuspectCheck, *, optimistic: bool
    ) -> None:
        self.pool = self.expected = healthy(
            HOSTS[:total], threshold, monitors, initially_up=optimistic, suspect_check=check
        )

    def happen(self, event: Event) -> None:
        before, self.pool = self.pool, step(self.pool, event)
        for one in event.reports if isinstance(event, Gathered) else (event,):
            self.expected = in_full.step(self.expected, one)
        self.compare(before)

    def compare(self, before: Pool) -> None:
        after, expected = self.pool, self.expected
        assert list(after.servers.items()) == list(expected.servers.items())
        assert (after.service, after.listed, after.held) == (expected.service, expected.listed, expected.held)
        assert wanted(after) == in_full.wanted(expected)
        assert arithmetic(after) == in_full.arithmetic(expected)
        assert amended(wanted(before), wanted_changes(before, after)) == wanted(after)
        for host, server in after.servers.items():
            assert server is before.servers.get(host) or server != before.servers.get(host)
        assert (after is before) == (after == before)
        anew = Servers(dict(before.servers)), Servers(dict(after.servers))
        fresh = changes(replace(before, servers=anew[0]), replace(after, servers=anew[1]))
        assert list(changes(before, after)) == list(fresh)

    @rule(event=reports)
    def report_one(self, event: Reported) -> None:
        self.happen(event)

    @rule(events=st.lists(reports, max_size=40))
    def report_many(self, events: list[Reported]) -> None:
        self.happen(Gathered(events))

    @rule(order=st.permutations(HOSTS), cause=st.sampled_from(("", *CAUSES)), at=times, some=st.integers(1, 12))
    def report_all(self, order: Sequence[str], cause: str, at: float, some: int) -> None:
        watching = self.pool.service.monitors
        self.happen(Gathered([Reported(host, name, report(cause, at)) for host in order[:some] for name in watching]))

    @rule(
        hosts=st.permutations(HOSTS),
        total=st.integers(0, 12),
        weight=weights,
        enabled=st.permutations([True, True, False] * 4),
    )
    def list_members(self, hosts: Sequence[str], total: int, weight: int, enabled: Sequence[bool]) -> None:
        self.happen(Listed(tuple(map(Member, hosts[:total], [weight] * total, enabled))))

    @rule(weight=weights, enabled=st.permutations([True, True, True, False] * 3))
    def edit_members(self, weight: int, enabled: Sequence[bool]) -> None:
        self.happen(
            Listed(tuple(Member(host, weight, on) for host, on in zip(self.pool.servers, enabled, strict=False)))
        )

    @rule(found=st.dictionaries(st.sampled_from(HOSTS), st.none() | numbers, max_size=12))
    def resolve(self, found: Mapping[str, int | None]) -> None:
        self.happen(Resolved({host: None if number is None else ip(number) for host, number in found.items()}))

    @rule(events=st.lists(reports, max_size=20))
    def try_next_addresses(self, events: list[Reported]) -> None:
        self.happen(Tried(events))

    @rule(passing=st.sets(st.sampled_from(HOSTS)), late=st.frozensets(st.sampled_from(HOSTS)))
    def move_all(self, passing: set[str], late: frozenset[str]) -> None:
        self.happen(Resolved({host: ip(20 + place) for place, host in enumerate(self.pool.servers)}, 3.0))
        watching = self.pool.service.monitors
        self.happen(Tried([Reported(host, name, report("", 5.0)) for host in sorted(passing) for name in watching]))
        self.happen(Overdue(late))

    @rule(hosts=st.frozensets(st.sampled_from(HOSTS)))
    def wait_for_moves(self, hosts: frozenset[str]) -> None:
        self.happen(Overdue(hosts))

    @rule(threshold=thresholds, monitors=monitors, optimistic=optimism, check=suspicion)
    def reconfigure(
        self, threshold: float, monitors: tuple[str, ...], check: SuspectCheck, *, optimistic: bool
    ) -> None:
        self.happen(Reconfigured(service(threshold, monitors, initially_up=optimistic, suspect_check=check)))

    @rule(order=st.permutations(HOSTS), events=st.lists(reports, max_size=12))
    def stop_holding(self, order: Sequence[str], events: list[Reported]) -> None:
        self.happen(Reconfigured(replace(self.pool.service, suspect_check=SuspectCheck.HOLD)))
        self.happen(Gathered([Reported(host, name, report(CAUSES[0], 40.0)) for host in order for name in (M, N)]))
        self.happen(Reconfigured(replace(self.pool.service, suspect_check=SuspectCheck.ALERT)))
        self.happen(Gathered(events))

    @rule(held=st.dictionaries(numbers, weights, max_size=6), found=st.dictionaries(st.sampled_from(HOSTS), numbers))
    def restart(self, held: Mapping[int, int], found: Mapping[str, int]) -> None:
        members = tuple(server.member for server in self.pool.servers.values())
        self.pool = self.expected = Pool(self.pool.service)
        self.happen(Adopted({ip(number): weight for number, weight in held.items()}))
        self.happen(Listed(members))
        self.happen(Resolved({host: ip(number) for host, number in found.items()}))

    @invariant()
    def census_counts_the_servers(self) -> None:
        servers, anew = self.pool.servers, Servers(dict(self.pool.servers))
        assert (dict(servers.census), servers.sharing) == (dict(anew.census), anew.sharing)

    @invariant()
    def correlated_failures_are_those_of_a_whole_search(self) -> None:
        interval = self.pool.service.interval
        expected = set(in_full.correlated_failures(self.pool.servers.values(), interval))
        assert set(finish(correlated_failures(self.pool.servers, interval))) == expected
        assert may_be_correlated(self.pool.servers) or not expected


def amended(weights: Mapping[Address, int], changed: Mapping[Address, int | None]) -> Mapping[Address, int]:
    """Return wanted addresses after changes, each of which must be one."""
    assert all(weights.get(address) != weight for address, weight in changed.items())
    after = {**weights, **changed}
    return {address: weight for address, weight in after.items() if weight is not None}


TestTwoPolicies = TwoPolicies.TestCase
TestTwoPolicies.settings = settings(
    max_examples=settings().max_examples,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
