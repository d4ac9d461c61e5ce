"""Names that are followed, with lookups that the test answers and Twisted's Clock."""

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
from pybal.resolve.follow import AT_ONCE, LAST_RETRY, LONGEST_LIFE, PATIENCE, SHORTEST_LIFE

NXDOMAIN = LookupFailed("no such name", definite=True)
SERVFAIL = LookupFailed("SERVFAIL", definite=False)

ONE, TWO, THREE = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Rig:
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
        told: list[str | None] = []
        following = self.resolver.follow(
            host, version, lambda address: told.append(None if address is None else str(address))
        )
        return following, told

    def turn(self) -> None:
        self.clock.advance(0)

    def answer(self, *addresses: str, host: str = "web1", ttl: float = 60) -> None:
        self.open[host].callback(LookupResult(tuple(ip_address(address) for address in addresses), ttl))

    def fail(self, failed: LookupFailed, host: str = "web1") -> None:
        self.open[host].errback(failed)

    def wait_for_lookup(self, host: str = "web1", at_most: float = 70) -> float:
        """Let time go by until the next lookup; return how long that took."""
        began = self.clock.seconds()
        while host not in self.open:
            assert self.clock.seconds() - began <= at_most, "no lookup"
            self.clock.advance(0.05)
        return self.clock.seconds() - began


@pytest.fixture
def rig() -> Rig:
    return Rig()


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


def test_a_name_is_looked_up_in_the_family_of_the_vip(rig: Rig) -> None:
    """T82747: servers of IPv6 VIPs were checked over IPv4."""
    _, four = rig.follow("web1", 4)
    rig.turn()
    rig.answer(ONE)
    _, six = rig.follow("web1", 6)
    rig.turn()
    rig.answer("2001:db8::1")
    assert rig.asked == [("web1", 4), ("web1", 6)]
    assert (four, six) == ([ONE], ["2001:db8::1"])


def test_nothing_happens_from_within_follow(rig: Rig) -> None:
    _, told = rig.follow()
    assert rig.asked == []
    rig.turn()
    rig.answer(ONE)
    _, late = rig.follow()
    assert late == []
    rig.turn()
    assert (told, late) == ([ONE], [ONE])


def test_an_address_is_found_in_the_next_turn_and_never_looked_up(rig: Rig) -> None:
    _, four = rig.follow("10.0.0.1", 4)
    _, six = rig.follow("2001:db8::1", 6)
    _, other = rig.follow("10.0.0.1", 6)
    assert (four, six, other) == ([], [], [])
    rig.turn()
    assert (four, six, other) == (["10.0.0.1"], ["2001:db8::1"], ["10.0.0.1"])
    rig.clock.advance(2 * LONGEST_LIFE)
    assert rig.asked == []
    assert rig.clock.getDelayedCalls() == []


def test_all_who_follow_a_name_share_its_lookups(rig: Rig) -> None:
    """On the largest balancer 11,100 entries have some 250 names."""
    followed = [rig.follow() for _ in range(44)]
    rig.turn()
    rig.answer(ONE)
    rig.wait_for_lookup()
    rig.answer(TWO)
    assert [told for _, told in followed] == [[ONE, TWO]] * 44
    assert len(rig.asked) == 2


def test_of_several_addresses_the_lowest_is_taken(rig: Rig) -> None:
    _, told = rig.follow()
    rig.turn()
    rig.answer("10.0.0.10", "10.0.0.9", "10.0.0.11")
    assert told == ["10.0.0.9"]


def test_an_address_is_kept_while_it_is_among_the_answers(rig: Rig) -> None:
    _, told = rig.follow()
    rig.turn()
    rig.answer(TWO, THREE)
    rig.wait_for_lookup()
    rig.answer(THREE, ONE, TWO)
    assert told == [TWO]
    rig.wait_for_lookup()
    rig.answer(THREE, ONE)
    assert told == [TWO, ONE]


def test_an_answer_that_says_the_same_is_not_told(rig: Rig) -> None:
    _, told = rig.follow()
    for _ in range(3):
        rig.wait_for_lookup()
        rig.answer(ONE)
    assert told == [ONE]


def test_a_changed_address_is_followed_when_the_answer_has_expired(rig: Rig) -> None:
    _, told = rig.follow()
    rig.turn()
    rig.answer(ONE, ttl=30)
    assert 30 <= rig.wait_for_lookup() <= 33.1
    rig.answer(TWO, ttl=30)
    assert told == [ONE, TWO]


@pytest.mark.parametrize(("ttl", "life"), [(0, SHORTEST_LIFE), (2**31, LONGEST_LIFE)])
def test_no_answer_lives_too_short_or_too_long(rig: Rig, ttl: float, life: float) -> None:
    rig.follow()
    rig.turn()
    rig.answer(ONE, ttl=ttl)
    assert life <= rig.wait_for_lookup(at_most=2 * life) <= 1.1 * life + 0.1


def test_names_with_the_same_ttl_are_not_renewed_all_at_once(rig: Rig) -> None:
    hosts = [f"web{i}" for i in range(20)]
    for host in hosts:
        rig.follow(host)
    rig.turn()
    for host in hosts:
        rig.answer(ONE, host=host)
    assert len({call.getTime() for call in rig.clock.getDelayedCalls()}) == 20


def test_a_name_that_did_not_resolve_at_the_start_is_tried_for_ever(rig: Rig) -> None:
    """A server whose name did not resolve at start was never tried again."""
    following, told = rig.follow()
    waits = []
    for _ in range(40):
        waits.append(rig.wait_for_lookup(at_most=1.3 * LAST_RETRY))
        rig.fail(SERVFAIL)
    assert waits[0] <= 0.05
    assert 0.7 < waits[1] < 1.4
    assert 1.4 < waits[2] < 2.6
    assert all(45 <= wait <= 75.1 for wait in waits[10:])
    assert len(set(waits[10:])) > 20
    assert told == []
    assert following.problem == "SERVFAIL"
    rig.wait_for_lookup(at_most=1.3 * LAST_RETRY)
    rig.answer(ONE)
    assert told == [ONE]
    assert following.problem is None


def test_a_name_that_is_known_to_have_no_address_is_told_once_and_tried_again(rig: Rig) -> None:
    following, told = rig.follow()
    for _ in range(3):
        rig.wait_for_lookup()
        rig.fail(NXDOMAIN)
    rig.wait_for_lookup()
    rig.fail(SERVFAIL)
    assert told == [None]
    assert following.problem == "SERVFAIL"
    rig.wait_for_lookup()
    rig.answer(ONE)
    assert told == [None, ONE]


def test_a_late_follower_of_a_name_without_address_is_told(rig: Rig) -> None:
    rig.follow()
    rig.turn()
    rig.fail(NXDOMAIN)
    rig.wait_for_lookup()
    rig.fail(SERVFAIL)
    _, late = rig.follow()
    rig.turn()
    assert late == [None]


@pytest.mark.parametrize("failed", [NXDOMAIN, SERVFAIL])
def test_a_failed_renewal_keeps_the_address(rig: Rig, failed: LookupFailed) -> None:
    following, told = rig.follow()
    rig.turn()
    rig.answer(ONE)
    rig.wait_for_lookup()
    rig.fail(failed)
    assert told == [ONE]
    assert following.problem == f"{failed}; 10.0.0.1 is kept"
    assert rig.wait_for_lookup() < 1.4
    rig.answer(ONE)
    assert following.problem is None
    assert told == [ONE]


def test_the_retries_begin_anew_after_a_success(rig: Rig) -> None:
    rig.follow()
    for _ in range(5):
        rig.wait_for_lookup()
        rig.fail(SERVFAIL)
    rig.wait_for_lookup()
    rig.answer(ONE)
    rig.wait_for_lookup()
    rig.fail(SERVFAIL)
    assert rig.wait_for_lookup() < 1.4


def test_a_lookup_that_never_ends_is_given_up_and_tried_again(rig: Rig) -> None:
    following, told = rig.follow()
    rig.turn()
    rig.clock.advance(PATIENCE)
    assert rig.cancelled == ["web1"]
    assert following.problem == "no answer in 15 s"
    rig.wait_for_lookup()
    rig.answer(ONE)
    assert told == [ONE]


def test_a_bug_of_the_lookup_does_not_end_the_renewals(rig: Rig, failures: list[str]) -> None:
    following, told = rig.follow()
    rig.turn()
    rig.open["web1"].errback(AssertionError("oh"))
    assert following.problem == "AssertionError('oh')"
    assert len(failures) == 1
    rig.wait_for_lookup()
    rig.answer(ONE)
    assert told == [ONE]


def test_a_follower_that_fails_keeps_nothing_from_the_others(rig: Rig, failures: list[str]) -> None:
    def fail(address: Address | None) -> None:
        raise ZeroDivisionError

    rig.resolver.follow("web1", 4, fail)
    _, told = rig.follow()
    rig.turn()
    rig.answer(ONE)
    assert told == [ONE]
    assert len(failures) == 1
    rig.wait_for_lookup()


def test_only_so_many_lookups_run_at_once(rig: Rig) -> None:
    hosts = [f"web{i}" for i in range(200)]
    for host in hosts:
        rig.follow(host)
    rig.turn()
    assert list(rig.open) == hosts[:AT_ONCE]
    rig.fail(SERVFAIL, "web3")
    rig.answer(ONE, host="web5")
    assert list(rig.open)[-2:] == ["web64", "web65"]
    assert len(rig.open) == AT_ONCE
    rig.clock.advance(PATIENCE)
    assert len(rig.open) == AT_ONCE


def test_names_that_wait_and_are_answered_at_once_do_not_overflow_the_stack(rig: Rig) -> None:
    told: list[Address | None] = []
    slow: list[Deferred[LookupResult]] = []

    async def lookup(host: str, version: int) -> LookupResult:
        if len(slow) < AT_ONCE:
            slow.append(Deferred())
            return await slow[-1]
        return LookupResult((ip_address(ONE),), 60)

    resolver = Resolver(lookup, rig.clock, Random(1))
    for i in range(1500):
        resolver.follow(f"web{i}", 4, told.append)
    rig.turn()
    slow[0].callback(LookupResult((ip_address(ONE),), 60))
    assert len(told) == 1500 - AT_ONCE + 1
    resolver.stop()
    assert rig.clock.getDelayedCalls() == []


def test_a_name_that_nobody_follows_any_more_is_forgotten(rig: Rig) -> None:
    first, _ = rig.follow()
    second, told = rig.follow()
    rig.turn()
    first.stop()
    assert rig.cancelled == []
    second.stop()
    second.stop()
    assert rig.cancelled == ["web1"]
    assert rig.clock.getDelayedCalls() == []
    _, again = rig.follow()
    rig.turn()
    rig.answer(ONE)
    assert (told, again) == ([], [ONE])


def test_a_name_that_waits_for_its_turn_and_is_dropped_is_not_looked_up(rig: Rig) -> None:
    followed = [rig.follow(f"web{i}")[0] for i in range(AT_ONCE + 2)]
    rig.turn()
    followed[AT_ONCE].stop()
    rig.answer(ONE, host="web0")
    assert ("web64", 4) not in rig.asked
    assert ("web65", 4) in rig.asked


def test_stopping_starts_no_lookup(rig: Rig) -> None:
    for i in range(2 * AT_ONCE):
        rig.follow(f"web{i}")
    rig.turn()
    rig.resolver.stop()
    assert len(rig.asked) == len(rig.cancelled) == AT_ONCE


def test_a_following_stopped_before_the_next_turn_is_told_nothing(rig: Rig) -> None:
    following, told = rig.follow("10.0.0.1")
    following.stop()
    rig.turn()
    assert told == []


def test_a_follower_may_stop_another(rig: Rig) -> None:
    told: list[Address | None] = []
    rig.resolver.follow("web1", 4, lambda _: second.stop())
    second = rig.resolver.follow("web1", 4, told.append)
    rig.turn()
    rig.answer(ONE)
    assert told == []


def test_after_stop_nothing_is_told_and_nothing_is_left(rig: Rig) -> None:
    _, resolved = rig.follow("web1")
    _, asked = rig.follow("web2")
    _, literal = rig.follow("10.0.0.9")
    rig.turn()
    rig.answer(ONE, host="web1")
    _, fresh = rig.follow("web1")
    rig.resolver.stop()
    rig.resolver.stop()
    assert rig.cancelled == ["web2"]
    assert rig.clock.getDelayedCalls() == []
    rig.clock.advance(100)
    assert (resolved, asked, literal, fresh) == ([ONE], [], ["10.0.0.9"], [])
