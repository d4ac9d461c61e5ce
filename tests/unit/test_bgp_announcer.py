"""The announcer: the times of its decisions, its goals and its log lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from pybal.bgp.announcer import Announcer
from pybal.bgp.model import Announcement
from pybal.bgp.verdict import Standing
from pybal.config.settings import BGPSettings, DrainSettings
from pybal.core.model import Pool
from tests.harness.pool_events import after, fresh, healthy, listed, off, service, up

VIP = ip_address("192.0.2.1")
V6 = ip_address("2001:db8::1")
UNLISTED = Standing(Pool(service()), verified=False)
UNCHECKED = Standing(after(fresh("abcd"), up("a")), verified=True)
READY = Standing(healthy("abcd"), verified=True)
EMPTY = Standing(after(Pool(service()), listed(off("a"))), verified=True)


class AnnouncerHarness:
    """An announcer with the standings of the test, and a speaker that records its goals."""

    def __init__(self, *standings: Standing, dry_run: bool = False) -> None:
        self.clock = Clock()
        self.goals: list[tuple[Announcement, ...]] = []
        self.standings = standings
        self.gathered = 0
        settings = BGPSettings((), drain=DrainSettings(1000, graceful_shutdown=True, wait=60.0))
        self.announcer = Announcer(settings, self, self._gather, clock=self.clock, advertised=[], dry_run=dry_run)

    def _gather(self) -> Iterable[Standing]:
        self.gathered += 1
        return self.standings

    def announce(self, announcements: Iterable[Announcement]) -> None:
        self.goals.append(tuple(announcements))

    def start(self) -> list[str]:
        with capturedLogs() as events:
            self.announcer.start()
            self.clock.advance(0)
        return [formatEvent(event) or "" for event in events]

    def change(self, *standings: Standing, seconds: float = 0) -> list[str]:
        self.standings = standings
        with capturedLogs() as events:
            self.announcer.changed()
            self.clock.advance(seconds)
        return [formatEvent(event) or "" for event in events]


def test_announcer_logs_each_change_and_passes_it_to_the_speaker() -> None:
    harness = AnnouncerHarness(UNLISTED)
    assert harness.start() == ["Not announcing 192.0.2.1/32: no-config (web: no server list yet)"]
    assert harness.change(UNCHECKED) == ["Not announcing 192.0.2.1/32: first-checks (web: 3 of 4 servers unknown)"]
    assert harness.change(READY) == ["Announcing 192.0.2.1/32, MED 0: 1 service verified, 4 of 4 servers pooled"]
    assert harness.change(READY, EMPTY) == []
    assert harness.change(EMPTY) == ["Not announcing 192.0.2.1/32: empty (web: 0 of 1 server pooled)"]
    assert harness.change() == ["Not announcing 192.0.2.1/32: no longer configured"]
    assert harness.goals == [(Announcement(VIP),), ()]


def test_announcer_decides_once_per_reactor_turn() -> None:
    harness = AnnouncerHarness(UNLISTED)
    harness.start()
    for _ in range(100):
        harness.announcer.changed()
    harness.clock.advance(0)
    assert harness.gathered == 2


def test_announcer_decides_again_when_a_wait_ends() -> None:
    harness = AnnouncerHarness(UNCHECKED)
    harness.start()
    harness.clock.advance(29)
    assert harness.goals == []
    harness.clock.advance(1)
    harness.clock.advance(0)
    assert harness.goals == [(Announcement(VIP),)]


def test_dry_run_logs_the_intended_announcement() -> None:
    assert AnnouncerHarness(READY, dry_run=True).start() == [
        "Would announce 192.0.2.1/32, MED 0: 1 service verified, 4 of 4 servers pooled"
    ]


def test_log_line_names_an_ipv6_vip_as_a_prefix() -> None:
    pool = replace(READY.pool, service=replace(READY.pool.service, vip=V6))
    assert AnnouncerHarness(Standing(pool, verified=True)).start()[0].startswith("Announcing 2001:db8::1/128, MED 0: ")


def test_drain_raises_the_med_then_withdraws_until_cancelled() -> None:
    harness = AnnouncerHarness(READY)
    harness.start()
    harness.clock.advance(10)
    harness.announcer.drain(VIP, "alice", "new kernel")
    harness.clock.advance(0)
    harness.clock.advance(30)
    harness.announcer.drain(VIP, "bob", "still", kept=True)
    harness.clock.advance(0)
    assert harness.announcer.drains[VIP].at == 10.0
    harness.clock.advance(30)
    harness.clock.advance(0)
    assert harness.announcer.verdicts[0].detail == "by bob: still"
    harness.announcer.undrain(VIP)
    harness.announcer.undrain(None)
    harness.clock.advance(0)
    assert harness.goals == [
        (Announcement(VIP),),
        (Announcement(VIP, 1000, graceful_shutdown=True),),
        (),
        (Announcement(VIP),),
    ]


def test_stopped_announcer_makes_no_decision_and_leaves_no_timer() -> None:
    harness = AnnouncerHarness(UNCHECKED)
    harness.start()
    harness.announcer.changed()
    harness.announcer.stop()
    harness.announcer.changed()
    assert harness.clock.getDelayedCalls() == []
    harness.clock.advance(100)
    assert harness.gathered == 1


def test_announcer_makes_no_decision_before_start() -> None:
    harness = AnnouncerHarness(READY)
    harness.announcer.changed()
    harness.clock.advance(100)
    assert harness.gathered == 0


def test_reconfigure_decides_immediately_and_keeps_announced_vips() -> None:
    harness = AnnouncerHarness(READY)
    harness.start()
    harness.announcer.reconfigure(BGPSettings(()), [V6], frozenset())
    harness.standings = (replace(READY, med=7),)
    harness.clock.advance(0)
    assert harness.goals == [(Announcement(VIP),), (Announcement(VIP, 7), Announcement(V6))]


def test_reconfigured_service_of_the_same_name_has_no_memory() -> None:
    harness = AnnouncerHarness(READY)
    harness.start()
    elsewhere = replace(UNCHECKED.pool, service=replace(UNCHECKED.pool.service, vip=ip_address("192.0.2.8")))
    harness.announcer.reconfigure(BGPSettings(()), [], {"web"})
    assert harness.change(Standing(elsewhere, verified=True)) == [
        "Not announcing 192.0.2.8/32: first-checks (web: 3 of 4 servers unknown)",
        "Not announcing 192.0.2.1/32: no longer configured",
    ]


def test_foresee_returns_verdicts_and_changes_nothing() -> None:
    harness = AnnouncerHarness(READY)
    harness.start()
    foreseen = harness.announcer.foresee(BGPSettings(()), [EMPTY], [V6], frozenset())
    assert [(str(verdict.vip), verdict.why) for verdict in foreseen] == [("192.0.2.1", "empty"), ("2001:db8::1", None)]
    assert harness.change(READY) == []
    assert harness.goals == [(Announcement(VIP),)]
