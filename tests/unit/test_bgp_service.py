"""The daemon's BGP service in a dry run: verdicts, alerts and the drains file."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, cast

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
from tests.harness.fake_workers import FakeWorkers
from tests.harness.pool_events import after, down, healthy, listed, off, service

VIP, EXTRA = ip_address("192.0.2.1"), ip_address("192.0.2.9")
WEB = ServiceSettings(service(), SourceSettings("file:///pools/web"), bgp_med=5)
HIDDEN = replace(WEB, service=replace(service(), name="hidden", vip=ip_address("192.0.2.7")), bgp=False)


class DryRunService:
    """A BGP service in a dry run, with the pools of the test."""

    def __init__(self, state: Path | None = None) -> None:
        self.files = FakeWorkers()
        self.clock = Clock()
        self.frozen = self.absent = False
        self.pools: dict[str, Pool] = {"web": Pool(service())}
        settings = BGPSettings(())
        advertised = InstrumentationSettings((), advertised_ips=(EXTRA,))
        self.bgp = BGPService(
            Settings((WEB, HIDDEN), settings, advertised, dry_run=True),
            settings,
            pool=self.pools.__getitem__,
            verified=lambda _: True,
            reactor=cast("Any", self.clock),
            runtime=Path("/nonexistent"),
            state=state,
            random=Random(1),
            frozen=lambda: self.frozen,
            absent=lambda _: self.absent,
            files=self.files,
        )

    def start(self) -> None:
        self.result(self.bgp.start())
        self.clock.advance(0)

    def result(self, done: Deferred[None]) -> None:
        """Raise the error of a call that has ended."""
        failures: list[BaseException] = []
        done.addCallbacks(lambda _: None, lambda failure: failures.append(failure.value))
        assert done.called
        if failures:
            raise failures[0]

    def change(self, *, frozen: bool, **pools: Pool) -> None:
        self.frozen = frozen
        self.pools.update(pools)
        self.bgp.changed()
        self.clock.advance(0)

    def reasons(self) -> dict[str, str | None]:
        return {str(verdict.vip): verdict.why for verdict in self.bgp.verdicts}


def test_verdicts_cover_bgp_services_and_advertised_addresses() -> None:
    dry_run = DryRunService()
    dry_run.start()
    assert dry_run.reasons() == {"192.0.2.1": "no-config", "192.0.2.9": None}
    assert [(alert.kind, alert.text) for alert in dry_run.bgp.alerts()] == [
        ("not-announced", "192.0.2.1/32: no-config (web: no server list yet)")
    ]
    dry_run.pools["web"] = healthy("ab")
    dry_run.bgp.changed()
    dry_run.clock.advance(0)
    assert dry_run.reasons() == {"192.0.2.1": None, "192.0.2.9": None}
    announcement = dry_run.bgp.verdicts[0].announcement
    assert announcement
    assert announcement.med == 5


def test_flapping_vip_raises_an_alert_until_it_was_quiet() -> None:
    dry_run = DryRunService()
    dry_run.start()
    failed = after(healthy("ab", threshold=0), down("a"), down("b"))
    for _ in range(2):
        dry_run.change(frozen=False, web=healthy("ab"))
        dry_run.change(frozen=False, web=failed)
        dry_run.clock.advance(2)
    dry_run.change(frozen=False, web=healthy("ab"))
    assert [(alert.kind, alert.text) for alert in dry_run.bgp.alerts()] == [
        ("not-announced", "192.0.2.1/32: flapping (withdrawn 2 times in short order; must be ready for 30 s)"),
        (
            "flapping",
            "192.0.2.1/32: withdrawn 2 times with less than 10 minutes between; its services fail and recover",
        ),
    ]
    dry_run.clock.advance(30)
    assert [alert.kind for alert in dry_run.bgp.alerts()] == ["flapping"]
    dry_run.clock.advance(600)
    assert [*dry_run.bgp.alerts()] == []


def test_service_removed_from_ipvs_raises_an_alert_until_it_is_back() -> None:
    dry_run = DryRunService()
    dry_run.start()
    dry_run.change(frozen=False, web=healthy("ab"))
    dry_run.absent = True
    dry_run.change(frozen=False)
    (alert,) = dry_run.bgp.alerts()
    assert alert.text.startswith("192.0.2.1/32: not-in-ipvs (web: removed from IPVS by another program")
    dry_run.absent = False
    dry_run.change(frozen=False)
    assert [*dry_run.bgp.alerts()] == []


def test_kept_drain_survives_a_restart_until_cancelled(tmp_path: Path) -> None:
    dry_run = DryRunService(tmp_path)
    dry_run.start()
    dry_run.bgp.drain(VIP, "alice", "new kernel", kept=True)
    dry_run.bgp.drain(EXTRA, "bob", "for a moment")
    restarted = DryRunService(tmp_path)
    restarted.start()
    assert [one.vip for one in restarted.bgp.drains()] == [VIP]
    assert restarted.reasons()["192.0.2.1"] == "drained"
    restarted.bgp.undrain(VIP)
    assert drains.read(tmp_path / "drains.json", 0.0) == {}


def test_invalid_drains_file_prevents_the_start(tmp_path: Path) -> None:
    (tmp_path / "drains.json").write_text("?")
    dry_run = DryRunService(tmp_path)
    with pytest.raises(DrainError):
        dry_run.start()
    stopped = Deferred.fromCoroutine(dry_run.bgp.stop())
    assert stopped.called
    assert dry_run.clock.getDelayedCalls() == []


def test_drain_is_confirmed_when_its_file_is_written(tmp_path: Path) -> None:
    dry_run = DryRunService(tmp_path)
    dry_run.start()
    dry_run.files.hold = True
    drained = dry_run.bgp.drain(VIP, "alice", "new kernel", kept=True)
    assert not drained.called
    dry_run.files.release()
    assert drained.called
    assert list(drains.read(tmp_path / "drains.json", 0.0)) == [VIP]


def test_drain_on_a_hung_file_system_is_active_and_reported(tmp_path: Path) -> None:
    dry_run = DryRunService(tmp_path)
    dry_run.start()
    dry_run.files.hold = True
    drained = dry_run.bgp.drain(VIP, "alice", "new kernel", kept=True)
    dry_run.clock.advance(drains.PATIENCE)
    with pytest.raises(DrainError, match=r"drains.json: no response from the file system for 5 s"):
        dry_run.result(drained)
    assert [one.vip for one in dry_run.bgp.drains()] == [VIP]


def test_start_fails_while_the_drains_file_does_not_respond(tmp_path: Path) -> None:
    dry_run = DryRunService(tmp_path)
    dry_run.files.hold = True
    started = dry_run.bgp.start()
    dry_run.clock.advance(drains.PATIENCE)
    with pytest.raises(DrainError, match="no response from the file system"):
        dry_run.result(started)
    dry_run.files.release()
    dry_run.start()


def test_frozen_vip_does_not_change_until_thawed() -> None:
    dry_run = DryRunService()
    dry_run.start()
    dry_run.change(frozen=False, web=healthy("ab"))
    dry_run.change(frozen=True, web=after(healthy("ab"), listed(off("a"), off("b"))))
    assert dry_run.reasons()["192.0.2.1"] is None
    dry_run.change(frozen=False)
    assert dry_run.reasons()["192.0.2.1"] == "empty"
    dry_run.change(frozen=True, web=healthy("ab"))
    assert dry_run.reasons()["192.0.2.1"] == "frozen"
    dry_run.change(frozen=False)
    assert dry_run.reasons()["192.0.2.1"] is None


def test_reload_decides_on_the_services_of_the_new_settings() -> None:
    dry_run = DryRunService()
    dry_run.pools["web"] = healthy("ab")
    dry_run.start()
    assert dry_run.reasons() == {"192.0.2.1": None, "192.0.2.9": None}
    assert dry_run.bgp.holds(VIP)
    shown = replace(HIDDEN, bgp=True)
    pools = {"web": healthy("ab"), "hidden": Pool(shown.service)}
    after = Settings((shown,), BGPSettings(()), dry_run=True)
    assert {str(verdict.vip): verdict.why for verdict in dry_run.bgp.foresee(after, pools, {"hidden"})} == {
        "192.0.2.7": "no-config"
    }
    dry_run.pools.update(pools)
    dry_run.bgp.check(after)
    dry_run.bgp.reconfigure(after, {"hidden"})
    dry_run.clock.advance(0)
    assert dry_run.reasons() == {"192.0.2.7": "no-config"}
    assert not dry_run.bgp.holds(VIP)
