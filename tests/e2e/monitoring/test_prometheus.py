"""A real Prometheus scrapes a real daemon: the shipped rules fire and clear."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.daemon_process import wait_for
from tests.harness.dashboard import queries
from tests.harness.servers.prometheus import prometheus
from tests.harness.watched_balancer import WatchedBalancer

pytestmark = pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus")

NO_DATA = {
    "Present alerts": "no alert is present",
    "Alerts": "likewise",
    "Servers down, forced, unknown": "all servers are up",
    "Failed checks": "no check fails",
    "Certificates of servers expire in": "no service has the monitor TLS",
    "New connections (scrape with ipvs=1)": "a table in memory has no traffic",
    "Traffic from clients (scrape with ipvs=1)": "likewise",
    "Changes by other programs": "no other program changes IPVS",
}
"""Panels of the dashboard that show nothing for a healthy balancer, with the reason."""
API = ("127.0.2.1", "127.0.2.2")


def test_rules_fire_and_clear_with_the_state_of_the_daemon(balancer: WatchedBalancer, tmp_path: Path) -> None:
    with prometheus(tmp_path) as running:
        running.wait_for_alerts()
        for host in API:
            balancer.servers[host].stop()
        found = running.wait_for_alerts(
            "PyBalServiceFailing", "PyBalDegraded", "PyBalServersDown", "PyBalVipNotAnnounced"
        )
        alert = found["PyBalServiceFailing", "api"]
        assert (alert["labels"]["kind"], alert["labels"]["severity"]) == ("no-servers", "critical")
        assert alert["annotations"]["summary"] == "api on 127.0.0.1:9090: no-servers"
        assert alert["annotations"]["runbook_url"].endswith("/alerts.html#no-servers")
        summary = found["PyBalVipNotAnnounced", ""]["annotations"]["summary"]
        assert summary == "No balancer announces 192.0.2.2"
        for host in API:
            balancer.servers[host].start()
        running.wait_for_alerts()
        balancer.running.stop()
        # The last one waits for 5 minutes of failed and successful scrapes, if its `for` is not a second as here.
        running.wait_for_alerts("PyBalDown", "PyBalAbsent", "PyBalScrapeFailing")


def test_every_panel_of_the_dashboard_has_data(balancer: WatchedBalancer, tmp_path: Path) -> None:
    with prometheus(tmp_path) as running:
        shown = [(title, expression) for title, expression, _ in queries() if title not in NO_DATA]
        assert len(shown) > 20
        for title, expression in shown:
            wait_for(lambda: running.query(expression), lambda: f"{title}: {expression}")  # noqa: B023  # called in the loop
        assert {title for title, expression, _ in queries() if not running.query(expression)} <= set(NO_DATA)
        (versions,) = running.query("pybal_build_info")
        assert versions["metric"]["instance"] == "127.0.0.1:9090"
