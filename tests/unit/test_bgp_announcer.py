"""The shell of the announcements: when it decides, whom it tells, what it logs."""

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
FIT = Standing(healthy("abcd"), verified=True)
EMPTY = Standing(after(Pool(service()), listed(off("a"))), verified=True)


class Rig:
    """An announcer with a speaker that remembers, and what the test says of the services."""

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

    def becomes(self, *standings: Standing, seconds: float = 0) -> list[str]:
        self.standings = standings
        with capturedLogs() as events:
            self.announcer.changed()
            self.clock.advance(seconds)
        return [formatEvent(event) or "" for event in events]


def test_each_change_is_logged_with_its_why_and_told_to_the_speaker() -> None:
    rig = Rig(UNLISTED)
    assert rig.start() == ["Not announcing 192.0.2.1/32: no-config (web: no list of servers yet)"]
    assert rig.becomes(UNCHECKED) == ["Not announcing 192.0.2.1/32: first-checks (web: 3 of 4 servers unknown)"]
    assert rig.becomes(FIT) == ["Announcing 192.0.2.1/32, MED 0: 1 service verified, 4 of 4 servers pooled"]
    assert rig.becomes(FIT, EMPTY) == []
    assert rig.becomes(EMPTY) == ["Not announcing 192.0.2.1/32: empty (web: 0 of 1 server pooled)"]
    assert rig.becomes() == ["Not announcing 192.0.2.1/32: no longer configured"]
    assert rig.goals == [(Announcement(VIP),), ()]


def test_what_changes_in_one_turn_is_decided_once() -> None:
    rig = Rig(UNLISTED)
    rig.start()
    for _ in range(100):
        rig.announcer.changed()
    rig.clock.advance(0)
    assert rig.gathered == 2


def test_it_wakes_when_a_wait_ends() -> None:
    rig = Rig(UNCHECKED)
    rig.start()
    rig.clock.advance(29)
    assert rig.goals == []
    rig.clock.advance(1)
    rig.clock.advance(0)
    assert rig.goals == [(Announcement(VIP),)]


def test_a_dry_run_says_what_it_would_do() -> None:
    assert Rig(FIT, dry_run=True).start() == [
        "Would announce 192.0.2.1/32, MED 0: 1 service verified, 4 of 4 servers pooled"
    ]


def test_an_ipv6_vip_is_named_as_a_prefix() -> None:
    pool = replace(FIT.pool, service=replace(FIT.pool.service, vip=V6))
    assert Rig(Standing(pool, verified=True)).start()[0].startswith("Announcing 2001:db8::1/128, MED 0: ")


def test_a_drain_is_told_at_once_withdrawn_in_time_and_undone() -> None:
    rig = Rig(FIT)
    rig.start()
    rig.clock.advance(10)
    rig.announcer.drain(VIP, "alice", "new kernel")
    rig.clock.advance(0)
    rig.clock.advance(30)
    rig.announcer.drain(VIP, "bob", "still", kept=True)
    rig.clock.advance(0)
    assert rig.announcer.drains[VIP].at == 10.0
    rig.clock.advance(30)
    rig.clock.advance(0)
    assert rig.announcer.verdicts[0].detail == "by bob: still"
    rig.announcer.undrain(VIP)
    rig.announcer.undrain(None)
    rig.clock.advance(0)
    assert rig.goals == [
        (Announcement(VIP),),
        (Announcement(VIP, 1000, graceful_shutdown=True),),
        (),
        (Announcement(VIP),),
    ]


def test_once_stopped_it_decides_nothing_and_leaves_nothing_in_the_clock() -> None:
    rig = Rig(UNCHECKED)
    rig.start()
    rig.announcer.changed()
    rig.announcer.stop()
    rig.announcer.changed()
    assert rig.clock.getDelayedCalls() == []
    rig.clock.advance(100)
    assert rig.gathered == 1


def test_nothing_is_decided_before_it_is_started() -> None:
    rig = Rig(FIT)
    rig.announcer.changed()
    rig.clock.advance(100)
    assert rig.gathered == 0


def test_by_other_settings_it_decides_at_once_and_what_was_announced_stays() -> None:
    rig = Rig(FIT)
    rig.start()
    rig.announcer.reconfigure(BGPSettings(()), [V6], frozenset())
    rig.standings = (replace(FIT, med=7),)
    rig.clock.advance(0)
    assert rig.goals == [(Announcement(VIP),), (Announcement(VIP, 7), Announcement(V6))]


def test_a_service_of_a_name_that_another_had_has_no_past() -> None:
    rig = Rig(FIT)
    rig.start()
    elsewhere = replace(UNCHECKED.pool, service=replace(UNCHECKED.pool.service, vip=ip_address("192.0.2.8")))
    rig.announcer.reconfigure(BGPSettings(()), [], {"web"})
    assert rig.becomes(Standing(elsewhere, verified=True)) == [
        "Not announcing 192.0.2.8/32: first-checks (web: 3 of 4 servers unknown)",
        "Not announcing 192.0.2.1/32: no longer configured",
    ]


def test_what_would_be_decided_by_other_settings_changes_nothing() -> None:
    rig = Rig(FIT)
    rig.start()
    foreseen = rig.announcer.foresee(BGPSettings(()), [EMPTY], [V6], frozenset())
    assert [(str(verdict.vip), verdict.why) for verdict in foreseen] == [("192.0.2.1", "empty"), ("2001:db8::1", None)]
    assert rig.becomes(FIT) == []
    assert rig.goals == [(Announcement(VIP),)]
