"""The verdict for each VIP, and its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import pytest

from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Decided, Drain, Memory, Standing, Verdict, announced, decide
from pybal.config.limit import Limit
from pybal.config.settings import BGPSettings, DrainSettings, VIPPolicy
from pybal.core.events import Adopted
from pybal.core.model import Address, Pool
from pybal.core.policy import step
from tests.harness.pool_events import (
    address,
    after,
    down,
    fresh,
    healthy,
    idle,
    listed,
    moved,
    off,
    resolved,
    service,
    up,
)

VIP = ip_address("192.0.2.1")
SETTINGS = BGPSettings((), wait=30.0, drain=DrainSettings(med=1000, wait=60.0))
ALL: dict[str, Any] = {"policy": VIPPolicy.ALL}


def named(pool: Pool, name: str) -> Pool:
    return replace(pool, service=replace(pool.service, name=name))


def ready(name: str = "web", *, verified: bool = True, **more: Any) -> Standing:
    return Standing(named(healthy("abcd"), name), verified, **more)


def unlisted(name: str = "web", **more: Any) -> Standing:
    return Standing(named(Pool(service()), name), False, **more)


def empty(name: str = "web", **more: Any) -> Standing:
    pool = after(Pool(service()), listed(off("a"), off("b")), resolved("ab"))
    return Standing(named(pool, name), True, **more)


def unchecked(name: str = "web", *, verified: bool = True, **more: Any) -> Standing:
    return Standing(named(after(fresh("abcd"), up("a")), name), verified, **more)


class History:
    """A sequence of decisions, each with the memory of the last one."""

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

    def summary(self, now: float, *standings: Standing) -> str:
        verdict = self.verdict(now, *standings)
        assert (verdict.announcement is None) == (verdict.why is not None)
        return f"{verdict.why or 'announced'} ({verdict.detail})"


def test_vip_with_checked_and_verified_servers_is_announced() -> None:
    verdict = History().verdict(5.0, ready(med=7))
    assert verdict == Verdict(VIP, Announcement(VIP, 7), None, "1 service verified, 4 of 4 servers pooled", 5.0)


@pytest.mark.parametrize(
    ("standing", "summary"),
    [
        (unlisted(), "no-config (web: no server list yet)"),
        (ready(verified=False), "kernel-not-verified (web: IPVS does not hold the wanted state yet)"),
        (unchecked(), "first-checks (web: 3 of 4 servers unknown)"),
        (empty(), "empty (web: 0 of 2 servers pooled)"),
        (ready(minimum=Limit(5)), "below (web: 4 of 4 servers serving, wanted 5)"),
        (ready(frozen=True), "frozen (web)"),
    ],
)
def test_reason_not_to_announce_has_a_code_and_a_detail(standing: Standing, summary: str) -> None:
    assert History().summary(0.0, standing) == summary


@pytest.mark.parametrize("standing", [unlisted(), ready(verified=False), unchecked(), ready(frozen=True)])
def test_inconclusive_reason_withdraws_nothing(standing: Standing) -> None:
    history = History()
    assert history.verdict(0.0, ready()).announcement
    assert history.verdict(1.0, standing).announcement


@pytest.mark.parametrize(("standing", "why"), [(empty(), "empty"), (ready(minimum=Limit(5)), "below")])
def test_conclusive_reason_withdraws_immediately(standing: Standing, why: str) -> None:
    history = History()
    assert history.verdict(0.0, ready()).announcement
    assert history.verdict(1.0, standing).why == why


def test_first_checks_are_awaited_from_the_first_list_until_the_wait_ends() -> None:
    history = History()
    assert history.verdict(0.0, unlisted()).why == "no-config"
    assert history.decide(40.0, unchecked()).wake == 70.0
    assert history.verdict(69.9, unchecked()).why == "first-checks"
    assert history.verdict(70.0, unchecked()).announcement


def test_servers_without_an_address_are_awaited() -> None:
    pool = after(Pool(service()), listed("ab"), resolved("a"), up("a"))
    assert History().summary(0.0, Standing(pool, True)) == "first-checks (web: 1 of 2 servers unknown)"


def test_servers_pooled_only_after_a_check_are_awaited() -> None:
    assert History().summary(0.0, Standing(fresh("ab", 0.0), True)) == "first-checks (web: 2 of 2 servers unknown)"


def test_disabled_and_unresolvable_servers_are_not_awaited() -> None:
    pool = after(Pool(service()), listed("ab", off("c")), resolved("a"), up("a"))
    nowhere = replace(pool.servers["b"], unresolvable=True)
    pool = replace(pool, servers=pool.servers.replacing({"b": nowhere}))
    assert History().verdict(0.0, Standing(pool, True)).announcement


def test_vip_of_two_services_has_one_announcement() -> None:
    decided = History().decide(0.0, ready("web"), ready("tls"))
    assert list(announced(decided.verdicts)) == [Announcement(VIP)]
    assert decided.verdicts[0].detail == "2 services verified, 8 of 8 servers pooled"


def test_vip_waits_for_all_services_then_accepts_one() -> None:
    history = History()
    assert history.summary(0.0, ready("web"), unlisted("tls")) == "no-config (tls: no server list yet)"
    assert history.decide(29.9, ready("web"), unlisted("tls")).wake == 30.0
    assert history.verdict(30.0, ready("web"), unlisted("tls")).announcement


def test_empty_service_is_not_awaited() -> None:
    assert History().verdict(0.0, ready("web"), empty("tls")).announcement


def test_policy_all_requires_every_service() -> None:
    history = History()
    assert history.verdict(0.0, ready("web", **ALL), unlisted("tls", **ALL)).why == "no-config"
    assert history.verdict(99.0, ready("web", **ALL), empty("tls", **ALL)).why == "empty"
    assert history.verdict(99.0, ready("web", **ALL), ready("tls", **ALL)).announcement
    assert history.summary(99.0, ready("web", **ALL), empty("tls", **ALL)) == "empty (tls: 0 of 2 servers pooled)"


def test_policy_any_keeps_a_vip_while_one_service_is_ready() -> None:
    history = History()
    history.verdict(0.0, ready("web"), ready("tls"))
    assert history.verdict(1.0, empty("web"), ready("tls")).announcement
    assert history.verdict(2.0, empty("web"), empty("tls")).why == "empty"


def test_service_without_a_list_does_not_keep_a_vip_announced() -> None:
    history = History()
    history.verdict(0.0, ready("web"), unlisted("tls"))
    assert history.verdict(30.0, ready("web"), unlisted("tls")).announcement
    assert history.verdict(31.0, empty("web"), unlisted("tls")).announcement is None


def test_held_address_of_weight_zero_carries_nothing() -> None:
    pool = replace(after(Pool(service()), listed("ab")), held=MappingProxyType({address("a"): 0, address("b"): 10}))
    assert Standing(pool, True).count.carrying == 1


def test_unlisted_service_with_servers_in_ipvs_keeps_a_vip_announced() -> None:
    history, adopted = History(), step(named(Pool(service()), "tls"), Adopted({address("a"): 10}))
    history.verdict(0.0, ready("web"), unlisted("tls"))
    assert history.verdict(30.0, ready("web"), unlisted("tls")).announcement
    assert history.verdict(31.0, empty("web"), Standing(adopted, False)).announcement


def test_policy_any_keeps_a_vip_while_the_servers_of_a_service_are_unknown() -> None:
    history = History()
    history.verdict(0.0, ready("web"), ready("tls"))
    unknown = after(named(Pool(service(0)), "tls"), listed("ab"), resolved("ab"))
    assert history.verdict(1.0, empty("web"), Standing(unknown, True)).announcement
    assert history.verdict(2.0, empty("web"), Standing(after(unknown, down("a"), down("b")), True)).why == "empty"


def test_service_added_to_an_announced_vip_withdraws_nothing() -> None:
    history = History()
    history.verdict(0.0, ready("web", **ALL))
    assert history.verdict(1.0, ready("web", **ALL), unlisted("tls", **ALL)).announcement


def test_service_below_its_minimum_returns_after_the_recovery_time() -> None:
    history, minimum = History(), Limit(3)
    pool = healthy("abcd")
    assert history.verdict(0.0, Standing(pool, True, minimum=minimum)).announcement
    sick = after(pool, down("a"), down("b"))
    assert (
        history.summary(1.0, Standing(sick, True, minimum=minimum)) == "below (web: 2 of 4 servers serving, wanted 3)"
    )
    better = after(sick, up("b"))
    decided = history.decide(5.0, Standing(better, True, minimum=minimum))
    assert decided.verdicts[0].detail == "web: 3 of 4 servers serving, wanted 3 for 30 s"
    assert decided.wake == 30.0
    assert history.verdict(20.0, Standing(sick, True, minimum=minimum)).why == "below"
    assert history.decide(25.0, Standing(better, True, minimum=minimum)).wake == 30.0
    assert history.decide(30.0, Standing(better, True, minimum=minimum)).wake == 55.0
    assert history.verdict(54.9, Standing(better, True, minimum=minimum)).why == "below"
    assert history.verdict(55.0, Standing(better, True, minimum=minimum)).announcement


def test_unchecked_servers_delay_an_announcement_but_withdraw_none() -> None:
    history, minimum = History(), Limit(percent=50)
    assert history.verdict(0.0, unchecked(minimum=minimum)).why == "first-checks"
    assert history.verdict(30.0, unchecked(minimum=minimum)).why == "below"
    assert history.verdict(31.0, ready(minimum=minimum)).announcement
    assert history.verdict(32.0, unchecked(minimum=minimum)).announcement


def test_frozen_vip_keeps_its_state() -> None:
    made, held = History(), History()
    made.verdict(0.0, ready())
    assert made.verdict(1.0, empty(frozen=True)).announcement
    assert held.summary(0.0, ready("web", frozen=True), ready("tls")) == "frozen (web)"


def test_pool_with_adopted_destinations_is_not_empty() -> None:
    pool = replace(after(Pool(service()), listed("ab")), held=MappingProxyType({address("a"): 10}))
    history = History()
    history.verdict(0.0, ready())
    assert history.verdict(1.0, Standing(pool, True)).announcement


def test_vip_without_the_gate_is_withdrawn_by_a_drain_only() -> None:
    history = History(replace(SETTINGS, gate=False))
    assert history.summary(0.0, unlisted()) == "announced (no gate; 0 services verified, 0 of 0 servers pooled)"
    assert history.verdict(1.0, empty()).announcement
    history.drains[VIP] = Drain(VIP, 2.0, "root", "x")
    assert history.verdict(62.0, ready()).why == "drained"


def test_address_without_a_service_has_the_global_med() -> None:
    extra = ip_address("192.0.2.99")
    history = History(replace(SETTINGS, med=5), [extra, VIP])
    decided = history.decide(0.0, unlisted())
    assert [(str(v.vip), v.why, v.detail) for v in decided.verdicts] == [
        ("192.0.2.1", "no-config", "web: no server list yet"),
        ("192.0.2.99", None, "serves the HTTP endpoints"),
    ]
    assert list(announced(decided.verdicts)) == [Announcement(extra, 5)]


def test_drain_raises_the_med_then_withdraws_until_it_is_cancelled() -> None:
    history = History(replace(SETTINGS, drain=DrainSettings(1000, True, 60.0)))
    history.verdict(0.0, ready(med=100))
    history.drains[VIP] = Drain(VIP, 50.0, "alice", "new kernel")
    decided = history.decide(50.0, ready(med=100))
    assert list(announced(decided.verdicts)) == [Announcement(VIP, 1000, graceful_shutdown=True)]
    assert decided.verdicts[0].detail == "draining, 60 s left: by alice: new kernel"
    assert decided.wake == 110.0
    assert history.summary(110.0, ready(med=100)) == "drained (by alice: new kernel)"
    history.drains.clear()
    assert history.verdict(120.0, ready(med=100)).announcement == Announcement(VIP, 100)


def test_drain_never_lowers_the_med() -> None:
    history = History()
    history.verdict(0.0, ready(med=5000))
    history.drains[None] = Drain(None, 1.0, "root", "x")
    assert history.verdict(1.0, ready(med=5000)).announcement == Announcement(VIP, 5000)


def test_drain_does_not_announce_a_withdrawn_vip() -> None:
    history = History()
    history.drains[VIP] = Drain(VIP, 0.0, "root", "x")
    assert history.verdict(0.0, ready()).why == "drained"
    assert history.verdict(1.0, ready(frozen=True)).why == "drained"


def test_drain_applies_to_frozen_vips_and_empty_ones_go_immediately() -> None:
    history = History()
    history.verdict(0.0, ready())
    history.drains[None] = Drain(None, 1.0, "root", "x")
    assert history.verdict(2.0, ready(frozen=True)).announcement == Announcement(VIP, 1000)
    assert history.verdict(3.0, empty()).why == "empty"


def test_reason_after_a_drain_is_stable() -> None:
    """One of two services has no servers left, the other one is not verified in IPVS."""
    history = History()
    assert history.verdict(0.0, ready(), ready("tls")).announcement
    history.drains[VIP] = Drain(VIP, 1.0, "root", "x")
    assert history.verdict(2.0, empty(), ready("tls", verified=False)).announcement
    assert history.summary(61.0, empty(), ready("tls", verified=False)) == "empty (web: 0 of 2 servers pooled)"
    assert history.summary(61.0, empty(), ready("tls", verified=False)) == "empty (web: 0 of 2 servers pooled)"


def test_first_of_two_drains_decides() -> None:
    history = History()
    history.verdict(0.0, ready())
    history.drains = {None: Drain(None, 0.0, "root", "x"), VIP: Drain(VIP, 50.0, "alice", "y")}
    assert history.summary(60.0, ready()) == "drained (by root: x)"


def test_since_is_the_time_of_the_last_change() -> None:
    history = History()
    assert history.verdict(1.0, unlisted()).since == 1.0
    assert history.verdict(2.0, unlisted()).since == 1.0
    assert history.verdict(3.0, unchecked()).since == 3.0
    assert history.verdict(4.0, ready()).since == 4.0
    assert history.verdict(5.0, ready(med=3)).since == 4.0


def test_removed_vip_starts_without_memory() -> None:
    history = History()
    history.verdict(0.0, ready())
    assert history.decide(1.0).verdicts == []
    assert history.verdict(100.0, unchecked()).why == "first-checks"


def test_addresses_are_awaited_without_monitors() -> None:
    pool = after(Pool(service(monitors=())), listed("ab"), resolved("a"))
    assert History().summary(0.0, Standing(pool, True)) == "first-checks (web: 1 of 2 servers unknown)"


def test_unchecked_servers_do_not_end_a_shortage() -> None:
    history, minimum = History(), Limit(3)
    history.verdict(0.0, ready(minimum=minimum))
    assert (
        history.verdict(1.0, Standing(after(healthy("abcd"), down("a"), down("b")), True, minimum=minimum)).why
        == "below"
    )
    assert history.verdict(99.0, unchecked(minimum=minimum)).why == "below"


def test_unchecked_servers_do_not_keep_a_vip_after_a_shortage() -> None:
    history, minimum = History(), Limit(3)
    short = Standing(after(healthy("abcd"), down("a"), down("b")), True, minimum=minimum)
    assert history.verdict(0.0, ready(minimum=minimum), ready("tls")).announcement
    assert history.verdict(1.0, short, ready("tls")).announcement
    assert history.verdict(2.0, unchecked(minimum=minimum), empty("tls")).why == "below"


@pytest.mark.parametrize("policy", VIPPolicy)
def test_unknown_servers_never_withdraw_an_announced_vip(policy: VIPPolicy) -> None:
    history = History()
    assert history.verdict(0.0, ready(policy=policy)).announcement
    unknown = Standing(fresh("ab", threshold=0), True, policy=policy)
    assert history.verdict(1.0, unknown).announcement
    assert history.verdict(1000.0, unknown).announcement
    failed = Standing(after(fresh("ab", threshold=0), down("a")), True, policy=policy)
    assert history.verdict(1001.0, failed).announcement
    assert history.verdict(1002.0, replace(failed, pool=after(failed.pool, down("b")))).why == "empty"


def test_unknown_servers_of_an_added_service_withdraw_nothing() -> None:
    history = History()
    assert history.verdict(0.0, ready(**ALL)).announcement
    new = Standing(named(fresh("ab", threshold=0), "tls"), True, **ALL)
    assert history.verdict(1.0, ready(**ALL), new).announcement


def test_servers_without_an_address_withdraw_nothing() -> None:
    history = History()
    history.verdict(0.0, ready())
    pool = after(Pool(service(threshold=0)), listed("ab"))
    assert history.verdict(1.0, Standing(pool, True)).announcement


def failed(name: str = "web", **more: Any) -> Standing:
    pool = after(healthy("ab", threshold=0), down("a"), down("b"))
    return Standing(named(pool, name), True, **more)


def test_first_return_from_empty_is_immediate_and_later_ones_are_held() -> None:
    history = History(replace(SETTINGS, wait=0.0))
    assert history.verdict(0.0, ready()).announcement
    assert history.verdict(10.0, failed()).why == "empty"
    assert history.verdict(12.0, ready()).announcement
    now = 14.0
    for withdrawals, hold in ((2, 30.0), (3, 60.0), (4, 120.0), (5, 240.0), (6, 300.0), (7, 300.0)):
        verdict = history.verdict(now, failed())
        assert (verdict.why, verdict.flaps) == ("empty", withdrawals)
        decided = history.decide(now + 2, ready())
        assert decided.verdicts[0].why == "flapping"
        assert decided.verdicts[0].detail == (
            f"withdrawn {withdrawals} times in short order; must be ready for {hold:g} s"
        )
        assert decided.wake == now + 2 + hold
        assert history.verdict(now + 1.9 + hold, ready()).why == "flapping"
        assert history.verdict(now + 2 + hold, ready()).announcement
        now += 4 + hold


def test_failure_during_the_hold_begins_it_again() -> None:
    history = History()
    for now in (0.0, 4.0):
        assert history.verdict(now, ready()).announcement
        assert history.verdict(now + 2, failed()).why == "empty"
    assert history.verdict(8.0, ready()).why == "flapping"
    assert history.verdict(30.0, failed()).why == "empty"
    assert history.verdict(32.0, ready()).why == "flapping"
    assert history.verdict(61.9, ready()).why == "flapping"
    verdict = history.verdict(62.0, ready())
    assert (verdict.why, verdict.flaps) == (None, 2)


def test_flaps_are_forgotten_after_ten_quiet_minutes() -> None:
    history = History()
    for now in (0.0, 4.0):
        history.verdict(now, ready())
        history.verdict(now + 2, failed())
    history.verdict(8.0, ready())
    decided = history.decide(38.0, ready())
    assert (decided.verdicts[0].flaps, decided.wake) == (2, 638.0)
    assert history.verdict(637.9, ready()).flaps == 2
    assert history.verdict(638.0, ready()).flaps == 0
    assert history.verdict(700.0, failed()).flaps == 1
    assert history.verdict(702.0, ready()).announcement


def test_flaps_are_forgotten_after_ten_minutes_without_a_server() -> None:
    history = History()
    for now in (0.0, 4.0):
        history.verdict(now, ready())
        history.verdict(now + 2, failed())
    assert history.decide(40.0, failed()).wake == 606.0
    assert history.verdict(606.0, failed()).flaps == 0
    assert history.verdict(610.0, ready()).announcement


def test_return_before_ten_minutes_without_a_server_is_held() -> None:
    history = History()
    for now in (0.0, 4.0):
        history.verdict(now, ready())
        history.verdict(now + 2, failed())
    assert history.verdict(605.9, ready()).why == "flapping"


def moves_of(history: History, *standings: tuple[Standing, ...]) -> int:
    """Return how often the route of a VIP moves in 30 s, if its services alternate between these states."""
    announced = [
        history.verdict(2.0 * turn, *standings[turn % len(standings)]).announcement is not None for turn in range(16)
    ]
    return sum(one != other for one, other in pairwise(announced))


def test_service_that_flaps_beside_a_steady_one_moves_no_route_with_any() -> None:
    history, steady = History(), ready("tls")
    assert moves_of(history, (ready("web"), steady), (failed(name="web"), steady)) == 0
    assert history.verdict(40.0, ready("web"), steady).flaps == 0


def test_services_that_flap_in_turn_move_no_route_with_any() -> None:
    assert moves_of(History(), (ready("web"), failed(name="tls")), (failed(name="web"), ready("tls"))) == 0


def test_services_that_flap_together_move_the_route_three_times_with_any() -> None:
    history = History()
    assert moves_of(history, (ready("web"), ready("tls")), (failed(name="web"), failed(name="tls"))) == 3
    assert history.verdict(32.0, ready("web"), ready("tls")).why == "flapping"
    assert history.verdict(62.0, ready("web"), ready("tls")).announcement


def test_one_service_that_flaps_moves_the_route_three_times_with_all() -> None:
    history, steady = History(), ready("tls", **ALL)
    assert moves_of(history, (ready("web", **ALL), steady), (failed(name="web", **ALL), steady)) == 3
    assert history.verdict(32.0, ready("web", **ALL), steady).why == "flapping"
    assert history.verdict(62.0, ready("web", **ALL), steady).announcement


def test_failure_every_two_seconds_moves_the_route_three_times() -> None:
    history, changes, last = History(), 0, True
    history.verdict(0.0, ready())
    for turn in range(1, 16):
        now = history.verdict(2.0 * turn, failed() if turn % 2 else ready()).announcement is not None
        changes += now != last
        last = now
    assert changes == 3


def test_return_after_a_drain_or_a_shortage_is_not_held() -> None:
    history, minimum = History(), Limit(1)
    for start in (0.0, 100.0, 200.0):
        assert history.verdict(start, ready(minimum=minimum)).announcement
        assert history.verdict(start + 2, failed(minimum=minimum)).why == "below"
        assert history.verdict(start + 4, ready(minimum=minimum)).why == "below"
        verdict = history.verdict(start + 34, ready(minimum=minimum))
        assert verdict.announcement
    assert verdict.flaps == 3
    history.drains[VIP] = Drain(VIP, 240.0, "root", "x")
    assert history.verdict(300.0, ready()).why == "drained"
    history.drains.clear()
    assert history.verdict(301.0, ready()).announcement


def flapped() -> History:
    """Return the history of a VIP that was withdrawn twice for its servers, and announced again at 100 s."""
    history = History()
    for now, standing in (0.0, ready()), (10.0, empty()), (20.0, ready()), (30.0, empty()), (40.0, ready()):
        history.decide(now, standing)
    assert history.verdict(100.0, ready()).announcement
    return history


def test_flaps_are_forgotten_without_a_decision_in_the_quiet_time() -> None:
    assert flapped().verdict(800.0, empty()).flaps == 1


def test_drain_is_no_flap_and_holds_nothing_after_its_end() -> None:
    history = flapped()
    history.drains[VIP] = Drain(VIP, 101.0, "root", "")
    assert history.verdict(102.0, ready()).announcement
    drained = history.verdict(170.0, ready())
    assert (drained.announcement, drained.flaps) == (None, 2)
    history.drains.clear()
    assert history.verdict(171.0, ready()).announcement


def test_configured_hold_may_exceed_its_longest_default() -> None:
    history = History(replace(SETTINGS, hold=900.0, wait=0.0))
    for now in (0.0, 4.0):
        history.verdict(now, ready())
        history.verdict(now + 2, failed())
    assert history.decide(8.0, ready()).wake == 908.0


def test_share_counts_enabled_servers_with_a_weight() -> None:
    half = Limit(percent=50)
    pool = after(Pool(service()), listed("ab", off("c"), off("d"), off("e"), idle("f"), idle("g")), resolved("abcdefg"))
    one = Standing(after(pool, up("a"), down("b"), up("f"), up("g")), True, minimum=half)
    assert (one.count.enabled, one.required, one.count.serving) == (2, 1, 1)
    assert History().verdict(0.0, one).announcement
    none = replace(one, pool=after(one.pool, down("a")))
    assert History().summary(0.0, none) == "below (web: 0 of 2 servers serving, wanted 1)"


def test_unchecked_server_of_weight_zero_is_not_awaited() -> None:
    pool = after(Pool(service()), listed("a", "b", idle("c")), resolved("abc"), up("a"), up("b"))
    assert History().verdict(0.0, Standing(named(pool, "web"), True)).announcement


def test_pool_with_weight_zero_only_is_empty() -> None:
    history = History()
    pool = after(Pool(service(threshold=0)), listed("a", idle("b")), resolved("ab"), up("a"), up("b"))
    assert history.verdict(0.0, Standing(pool, True)).announcement
    assert history.summary(1.0, Standing(after(pool, down("a")), True)) == (
        "empty (web: 0 of 2 servers pooled with a weight above 0, 1 with weight 0)"
    )


def test_shared_address_carries_when_one_of_its_servers_has_a_weight() -> None:
    pool = after(Pool(service(threshold=0)), listed(idle("a"), "b"), moved(a=1, b=1))
    pool = after(pool, up("a"), up("b"))
    assert Standing(pool, True).count.carrying == 1
    assert Standing(after(pool, down("a")), True).count.carrying == 1


def test_service_removed_from_ipvs_withdraws_the_vip_until_it_is_back() -> None:
    history = History()
    history.verdict(0.0, ready())
    assert history.summary(1.0, ready(absent=True)) == (
        "not-in-ipvs (web: removed from IPVS by another program and not restored)"
    )
    assert history.verdict(2.0, ready()).announcement
    assert history.verdict(3.0, ready("web", absent=True), ready("tls")).announcement


def test_wake_is_the_end_of_the_wait_when_one_list_is_late() -> None:
    history = History()
    history.decide(0.0, unlisted("web"), unlisted("tls"))
    assert history.decide(10.0, ready("web"), unlisted("tls")).wake == 30.0
