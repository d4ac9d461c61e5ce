"""The resolver, with lookups answered by the test and Twisted's Clock."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from pybal.core.model import Address
from pybal.resolve import Follower, LookupFailed, LookupResult, Resolver
from pybal.resolve.follow import LAST_RETRY, LONGEST_LIFE, MAX_CONCURRENT, SHORTEST_LIFE, TIMEOUT

NXDOMAIN = LookupFailed("no such name", definite=True)
SERVFAIL = LookupFailed("SERVFAIL", definite=False)

ONE, TWO, THREE = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class ManualResolver:
    """A resolver whose lookups wait until the test answers them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, int]] = []
        self.open: dict[str, Deferred[LookupResult]] = {}
        self.cancelled: list[str] = []
        self.resolver = Resolver(self._lookup, self.clock, Random(1))

    async def _lookup(self, host: str, version: int) -> LookupResult:
        self.asked.append((host, version))
        waiting = self.open[host] = Deferred(lambda _: self.cancelled.append(host))
        try:
            return await waiting
        finally:
            del self.open[host]

    def follow(self, host: str = "web1", version: int = 4) -> tuple[Follower, list[str | None]]:
        reports: list[str | None] = []
        follower = self.resolver.follow(
            host, version, lambda address: reports.append(None if address is None else str(address))
        )
        return follower, reports

    def turn(self) -> None:
        self.clock.advance(0)

    def answer(self, *addresses: str, host: str = "web1", ttl: float = 60) -> None:
        self.open[host].callback(LookupResult(tuple(ip_address(address) for address in addresses), ttl))

    def fail(self, failed: LookupFailed, host: str = "web1") -> None:
        self.open[host].errback(failed)

    def wait_for_lookup(self, host: str = "web1", at_most: float = 70) -> float:
        """Advance the clock until the next lookup; return the seconds it took."""
        began = self.clock.seconds()
        while host not in self.open:
            assert self.clock.seconds() - began <= at_most, "no lookup"
            self.clock.advance(0.05)
        return self.clock.seconds() - began


@pytest.fixture
def names() -> ManualResolver:
    return ManualResolver()


@pytest.fixture
def failures() -> Iterator[list[str]]:
    seen: list[str] = []

    @provider(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if "log_failure" in event:
            seen.append(str(event["log_failure"]))

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_resolver_looks_up_the_family_of_the_vip(names: ManualResolver) -> None:
    """T82747: servers of IPv6 VIPs were checked over IPv4."""
    _, four = names.follow("web1", 4)
    names.turn()
    names.answer(ONE)
    _, six = names.follow("web1", 6)
    names.turn()
    names.answer("2001:db8::1")
    assert names.asked == [("web1", 4), ("web1", 6)]
    assert (four, six) == ([ONE], ["2001:db8::1"])


def test_follow_never_calls_back_before_it_returns(names: ManualResolver) -> None:
    _, reports = names.follow()
    assert names.asked == []
    names.turn()
    names.answer(ONE)
    _, late = names.follow()
    assert late == []
    names.turn()
    assert (reports, late) == ([ONE], [ONE])


def test_resolver_reports_an_address_unchanged_without_a_lookup(names: ManualResolver) -> None:
    _, four = names.follow("10.0.0.1", 4)
    _, six = names.follow("2001:db8::1", 6)
    _, other = names.follow("10.0.0.1", 6)
    assert (four, six, other) == ([], [], [])
    names.turn()
    assert (four, six, other) == (["10.0.0.1"], ["2001:db8::1"], ["10.0.0.1"])
    names.clock.advance(2 * LONGEST_LIFE)
    assert names.asked == []
    assert names.clock.getDelayedCalls() == []


def test_followers_of_a_name_share_its_lookups(names: ManualResolver) -> None:
    """The largest balancer has 11,100 entries with some 250 names."""
    followers = [names.follow() for _ in range(44)]
    names.turn()
    names.answer(ONE)
    names.wait_for_lookup()
    names.answer(TWO)
    assert [reports for _, reports in followers] == [[ONE, TWO]] * 44
    assert len(names.asked) == 2


def test_resolver_selects_the_lowest_of_several_addresses(names: ManualResolver) -> None:
    _, reports = names.follow()
    names.turn()
    names.answer("10.0.0.10", "10.0.0.9", "10.0.0.11")
    assert reports == ["10.0.0.9"]


def test_resolver_keeps_an_address_while_answers_contain_it(names: ManualResolver) -> None:
    _, reports = names.follow()
    names.turn()
    names.answer(TWO, THREE)
    names.wait_for_lookup()
    names.answer(THREE, ONE, TWO)
    assert reports == [TWO]
    names.wait_for_lookup()
    names.answer(THREE, ONE)
    assert reports == [TWO, ONE]


def test_resolver_does_not_report_an_unchanged_answer(names: ManualResolver) -> None:
    _, reports = names.follow()
    for _ in range(3):
        names.wait_for_lookup()
        names.answer(ONE)
    assert reports == [ONE]


def test_resolver_reports_a_new_address_after_the_answer_expires(names: ManualResolver) -> None:
    _, reports = names.follow()
    names.turn()
    names.answer(ONE, ttl=30)
    assert 30 <= names.wait_for_lookup() <= 33.1
    names.answer(TWO, ttl=30)
    assert reports == [ONE, TWO]


@pytest.mark.parametrize(("ttl", "life"), [(0, SHORTEST_LIFE), (2**31, LONGEST_LIFE)])
def test_resolver_bounds_the_time_to_live(names: ManualResolver, ttl: float, life: float) -> None:
    names.follow()
    names.turn()
    names.answer(ONE, ttl=ttl)
    assert life <= names.wait_for_lookup(at_most=2 * life) <= 1.1 * life + 0.1


def test_resolver_spreads_the_renewals_of_names_with_the_same_ttl(names: ManualResolver) -> None:
    hosts = [f"web{i}" for i in range(20)]
    for host in hosts:
        names.follow(host)
    names.turn()
    for host in hosts:
        names.answer(ONE, host=host)
    assert len({call.getTime() for call in names.clock.getDelayedCalls()}) == 20


def test_resolver_retries_an_unresolved_name_indefinitely(names: ManualResolver) -> None:
    """Fix of a bug in 1.15: a server whose name did not resolve at start was never retried."""
    follower, reports = names.follow()
    waits = []
    for _ in range(40):
        waits.append(names.wait_for_lookup(at_most=1.3 * LAST_RETRY))
        names.fail(SERVFAIL)
    assert waits[0] <= 0.05
    assert 0.7 < waits[1] <= 1.05
    assert 1.4 < waits[2] <= 2.05
    assert all(45 <= wait <= 60.1 for wait in waits[10:])
    assert len(set(waits[10:])) > 20
    assert reports == []
    assert follower.problem == "SERVFAIL"
    names.wait_for_lookup(at_most=1.3 * LAST_RETRY)
    names.answer(ONE)
    assert reports == [ONE]
    assert follower.problem is None


def test_resolver_reports_a_missing_address_once_and_retries(names: ManualResolver) -> None:
    follower, reports = names.follow()
    for _ in range(3):
        names.wait_for_lookup()
        names.fail(NXDOMAIN)
    names.wait_for_lookup()
    names.fail(SERVFAIL)
    assert reports == [None]
    assert follower.problem == "SERVFAIL"
    names.wait_for_lookup()
    names.answer(ONE)
    assert reports == [None, ONE]


def test_late_follower_receives_the_missing_address(names: ManualResolver) -> None:
    names.follow()
    names.turn()
    names.fail(NXDOMAIN)
    names.wait_for_lookup()
    names.fail(SERVFAIL)
    _, late = names.follow()
    names.turn()
    assert late == [None]


@pytest.mark.parametrize("failed", [NXDOMAIN, SERVFAIL])
def test_failed_renewal_keeps_the_address(names: ManualResolver, failed: LookupFailed) -> None:
    follower, reports = names.follow()
    names.turn()
    names.answer(ONE)
    names.wait_for_lookup()
    names.fail(failed)
    assert reports == [ONE]
    assert follower.problem == f"{failed}; keeping 10.0.0.1"
    assert names.wait_for_lookup() < 1.4
    names.answer(ONE)
    assert follower.problem is None
    assert reports == [ONE]


def test_retry_delay_resets_after_a_success(names: ManualResolver) -> None:
    names.follow()
    for _ in range(5):
        names.wait_for_lookup()
        names.fail(SERVFAIL)
    names.wait_for_lookup()
    names.answer(ONE)
    names.wait_for_lookup()
    names.fail(SERVFAIL)
    assert names.wait_for_lookup() < 1.4


def test_lookup_times_out_and_is_retried(names: ManualResolver) -> None:
    follower, reports = names.follow()
    names.turn()
    names.clock.advance(TIMEOUT)
    assert names.cancelled == ["web1"]
    assert follower.problem == "no response in 15 s"
    names.wait_for_lookup()
    names.answer(ONE)
    assert reports == [ONE]


def test_exception_in_a_lookup_does_not_end_renewals(names: ManualResolver, failures: list[str]) -> None:
    follower, reports = names.follow()
    names.turn()
    names.open["web1"].errback(AssertionError("oh"))
    assert follower.problem == "AssertionError('oh')"
    assert len(failures) == 1
    names.wait_for_lookup()
    names.answer(ONE)
    assert reports == [ONE]


def test_exception_in_a_follower_does_not_affect_others(names: ManualResolver, failures: list[str]) -> None:
    def fail(address: Address | None) -> None:
        raise ZeroDivisionError

    names.resolver.follow("web1", 4, fail)
    _, reports = names.follow()
    names.turn()
    names.answer(ONE)
    assert reports == [ONE]
    assert len(failures) == 1
    names.wait_for_lookup()


def test_resolver_limits_concurrent_lookups(names: ManualResolver) -> None:
    hosts = [f"web{i}" for i in range(200)]
    for host in hosts:
        names.follow(host)
    names.turn()
    assert list(names.open) == hosts[:MAX_CONCURRENT]
    names.fail(SERVFAIL, "web3")
    names.answer(ONE, host="web5")
    assert list(names.open)[-2:] == ["web64", "web65"]
    assert len(names.open) == MAX_CONCURRENT
    names.clock.advance(TIMEOUT)
    assert len(names.open) == MAX_CONCURRENT


def test_synchronous_lookups_do_not_overflow_the_stack(names: ManualResolver) -> None:
    reports: list[Address | None] = []
    slow: list[Deferred[LookupResult]] = []

    async def lookup(host: str, version: int) -> LookupResult:
        if len(slow) < MAX_CONCURRENT:
            slow.append(Deferred())
            return await slow[-1]
        return LookupResult((ip_address(ONE),), 60)

    resolver = Resolver(lookup, names.clock, Random(1))
    for i in range(1500):
        resolver.follow(f"web{i}", 4, reports.append)
    names.turn()
    slow[0].callback(LookupResult((ip_address(ONE),), 60))
    assert len(reports) == 1500 - MAX_CONCURRENT + 1
    resolver.stop()
    assert names.clock.getDelayedCalls() == []


def test_resolver_drops_a_name_without_followers(names: ManualResolver) -> None:
    first, _ = names.follow()
    second, reports = names.follow()
    names.turn()
    first.stop()
    assert names.cancelled == []
    second.stop()
    second.stop()
    assert names.cancelled == ["web1"]
    assert names.clock.getDelayedCalls() == []
    _, again = names.follow()
    names.turn()
    names.answer(ONE)
    assert (reports, again) == ([], [ONE])


def test_resolver_skips_a_waiting_name_without_followers(names: ManualResolver) -> None:
    followers = [names.follow(f"web{i}")[0] for i in range(MAX_CONCURRENT + 2)]
    names.turn()
    followers[MAX_CONCURRENT].stop()
    names.answer(ONE, host="web0")
    assert ("web64", 4) not in names.asked
    assert ("web65", 4) in names.asked


def test_stop_starts_no_lookup(names: ManualResolver) -> None:
    for i in range(2 * MAX_CONCURRENT):
        names.follow(f"web{i}")
    names.turn()
    names.resolver.stop()
    assert len(names.asked) == len(names.cancelled) == MAX_CONCURRENT


def test_follower_stopped_immediately_receives_nothing(names: ManualResolver) -> None:
    follower, reports = names.follow("10.0.0.1")
    follower.stop()
    names.turn()
    assert reports == []


def test_follower_can_stop_another(names: ManualResolver) -> None:
    reports: list[Address | None] = []
    names.resolver.follow("web1", 4, lambda _: second.stop())
    second = names.resolver.follow("web1", 4, reports.append)
    names.turn()
    names.answer(ONE)
    assert reports == []


def test_stop_ends_all_reports_and_leaves_no_timers(names: ManualResolver) -> None:
    _, resolved = names.follow("web1")
    _, asked = names.follow("web2")
    _, literal = names.follow("10.0.0.9")
    names.turn()
    names.answer(ONE, host="web1")
    _, fresh = names.follow("web1")
    names.resolver.stop()
    names.resolver.stop()
    assert names.cancelled == ["web2"]
    assert names.clock.getDelayedCalls() == []
    names.clock.advance(100)
    assert (resolved, asked, literal, fresh) == ([ONE], [], ["10.0.0.9"], [])
