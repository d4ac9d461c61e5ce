"""The policy under arbitrary sequences of events, starting from full healthy pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pybal.core.events import Adopted, Event, Listed, Overdue, Reconfigured, Reported, Resolved, Tried
from pybal.core.model import Address, Member, Pool, Report, Server
from pybal.core.policy import step, wanted
from tests.harness.pool_events import M, N, healthy, ip, service
from tests.property import policy_laws as laws

T = TypeVar("T")

HOSTS = "abcdefghijkl"
REASONS = ("connect: refused", "status: HTTP 500, wanted 200")

thresholds = st.sampled_from((0.5, 0.66, 0.3, 0.01, 0.75, 1, 0))
monitors = st.sampled_from(((M,), (M, N), (N,), ()))
optimism = st.sampled_from((False, False, False, True))
# An index into the servers, modulo their number.
which = st.integers(0, 7)
# Few numbers, so that hosts share addresses.
numbers = st.integers(1, 10)
weights = st.integers(0, 3)


class PolicyMachine(RuleBasedStateMachine):
    """A pool and its events."""

    pool: Pool

    @initialize(total=st.integers(1, 8), threshold=thresholds, monitors=monitors, optimistic=optimism)
    def start_healthy(self, total: int, threshold: float, monitors: tuple[str, ...], *, optimistic: bool) -> None:
        self.pool = healthy(HOSTS[:total], threshold, monitors, initially_up=optimistic)

    def happen(self, event: Event) -> None:
        before, self.pool = self.pool, step(self.pool, event)
        laws.check(before, event, self.pool)

    def hosts(self) -> list[str]:
        return list(self.pool.servers)

    def members(self) -> list[Member]:
        return [server.member for server in self.pool.servers.values()]

    def edit(self, change: Callable[[Member], Member]) -> None:
        self.happen(Listed(tuple(map(change, self.members()))))

    def report_host(self, host: str, *, up: bool) -> None:
        for monitor in self.pool.service.monitors:
            self.happen(Reported(host, monitor, Report(up, "" if up else "connect: timeout")))

    @precondition(lambda self: self.pool.servers and self.pool.service.monitors)
    @rule(host=which, monitor=which, up=st.booleans(), reason=st.sampled_from(REASONS))
    def report(self, host: int, monitor: int, *, up: bool, reason: str) -> None:
        watching = self.pool.service.monitors
        report = Report(up, "" if up else reason)
        self.happen(Reported(pick(self.hosts(), host), pick(watching, monitor), report))

    @rule(order=st.permutations(range(8)), up=st.booleans())
    def report_all(self, order: Sequence[int], *, up: bool) -> None:
        for host in sorted(self.hosts(), key=shuffled(order, self.hosts())):
            self.report_host(host, up=up)

    @rule(fates=st.lists(st.sampled_from(("up", "down", "moves", "down and moves", "stays")), min_size=8, max_size=8))
    def storm(self, fates: list[str]) -> None:
        for place, (host, fate) in enumerate(zip(self.hosts(), fates, strict=False)):
            if fate in {"up", "down", "down and moves"}:
                self.report_host(host, up=fate == "up")
            if fate in {"moves", "down and moves"}:
                here = self.pool.servers[host].address == ip(10 + place)
                self.happen(Resolved({host: ip(20 + place if here else 10 + place)}))

    @rule(host=st.sampled_from(HOSTS), monitor=st.sampled_from((M, N)))
    def report_any_host(self, host: str, monitor: str) -> None:
        self.happen(Reported(host, monitor, Report(up=False)))

    @rule(host=st.sampled_from(HOSTS), weight=weights, enabled=st.booleans(), place=which)
    def add(self, host: str, weight: int, place: int, *, enabled: bool) -> None:
        others = [member for member in self.members() if member.host != host]
        others.insert(place, Member(host, weight, enabled))
        self.happen(Listed(tuple(others)))

    @rule(host=which, count=st.integers(1, 4))
    def remove(self, host: int, count: int) -> None:
        members = self.members()
        self.happen(Listed(tuple(members[:host] + members[host + count :])))

    @rule(order=st.permutations(range(8)))
    def reorder(self, order: Sequence[int]) -> None:
        members = sorted(self.members(), key=lambda member: shuffled(order, self.hosts())(member.host))
        self.happen(Listed(tuple(members)))

    @precondition(lambda self: self.pool.servers)
    @rule(host=which, weight=weights)
    def reweight(self, host: int, weight: int) -> None:
        chosen = pick(self.hosts(), host)
        self.edit(lambda member: replace(member, weight=weight) if member.host == chosen else member)

    @precondition(lambda self: self.pool.servers)
    @rule(host=which)
    def toggle(self, host: int) -> None:
        chosen = pick(self.hosts(), host)
        self.edit(lambda member: replace(member, enabled=member.enabled != (member.host == chosen)))

    @rule(enabled=st.booleans())
    def toggle_all(self, *, enabled: bool) -> None:
        self.edit(lambda member: replace(member, enabled=enabled))

    @rule(hosts=st.lists(st.sampled_from(HOSTS), max_size=8))
    def replace_wholesale(self, hosts: list[str]) -> None:
        self.happen(Listed(tuple(map(Member, hosts))))

    @rule(found=st.dictionaries(st.sampled_from(HOSTS), st.none() | numbers, max_size=8))
    def resolve(self, found: dict[str, int | None]) -> None:
        self.happen(Resolved({host: None if number is None else ip(number) for host, number in found.items()}))

    @precondition(lambda self: self.pool.servers)
    @rule(host=which, found=st.none() | numbers)
    def resolve_one(self, host: int, found: int | None) -> None:
        self.happen(Resolved({pick(self.hosts(), host): None if found is None else ip(found)}))

    @precondition(lambda self: self.pool.servers and self.pool.service.monitors)
    @rule(host=which, monitor=which, up=st.booleans())
    def try_next_address(self, host: int, monitor: int, *, up: bool) -> None:
        name = pick(self.pool.service.monitors, monitor)
        self.happen(Tried([Reported(pick(self.hosts(), host), name, Report(up, "" if up else REASONS[0]))]))

    @rule(hosts=st.frozensets(st.sampled_from(HOSTS)))
    def wait_for_moves(self, hosts: frozenset[str]) -> None:
        self.happen(Overdue(hosts))

    @rule(passing=st.sets(st.sampled_from(HOSTS)))
    def move_all(self, passing: set[str]) -> None:
        """Move every server to its own new address; some of these pass."""
        self.happen(Resolved({host: ip(40 + place) for place, host in enumerate(self.hosts())}))
        for host in sorted(passing):
            for monitor in self.pool.service.monitors:
                self.happen(Tried([Reported(host, monitor, Report(True))]))

    @precondition(lambda self: self.pool.servers)
    @rule(one=which, other=which)
    def swap(self, one: int, other: int) -> None:
        first, second = (pick(list(self.pool.servers.values()), host) for host in (one, other))
        self.happen(Resolved({first.host: second.address, second.host: first.address}))

    @precondition(lambda self: self.pool.servers)
    @rule(one=which, others=st.sets(which, min_size=1, max_size=3))
    def join(self, one: int, others: set[int]) -> None:
        there = pick(list(self.pool.servers.values()), one).address
        self.happen(Resolved({pick(self.hosts(), other): there for other in others}))

    @precondition(lambda self: len(self.pool.servers) > 2)
    @rule(order=st.permutations(range(8)))
    def share_address(self, order: Sequence[int]) -> None:
        """Move a third host to the address of two others, one up and one down."""
        up, down, third, *_ = sorted(self.hosts(), key=shuffled(order, self.hosts()))
        self.happen(Resolved({down: self.pool.servers[up].address}))
        self.report_host(down, up=False)
        self.report_host(up, up=True)
        self.happen(Resolved({third: self.pool.servers[up].address}))

    @rule(threshold=thresholds)
    def change_the_threshold(self, threshold: float) -> None:
        self.happen(Reconfigured(replace(self.pool.service, depool_threshold=threshold)))

    @rule(threshold=thresholds, monitors=monitors, optimistic=optimism)
    def reconfigure(self, threshold: float, monitors: tuple[str, ...], *, optimistic: bool) -> None:
        self.happen(Reconfigured(service(threshold, monitors, initially_up=optimistic)))

    @rule(held=st.dictionaries(numbers, weights, max_size=6))
    def adopt(self, held: dict[int, int]) -> None:
        self.happen(Adopted({ip(number): weight for number, weight in held.items()}))

    @rule(held=st.dictionaries(numbers, weights, max_size=6))
    def start_cold(self, held: dict[int, int]) -> None:
        """Start with a kernel that holds arbitrary addresses, before any name has resolved."""
        members = tuple(self.members())
        self.pool = Pool(self.pool.service)
        self.adopt(held)
        self.happen(Listed(members))

    @precondition(lambda self: not self.pool.service.initially_up and not any(map(moving, self.pool.servers.values())))
    @rule(order=st.permutations(range(8)), one_by_one=st.booleans())
    def restart(self, order: Sequence[int], *, one_by_one: bool) -> None:
        """Restart; the wanted set must not change while names resolve and reports arrive again."""
        old = self.pool
        addresses = [server.address for server in old.servers.values() if server.address]
        shared = len(addresses) != len(set(addresses))
        found = {h: s.address for h, s in old.servers.items() if s.address or s.unresolvable}
        hosts = sorted(found, key=shuffled(order, self.hosts()))
        # Two hosts at one address both claim it only if they resolve together.
        lookups = [{host: found[host]} for host in hosts] if one_by_one and not shared else [found]
        reports: list[Event] = [
            Reported(host, monitor, report)
            for host in hosts
            for monitor, report in old.servers[host].reports.items()
            if report is not None
        ]
        self.pool = Pool(old.service)
        events: list[Event] = [Adopted(wanted(old)), Listed(tuple(server.member for server in old.servers.values()))]
        for event in events + [Resolved(lookup) for lookup in lookups] + reports:
            self.happen(event)
            assert wanted(self.pool).keys() == wanted(old).keys()
        assert shared or wanted(self.pool) == wanted(old)

    @invariant()
    def repeated_facts_change_nothing(self) -> None:
        pool = self.pool
        assert step(pool, Reconfigured(replace(pool.service))) is pool
        assert step(pool, Adopted(dict(pool.held))) is pool
        assert step(pool, Resolved({host: found(server) for host, server in known(pool)})) is pool
        assert not pool.listed or step(pool, Listed(tuple(self.members()))) is pool


def moving(server: Server) -> bool:
    return server.move is not None


def found(server: Server) -> Address | None:
    """Return the address that the name service returns."""
    return server.address if server.move is None else server.move.address


def known(pool: Pool) -> list[tuple[str, Server]]:
    return [(host, server) for host, server in pool.servers.items() if server.address or server.unresolvable]


def pick(choices: Sequence[T], index: int) -> T:
    return choices[index % len(choices)]


def shuffled(order: Sequence[int], hosts: list[str]) -> Callable[[str], int]:
    return lambda host: order[hosts.index(host) % len(order)]


TestPolicy = PolicyMachine.TestCase
TestPolicy.settings = settings(
    max_examples=2 * settings().max_examples,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
