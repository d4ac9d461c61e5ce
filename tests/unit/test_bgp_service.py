"""BGP as the daemon has it, in a dry run: what is gathered, what is kept, what is said."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.bgp import drains
from pybal.bgp.drains import DrainError
from pybal.bgp.service import BGPService
from pybal.config.settings import (
    BGPSettings,
    InstrumentationSettings,
    ServiceSettings,
    Settings,
    SourceSettings,
)
from pybal.core.model import Pool
from tests.harness.pool_events import after, healthy, listed, off, service

VIP, EXTRA = ip_address("192.0.2.1"), ip_address("192.0.2.9")
WEB = ServiceSettings(service(), SourceSettings("file:///pools/web"), bgp_med=5)
HIDDEN = replace(WEB, service=replace(service(), name="hidden", vip=ip_address("192.0.2.7")), bgp=False)


class Rig:
    def __init__(self, state: Path | None = None) -> None:
        self.clock = Clock()
        self.frozen = False
        self.pools: dict[str, Pool] = {"web": Pool(service())}
        bgp = BGPSettings(())
        advertised = InstrumentationSettings((), advertised_ips=(EXTRA,))
        self.announcing = BGPService(
            Settings((WEB, HIDDEN), bgp, advertised, dry_run=True),
            bgp,
            pool=self.pools.__getitem__,
            verified=lambda _: True,
            reactor=self.clock,
            runtime=Path("/nonexistent"),
            state=state,
            random=Random(1),
            frozen=lambda: self.frozen,
        )

    def start(self) -> None:
        self.announcing.start()
        self.clock.advance(0)

    def change(self, *, frozen: bool, **pools: Pool) -> None:
        self.frozen = frozen
        self.pools.update(pools)
        self.announcing.changed()
        self.clock.advance(0)

    def said(self) -> dict[str, str | None]:
        return {str(verdict.vip): verdict.why for verdict in self.announcing.verdicts}


def test_services_with_bgp_and_the_advertised_addresses_are_decided_on() -> None:
    rig = Rig()
    rig.start()
    assert rig.said() == {"192.0.2.1": "no-config", "192.0.2.9": None}
    assert [(alert.kind, alert.text) for alert in rig.announcing.alerts()] == [
        ("not-announced", "192.0.2.1/32: no-config (web: no list of servers yet)")
    ]
    rig.pools["web"] = healthy("ab")
    rig.announcing.changed()
    rig.clock.advance(0)
    assert rig.said() == {"192.0.2.1": None, "192.0.2.9": None}
    announcement = rig.announcing.verdicts[0].announcement
    assert announcement
    assert announcement.med == 5


def test_a_drain_that_is_to_be_kept_is_there_after_a_restart_until_it_is_undone(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.start()
    rig.announcing.drain(VIP, "alice", "new kernel", kept=True)
    rig.announcing.drain(EXTRA, "bob", "for a moment")
    again = Rig(tmp_path)
    again.start()
    assert [one.vip for one in again.announcing.drains()] == [VIP]
    assert again.said()["192.0.2.1"] == "drained"
    again.announcing.undrain(VIP)
    assert drains.read(tmp_path / "drains.json", 0.0) == {}


def test_with_a_file_of_drains_that_is_not_understood_it_does_not_start_and_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "drains.json").write_text("?")
    rig = Rig(tmp_path)
    with pytest.raises(DrainError):
        rig.start()
    stopped = Deferred.fromCoroutine(rig.announcing.stop())
    assert stopped.called
    assert rig.clock.getDelayedCalls() == []


def test_frozen_what_is_announced_stays_and_what_is_not_stays_out_until_it_thaws() -> None:
    rig = Rig()
    rig.start()
    rig.change(frozen=False, web=healthy("ab"))
    rig.change(frozen=True, web=after(healthy("ab"), listed(off("a"), off("b"))))
    assert rig.said()["192.0.2.1"] is None
    rig.change(frozen=False)
    assert rig.said()["192.0.2.1"] == "empty"
    rig.change(frozen=True, web=healthy("ab"))
    assert rig.said()["192.0.2.1"] == "frozen"
    rig.change(frozen=False)
    assert rig.said()["192.0.2.1"] is None


def test_after_a_reload_the_services_and_addresses_of_the_new_settings_are_decided_on() -> None:
    rig = Rig()
    rig.pools["web"] = healthy("ab")
    rig.start()
    assert rig.said() == {"192.0.2.1": None, "192.0.2.9": None}
    assert rig.announcing.holds(VIP)
    shown = replace(HIDDEN, bgp=True)
    pools = {"web": healthy("ab"), "hidden": Pool(shown.service)}
    after = Settings((shown,), BGPSettings(()), dry_run=True)
    assert {str(verdict.vip): verdict.why for verdict in rig.announcing.foresee(after, pools, {"hidden"})} == {
        "192.0.2.7": "no-config"
    }
    rig.pools.update(pools)
    rig.announcing.check(after)
    rig.announcing.reconfigure(after, {"hidden"})
    rig.clock.advance(0)
    assert rig.said() == {"192.0.2.7": "no-config"}
    assert not rig.announcing.holds(VIP)
