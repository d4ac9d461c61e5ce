"""All alerts as text and JSON, and those of pools."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from pybal.core.model import Alert, Pool, Severity
from pybal.core.outage import outage
from pybal.status import alerts
from tests.harness.snapshots import DOWN, FORCED, OUT, SICK, UNKNOWN, UP, document, pool, server, snapshot

WEB = pool("web", server("a"), server("b", DOWN, FORCED), server("c", DOWN, OUT, address=None), threshold=0.66)
SHOWN = snapshot(WEB, alerts=[Alert("web", "unresolved", "c has no address"), Alert("", "ipvs", "drift")], web=3)


def test_alerts_have_a_line_each_and_include_warnings() -> None:
    assert "".join(alerts.alerts_text(SHOWN, 112.0)) == (
        "CRITICAL web pooled-down: Servers b are marked down but pooled\n"
        "WARNING web unresolved: c has no address\n"
        "WARNING pybal ipvs: drift\n"
    )
    assert "WARNING tiny too-small: Pool tiny is too small to allow depooling\n" in "".join(
        alerts.alerts_text(SICK, 112.0)
    )


def test_alerts_json_has_service_and_kind() -> None:
    drift = {"level": "warning", "service": "", "kind": "ipvs", "subject": "x", "text": "drift"}
    shown = snapshot(alerts=[Alert("", "ipvs", "drift", subject="x")])
    assert document(alerts.alerts_json(shown, 112.0)) == [{**drift, "since": None, "age": None}]
    lasting = replace(shown, since=lambda key: 100.0 if key.kind == "ipvs" else None)
    assert document(alerts.alerts_json(lasting, 112.0)) == [{**drift, "since": 100.0, "age": 12.0}]
    assert list(alerts.alerts_text(lasting, 112.0)) == ["WARNING pybal ipvs: drift [12 s]\n"]


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (replace(pool("web"), listed=False), "waiting for the first server list"),
        (pool("web"), "the server list is empty"),
        (pool("web", server("a", DOWN, OUT), threshold=0), "of 1 servers 1 down (depool-threshold = 0)"),
        (pool("web", server("a", weight=0), server("b", weight=0)), "of 2 servers 2 of weight 0"),
        (pool("web", server("a", UP, OUT, enabled=False)), "of 1 servers 1 disabled"),
        (
            pool("web", server("a", UNKNOWN, OUT), server("b", UNKNOWN, OUT, address=None)),
            "of 2 servers 1 not checked yet, 1 not resolved yet",
        ),
    ],
)
def test_pool_that_takes_no_connections_is_critical(shown: Pool, reason: str) -> None:
    alerted = [alert for alert in alerts.alerts(snapshot(shown)) if alert.kind == "no-servers"]
    assert alerted == [
        Alert("web", "no-servers", f"no server takes new connections: {reason}", severity=Severity.CRITICAL)
    ]


def test_pool_with_one_weight_takes_connections() -> None:
    assert not outage(pool("web", server("a", weight=0), server("b", DOWN, FORCED)))
    assert not outage(replace(pool("web"), listed=False, held=MappingProxyType({ip_address("10.0.0.1"): 10})))
