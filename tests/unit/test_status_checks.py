"""Alerts of the checks about this balancer itself."""

from __future__ import annotations

import re

from pybal.monitors.proxyfetch import ProxyFetchSettings
from pybal.status.checks import alerts
from tests.harness.monitor_on_clock import MonitorOnClock


def test_results_ignored_for_a_late_loop_raise_an_alert_that_clears() -> None:
    settings = ProxyFetchSettings(urls=("http://x/",), interval=2.0, timeout=5.0)
    with MonitorOnClock(settings) as silent:
        for _ in range(60):  # the loop runs for a sixth of the time
            silent.reactor.advance(0.8)
            silent.pass_time(0.16)
        texts = [alert.text for alert in alerts(silent.engine)]
        assert len(texts) == 1
        assert re.fullmatch(
            r"local error \d+ s ago \(a late event loop\); ignoring the affected check results", texts[0]
        )
        silent.pass_time(61.0)
        assert list(alerts(silent.engine)) == []
        assert silent.reports
