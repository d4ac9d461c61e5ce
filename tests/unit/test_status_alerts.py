"""All alerts as text and JSON, and those of pools."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

import pytest

from pybal.core.model import Alert, Pool, Server, Severity
from pybal.core.outage import outage
from pybal.status import alerts
from tests.harness.snapshots import DOWN, FORCED, OUT, SICK, UNKNOWN, UP, document, pool, server, snapshot

WEB = pool("web", server("a"), server("b", DOWN, FORCED), server("c", DOWN, OUT, address=None), threshold=0.66)
SHOWN = snapshot(WEB, alerts=[Alert("web", "unresolved", "c has no address"), Alert("", "ipvs", "drift")], web=3)


def test_alerts_have_a_line_each_and_include_warnings() -> None:
    assert "".join(alerts.alerts_text(alerts.alerts(SHOWN), 112.0)) == (
        "CRITICAL web pooled-down: 1 of 3 servers down but pooled: b (serving 1 of 3, floor 2, 1 forced)\n"
        "WARNING web down: 1 of 3 servers down and not pooled: c\n"
        "WARNING web unresolved: c has no address\n"
        "WARNING pybal ipvs: drift\n"
    )
    assert "WARNING tiny too-small: Pool tiny is too small to allow depooling\n" in "".join(
        alerts.alerts_text(alerts.alerts(SICK), 112.0)
    )


def test_alerts_json_has_service_and_kind() -> None:
    drift = {"level": "warning", "service": "", "kind": "ipvs", "subject": "x", "text": "drift", "data": {}}
    shown = snapshot(alerts=[Alert("", "ipvs", "drift", subject="x")])
    assert document(alerts.alerts_json(alerts.alerts(shown), 112.0)) == [{**drift, "since": None, "age": None}]
    lasting = replace(shown, since=lambda key: 100.0 if key.kind == "ipvs" else None)
    assert document(alerts.alerts_json(alerts.alerts(lasting), 112.0)) == [{**drift, "since": 100.0, "age": 12.0}]
    assert list(alerts.alerts_text(alerts.alerts(lasting), 112.0)) == ["WARNING pybal ipvs: drift [12 s]\n"]


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (replace(pool("web"), listed=False), "waiting for the first server list"),
        (pool("web"), "the server list is empty"),
        (pool("web", server("a", DOWN, OUT), threshold=0), "1 of 1 server down (depool-threshold = 0)"),
        (pool("web", server("a", weight=0), server("b", weight=0)), "2 of 2 servers with weight 0"),
        (pool("web", server("a", UP, OUT, enabled=False)), "1 of 1 server disabled"),
        (
            pool("web", server("a", UNKNOWN, OUT), server("b", UNKNOWN, OUT, address=None)),
            "1 of 2 servers not checked yet, 1 of 2 servers not resolved yet",
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


def test_alert_names_three_servers_and_its_data_all() -> None:
    servers = [server(f"s{n}", DOWN, FORCED) for n in range(48)] + [server("up")]
    (alert, *_) = alerts.alerts(snapshot(pool("web", *servers)))
    named = "48 of 49 servers down but pooled: s0, s1, s2 and 45 more"
    assert (alert.kind, alert.text) == ("pooled-down", f"{named} (serving 1 of 49, floor 25, 48 forced)")
    assert alert.data == {"hosts": [f"s{n}" for n in range(48)]}


def test_depooled_server_is_a_warning_until_it_is_up_or_disabled() -> None:
    def down(*servers: Server) -> list[str]:
        found = alerts.alerts(snapshot(pool("web", server("a"), server("b"), server("c"), *servers)))
        return [f"{alert.severity} {alert.text}" for alert in found if alert.kind == "down"]

    assert down(server("d", DOWN, OUT)) == ["warning 1 of 4 servers down and not pooled: d"]
    assert down(server("d"), server("e", DOWN, OUT, enabled=False), server("f", UNKNOWN, OUT)) == []


def test_many_alerts_of_one_kind_and_severity_are_one_group() -> None:
    many = [
        Alert("web" if n % 2 else "api", "unknown", f"s{n}: no result", subject=f"s{n}", since=100.0 - n)
        for n in range(6)
    ]
    few = [Alert("", "bgp", "down", severity=Severity.CRITICAL), Alert("web", "source", "gone")]
    first, group, last = alerts.grouped([*many, *few])
    assert (first, last) == tuple(few)
    assert alerts.alert_text(group, 100.0) == (
        "WARNING pybal unknown: 6 alerts of 2 services (api, web): s0, s1, s2 and 3 more [5 s]"
    )
    assert group.data == {"alerts": 6, "services": ["api", "web"], "subjects": [f"s{n}" for n in range(6)]}
    assert list(alerts.grouped(many[:5])) == many[:5]
    (own,) = alerts.grouped([replace(alert, service="web", subject="") for alert in many])
    assert alerts.alert_text(own, 100.0) == "WARNING web unknown: 6 alerts [5 s]"


def test_groups_are_made_in_slices_and_equal_in_text_and_json() -> None:
    found = [Alert("web", "unknown", f"s{n}: no result", subject=f"s{n}") for n in range(100)]
    texts = list(alerts.groups_text(found, 112.0))
    assert [text for text in texts if text] == ["WARNING web unknown: 100 alerts: s0, s1, s2 and 97 more\n"]
    assert len(texts) > 100
    (group,) = document(alerts.groups_json(found, 112.0))
    assert (group["kind"], group["text"]) == ("unknown", "100 alerts: s0, s1, s2 and 97 more")


def test_metric_counts_alerts_by_kind_service_and_severity() -> None:
    found = [
        Alert("web", "unknown", "a"),
        Alert("web", "unknown", "b"),
        Alert("", "bgp", "c", severity=Severity.CRITICAL),
    ]
    (family,) = filter(None, alerts.families(found))
    assert [(dict(labels), value) for labels, value in family.series] == [
        ({"kind": "bgp", "service": "", "severity": "critical"}, 1),
        ({"kind": "unknown", "service": "web", "severity": "warning"}, 2),
    ]
