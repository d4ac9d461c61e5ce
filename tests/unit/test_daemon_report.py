"""The report of the daemon: snapshot, metrics and alerts of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from pybal.checks.engine import Engine
from pybal.config.settings import AccessSettings, ServiceSettings, Settings, SourceSettings
from pybal.control.freeze import Freezer
from pybal.control.overrides import Overrides
from pybal.core.isolation import LastResponse
from pybal.core.model import Alert, Member, Severity
from pybal.daemon.report import DaemonReport
from pybal.doctor.periodic import Examination
from pybal.ipvs.audit import Audit
from pybal.runtime.activities import Activities
from pybal.runtime.clocks import Clocks
from pybal.runtime.faults import Faults
from pybal.runtime.held import Held
from pybal.runtime.log import Log
from pybal.sources.state_files import StateFiles
from pybal.status.alert_times import AlertTimes
from pybal.status.bgp import BGP
from pybal.status.metrics import Family
from tests.harness.fake_services import ONE, DaemonOnClock, FakeSource, web
from tests.harness.fake_workers import FakeWorkers


@pytest.fixture
def daemon() -> DaemonOnClock:
    daemon = DaemonOnClock(Settings((web(), web("other", "192.0.2.2"))))
    daemon.list_all(ONE)
    daemon.report_all()
    return daemon


@pytest.fixture
def report(daemon: DaemonOnClock) -> Iterator[DaemonReport]:
    audit = Audit(daemon.reconciler, daemon.clock, interval=15.0, repairs=True, exclusive=False)
    freezer = Freezer(daemon.clock, lambda: None)
    yield DaemonReport(
        clock=daemon.clock,
        alert_times=AlertTimes(tuple, daemon.clock),
        started=0.0,
        overrides=Overrides(None, FakeWorkers(), daemon.clock, lambda: Clocks(0.0, datetime(2026, 11, 29, tzinfo=UTC))),
        services=daemon.services,
        held=Held(),
        engine=Engine(daemon.clock),  # type: ignore[arg-type]  # never started
        reconciler=daemon.reconciler,
        audit=audit,
        freezer=freezer,
        examinations=(Examination(tuple, daemon.clock),),
        faults=Faults(daemon.clock.seconds),
        activities=Activities(),
        state=StateFiles(FakeWorkers(), daemon.clock),
        starting=lambda: iter(()),
        announcing=None,
        journal=None,
        log=Log(lambda _: None),
        dry_run=False,
        configuration=lambda: daemon.reloader.configuration,
    )
    freezer.stop()


def alerts(report: DaemonReport) -> list[Alert]:
    return [alert for alert in report.alerts() if alert is not None]


def gauges(report: DaemonReport, name: str) -> dict[str, float]:
    (family,) = (family for family in report.families() if isinstance(family, Family) and family.name == name)
    return {"".join(value for _, value in labels): float(value) for labels, value in family.series}


def test_snapshot_counts_servers_that_could_not_be_depooled(daemon: DaemonOnClock, report: DaemonReport) -> None:
    daemon.report_all("10.0.0.1", "10.0.0.2", "10.0.0.3")
    snapshot = report.snapshot()
    assert list(snapshot.pools) == ["web", "other"]
    assert snapshot.could_not_depool == {"web": 1, "other": 1}


def test_alerts_are_empty_when_all_servers_are_up(report: DaemonReport) -> None:
    assert alerts(report) == []


def test_freeze_is_an_alert_and_a_metric(report: DaemonReport) -> None:
    assert (report.frozen(), gauges(report, "pybal_frozen")) == ("", {"": 0.0})
    report.freezer.freeze("root", "new switch", 60.0)
    (alert,) = alerts(report)
    assert (alert.service, alert.kind, alert.text) == ("", "frozen", f"{report.frozen()}; not changing IPVS or BGP")
    assert gauges(report, "pybal_frozen") == {"": 1.0}
    assert gauges(report, "pybal_frozen_left_seconds") == {"": 60.0}


def test_changed_file_is_an_alert(daemon: DaemonOnClock, report: DaemonReport) -> None:
    daemon.settings = Settings(())
    assert [alert.kind for alert in alerts(report)] == ["config"]


def test_services_are_verified_after_their_first_list(report: DaemonReport) -> None:
    fresh = DaemonOnClock(Settings((web(),)))
    assert not fresh.reconciler.is_verified(fresh.services["web"].settings.service)
    assert gauges(report, "pybal_ipvs_verified") == {"web": 1.0, "other": 1.0}


def test_last_responses_name_each_monitored_server(report: DaemonReport) -> None:
    assert list(report.last_responses())[:2] == [
        LastResponse("web", "10.0.0.1", 0.0),
        LastResponse("web", "10.0.0.2", 0.0),
    ]


def test_bgp_is_empty_without_bgp(report: DaemonReport) -> None:
    assert report.bgp() == BGP()


def test_source_without_verification_is_one_alert_per_server(daemon: DaemonOnClock, report: DaemonReport) -> None:
    """PyBal 1.15 never verified the certificate of etcd; a line in the log of the start is soon forgotten."""
    trusting = AccessSettings(verify=False)
    for running, path, access in zip(daemon.services, ("a", "b"), (trusting, trusting), strict=True):
        running.settings = replace(running.settings, source=SourceSettings(f"etcd://u:x@conf:4001/{path}", access))
    found = [alert for alert in alerts(report) if alert.kind == "unverified"]
    assert [(alert.severity, alert.subject) for alert in found] == [(Severity.WARNING, "etcd conf:4001")]
    assert found[0].text == (
        "[etcd conf:4001] certificate not verified (verify = no); anyone in the path can change the server lists of "
        "2 services (set ca or server-name, and verify = yes)"
    )
    for running in daemon.services:
        running.settings = replace(running.settings, source=SourceSettings("etcd://conf:4001/a"))
    assert not [alert for alert in alerts(report) if alert.kind == "unverified"]


def test_server_is_shown_as_pooled_until_ipvs_has_lost_it(daemon: DaemonOnClock, report: DaemonReport) -> None:
    daemon.reconciler.freeze()
    daemon.report_all("10.0.0.1")
    assert daemon.services["web"].controller.pool.servers["10.0.0.1"].status == "enabled/down/not pooled"
    shown = report.in_effect("web", "10.0.0.1")
    assert shown is not None
    assert shown.status == "enabled/down/pooled"
    daemon.reconciler.thaw()
    daemon.turn()
    assert report.in_effect("web", "10.0.0.1") is daemon.services["web"].controller.pool.servers["10.0.0.1"]
    assert report.in_effect("web", "nowhere") is None


class DaemonWithSavedList(DaemonOnClock):
    """A daemon whose state directory has a list with the server 10.0.0.1, and whose sources deliver none."""

    def source(self, settings: ServiceSettings) -> FakeSource:  # type: ignore[override]  # as checked as a PoolSource
        source = FakeSource(settings.source.url)
        source.saved = (Member("10.0.0.1"),)
        return source


def test_saved_server_is_shown_as_pooled_while_ipvs_holds_addresses(report: DaemonReport) -> None:
    """Before the first list any held address may be that of the server."""
    daemon = DaemonWithSavedList(Settings((web(),)))
    starting = replace(report, services=daemon.services, reconciler=daemon.reconciler)
    assert starting.in_effect("web", "10.0.0.2") is None
    for held, status in (({}, "not pooled"), ({ip_address("10.0.0.9"): 10}, "pooled")):
        daemon.services["web"].controller.start(held)
        shown = starting.in_effect("web", "10.0.0.1")
        assert shown is not None
        assert shown.status == f"enabled/down/{status}"
