"""Which VIPs are announced, and the reason for each that is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import pytest

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Decided, Drain, Memory, Standing, Verdict, announced, decide
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings, DrainSettings, VIPPolicy
from pybal.core.model import Address, Pool
from tests.harness.pool_events import address, after, down, fresh, healthy, listed, off, resolved, service, up

VIP = ip_address("192.0.2.1")
SETTINGS = BGPSettings((), wait=30.0, drain=DrainSettings(med=1000, wait=60.0))
ALL: dict[str, Any] = {"policy": VIPPolicy.ALL}


def named(pool: Pool, name: str) -> Pool:
    return replace(pool, service=replace(pool.service, name=name))


def fit(name: str = "web", *, verified: bool = True, **more: Any) -> Standing:
    return Standing(named(healthy("abcd"), name), verified, **more)


def unlisted(name: str = "web", **more: Any) -> Standing:
    return Standing(named(Pool(service()), name), False, **more)


def empty(name: str = "web", **more: Any) -> Standing:
    pool = after(Pool(service()), listed(off("a"), off("b")), resolved("ab"))
    return Standing(named(pool, name), True, **more)


def unchecked(name: str = "web", *, verified: bool = True, **more: Any) -> Standing:
    return Standing(named(after(fresh("abcd"), up("a")), name), verified, **more)


class History:
    """Decisions one after the other, each from what the one before remembered."""

    def __init__(self, settings: BGPSettings = SETTINGS, advertised: Iterable[Address] = ()) -> None:
        self.settings = settings
        self.advertised = tuple(advertised)
        self.memory = Memory()
        self.drains: dict[Address | None, Drain] = {}

    def decide(self, now: float, *standings: Standing) -> Decided:
        decided = decide(
            standings, self.advertised, drains=self.drains, settings=self.settings, memory=self.memory, now=now
        )
        self.memory = decided.memory
        return decided

    def verdict(self, now: float, *standings: Standing) -> Verdict:
        (verdict,) = self.decide(now, *standings).verdicts
        return verdict

    def told(self, now: float, *standings: Standing) -> str:
        verdict = self.verdict(now, *standings)
        assert (verdict.announcement is None) == (verdict.why is not None)
        return f"{verdict.why or 'announced'} ({verdict.detail})"


def test_a_vip_whose_servers_are_checked_and_in_the_kernel_is_announced() -> None:
    verdict = History().verdict(5.0, fit(med=7))
    assert verdict == Verdict(VIP, Announcement(VIP, 7), None, "1 service verified, 4 of 4 servers pooled", 5.0)


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (unlisted(), "no-config (web: no list of servers yet)"),
        (fit(verified=False), "kernel-not-verified (web: IPVS does not hold what is wanted yet)"),
        (unchecked(), "first-checks (web: 3 of 4 servers unknown)"),
        (empty(), "empty (web: 0 of 2 servers pooled)"),
        (fit(least=Limit(5)), "below (web: 4 of 4 servers serving, wanted 5)"),
        (fit(frozen=True), "frozen (web)"),
    ],
)
def test_each_reason_not_to_announce_has_its_word(standing: Standing, told: str) -> None:
    assert History().told(0.0, standing) == told


@pytest.mark.parametrize("standing", [unlisted(), fit(verified=False), unchecked(), fit(frozen=True)])
def test_what_is_not_known_takes_no_announcement_back(standing: Standing) -> None:
    history = History()
    assert history.verdict(0.0, fit()).announcement
    assert history.verdict(1.0, standing).announcement


@pytest.mark.parametrize(("standing", "why"), [(empty(), "empty"), (fit(least=Limit(5)), "below")])
def test_what_is_known_takes_it_back_at_once(standing: Standing, why: str) -> None:
    history = History()
    assert history.verdict(0.0, fit()).announcement
    assert history.verdict(1.0, standing).why == why


def test_first_checks_are_waited_for_from_the_first_list_on_and_no_longer_than_told() -> None:
    history = History()
    assert history.verdict(0.0, unlisted()).why == "no-config"
    assert history.decide(40.0, unchecked()).wake == 70.0
    assert history.verdict(69.9, unchecked()).why == "first-checks"
    assert history.verdict(70.0, unchecked()).announcement


def test_servers_without_an_address_yet_are_waited_for_too() -> None:
    pool = after(Pool(service()), listed("ab"), resolved("a"), up("a"))
    assert History().told(0.0, Standing(pool, True)) == "first-checks (web: 1 of 2 servers unknown)"


def test_servers_that_are_pooled_only_once_checked_are_waited_for() -> None:
    assert History().told(0.0, Standing(fresh("ab", 0.0), True)) == "first-checks (web: 2 of 2 servers unknown)"


def test_disabled_servers_and_names_without_an_address_are_not_waited_for() -> None:
    pool = after(Pool(service()), listed("ab", off("c")), resolved("a"), up("a"))
    nowhere = replace(pool.servers["b"], nowhere=True)
    pool = replace(pool, servers=MappingProxyType({**pool.servers, "b": nowhere}))
    assert History().verdict(0.0, Standing(pool, True)).announcement


def test_a_vip_has_one_announcement_whatever_its_services() -> None:
    decided = History().decide(0.0, fit("web"), fit("tls"))
    assert list(announced(decided.verdicts)) == [Announcement(VIP)]
    assert decided.verdicts[0].detail == "2 services verified, 8 of 8 servers pooled"


def test_a_vip_waits_for_all_of_its_services_and_then_makes_do_with_one() -> None:
    history = History()
    assert history.told(0.0, fit("web"), unlisted("tls")) == "no-config (tls: no list of servers yet)"
    assert history.decide(29.9, fit("web"), unlisted("tls")).wake == 30.0
    assert history.verdict(30.0, fit("web"), unlisted("tls")).announcement


def test_a_service_that_is_known_to_be_empty_is_not_waited_for() -> None:
    assert History().verdict(0.0, fit("web"), empty("tls")).announcement


def test_with_the_policy_all_each_service_must_be_fit_however_long_it_takes() -> None:
    history = History()
    assert history.verdict(0.0, fit("web", **ALL), unlisted("tls", **ALL)).why == "no-config"
    assert history.verdict(99.0, fit("web", **ALL), empty("tls", **ALL)).why == "empty"
    assert history.verdict(99.0, fit("web", **ALL), fit("tls", **ALL)).announcement
    assert history.told(99.0, fit("web", **ALL), empty("tls", **ALL)) == "empty (tls: 0 of 2 servers pooled)"


def test_with_the_policy_any_a_vip_stays_while_one_service_is_fit() -> None:
    history = History()
    history.verdict(0.0, fit("web"), fit("tls"))
    assert history.verdict(1.0, empty("web"), fit("tls")).announcement
    assert history.verdict(2.0, empty("web"), empty("tls")).why == "empty"


def test_a_service_that_never_had_a_list_does_not_keep_a_vip_alone() -> None:
    history = History()
    history.verdict(0.0, fit("web"), unlisted("tls"))
    assert history.verdict(30.0, fit("web"), unlisted("tls")).announcement
    assert history.verdict(31.0, empty("web"), unlisted("tls")).announcement is None


def test_a_service_added_to_an_announced_vip_takes_nothing_back() -> None:
    history = History()
    history.verdict(0.0, fit("web", **ALL))
    assert history.verdict(1.0, fit("web", **ALL), unlisted("tls", **ALL)).announcement


def test_a_service_with_too_few_servers_returns_when_enough_have_served_for_a_while() -> None:
    history, least = History(), Limit(3)
    pool = healthy("abcd")
    assert history.verdict(0.0, Standing(pool, True, least=least)).announcement
    sick = after(pool, down("a"), down("b"))
    assert history.told(1.0, Standing(sick, True, least=least)) == "below (web: 2 of 4 servers serving, wanted 3)"
    better = after(sick, up("b"))
    decided = history.decide(5.0, Standing(better, True, least=least))
    assert decided.verdicts[0].detail == "web: 3 of 4 servers serving, wanted 3, for 30 s"
    assert decided.wake == 30.0
    assert history.verdict(20.0, Standing(sick, True, least=least)).why == "below"
    assert history.decide(25.0, Standing(better, True, least=least)).wake == 30.0
    assert history.decide(30.0, Standing(better, True, least=least)).wake == 55.0
    assert history.verdict(54.9, Standing(better, True, least=least)).why == "below"
    assert history.verdict(55.0, Standing(better, True, least=least)).announcement


def test_servers_not_checked_yet_are_not_too_few_to_stay_and_too_few_to_begin() -> None:
    history, least = History(), Limit(percent=50)
    assert history.verdict(0.0, unchecked(least=least)).why == "first-checks"
    assert history.verdict(30.0, unchecked(least=least)).why == "below"
    assert history.verdict(31.0, fit(least=least)).announcement
    assert history.verdict(32.0, unchecked(least=least)).announcement


def test_what_is_frozen_stays_as_it_is() -> None:
    made, held = History(), History()
    made.verdict(0.0, fit())
    assert made.verdict(1.0, empty(frozen=True)).announcement
    assert held.told(0.0, fit("web", frozen=True), fit("tls")) == "frozen (web)"


def test_a_pool_of_adopted_addresses_that_stays_in_the_kernel_is_not_empty() -> None:
    pool = replace(after(Pool(service()), listed("ab")), held=MappingProxyType({address("a"): 10}))
    history = History()
    history.verdict(0.0, fit())
    assert history.verdict(1.0, Standing(pool, True)).announcement


def test_without_the_gate_a_vip_is_announced_from_the_start_to_the_end() -> None:
    history = History(replace(SETTINGS, gate=False))
    assert history.told(0.0, unlisted()) == "announced (no gate; 0 services verified, 0 of 0 servers pooled)"
    assert history.verdict(1.0, empty()).announcement
    history.drains[VIP] = Drain(VIP, 2.0, "root", "x")
    assert history.verdict(62.0, fit()).why == "drained"


def test_an_address_for_the_endpoints_alone_is_announced_with_the_global_med() -> None:
    extra = ip_address("192.0.2.99")
    history = History(replace(SETTINGS, med=5), [extra, VIP])
    decided = history.decide(0.0, unlisted())
    assert [(str(v.vip), v.why, v.detail) for v in decided.verdicts] == [
        ("192.0.2.1", "no-config", "web: no list of servers yet"),
        ("192.0.2.99", None, "serves the HTTP endpoints"),
    ]
    assert list(announced(decided.verdicts)) == [Announcement(extra, 5)]


def test_a_drain_raises_the_med_then_withdraws_and_ends_when_it_is_undone() -> None:
    history = History(replace(SETTINGS, drain=DrainSettings(1000, True, 60.0)))
    history.verdict(0.0, fit(med=100))
    history.drains[VIP] = Drain(VIP, 50.0, "alice", "new kernel")
    decided = history.decide(50.0, fit(med=100))
    assert list(announced(decided.verdicts)) == [Announcement(VIP, 1000, graceful_shutdown=True)]
    assert decided.verdicts[0].detail == "draining, 60 s to go: by alice: new kernel"
    assert decided.wake == 110.0
    assert history.told(110.0, fit(med=100)) == "drained (by alice: new kernel)"
    history.drains.clear()
    assert history.verdict(120.0, fit(med=100)).announcement == Announcement(VIP, 100)


def test_a_drain_never_makes_a_vip_more_preferred() -> None:
    history = History()
    history.verdict(0.0, fit(med=5000))
    history.drains[None] = Drain(None, 1.0, "root", "x")
    assert history.verdict(1.0, fit(med=5000)).announcement == Announcement(VIP, 5000)


def test_a_vip_that_is_not_announced_is_not_by_a_drain() -> None:
    history = History()
    history.drains[VIP] = Drain(VIP, 0.0, "root", "x")
    assert history.verdict(0.0, fit()).why == "drained"
    assert history.verdict(1.0, fit(frozen=True)).why == "drained"


def test_a_drain_moves_what_is_frozen_and_what_is_known_to_be_empty_goes_at_once() -> None:
    history = History()
    history.verdict(0.0, fit())
    history.drains[None] = Drain(None, 1.0, "root", "x")
    assert history.verdict(2.0, fit(frozen=True)).announcement == Announcement(VIP, 1000)
    assert history.verdict(3.0, empty()).why == "empty"


def test_the_reason_after_a_drain_is_the_same_when_it_is_asked_for_again() -> None:
    """Of two services one has no servers left, and the other one is not as wanted in IPVS."""
    history = History()
    assert history.verdict(0.0, fit(), fit("tls")).announcement
    history.drains[VIP] = Drain(VIP, 1.0, "root", "x")
    assert history.verdict(2.0, empty(), fit("tls", verified=False)).announcement
    assert history.told(61.0, empty(), fit("tls", verified=False)) == "empty (web: 0 of 2 servers pooled)"
    assert history.told(61.0, empty(), fit("tls", verified=False)) == "empty (web: 0 of 2 servers pooled)"


def test_of_two_drains_the_first_counts() -> None:
    history = History()
    history.verdict(0.0, fit())
    history.drains = {None: Drain(None, 0.0, "root", "x"), VIP: Drain(VIP, 50.0, "alice", "y")}
    assert history.told(60.0, fit()) == "drained (by root: x)"


def test_since_is_when_the_answer_or_its_reason_changed() -> None:
    history = History()
    assert history.verdict(1.0, unlisted()).since == 1.0
    assert history.verdict(2.0, unlisted()).since == 1.0
    assert history.verdict(3.0, unchecked()).since == 3.0
    assert history.verdict(4.0, fit()).since == 4.0
    assert history.verdict(5.0, fit(med=3)).since == 4.0


def test_a_vip_that_was_removed_begins_anew() -> None:
    history = History()
    history.verdict(0.0, fit())
    assert history.decide(1.0).verdicts == []
    assert history.verdict(100.0, unchecked()).why == "first-checks"


def test_an_address_is_waited_for_even_where_nothing_is_checked() -> None:
    pool = after(Pool(service(monitors=())), listed("ab"), resolved("a"))
    assert History().told(0.0, Standing(pool, True)) == "first-checks (web: 1 of 2 servers unknown)"


def test_a_service_that_had_too_few_servers_does_not_return_by_not_being_checked() -> None:
    history, least = History(), Limit(3)
    history.verdict(0.0, fit(least=least))
    assert (
        history.verdict(1.0, Standing(after(healthy("abcd"), down("a"), down("b")), True, least=least)).why == "below"
    )
    assert history.verdict(99.0, unchecked(least=least)).why == "below"


def test_an_announced_vip_without_a_pooled_server_does_not_wait_for_checks() -> None:
    history = History()
    history.verdict(0.0, fit())
    assert history.verdict(1.0, Standing(fresh("ab", threshold=0), True)).why == "empty"


def test_it_is_woken_when_a_vip_has_waited_for_lists_though_one_came_late() -> None:
    history = History()
    history.decide(0.0, unlisted("web"), unlisted("tls"))
    assert history.decide(10.0, fit("web"), unlisted("tls")).wake == 30.0
