"""The pools below ``/v1``, and the reason for the state of each server."""

from __future__ import annotations

import pytest

from pybal.core.model import Alert, Report
from pybal.status import v1
from tests.harness.snapshots import DOWN, FORCED, OUT, document, pool, server, snapshot

WEB = pool("web", server("a"), server("b", DOWN, FORCED), server("c", DOWN, OUT, address=None), threshold=0.66)
SHOWN = snapshot(WEB, alerts=[Alert("web", "unresolved", "c has no address"), Alert("", "ipvs", "drift")], web=3)


def test_server_text_has_monitor_reports_and_the_arithmetic_of_its_pool() -> None:
    assert v1.server_text(SHOWN, WEB, WEB.servers["b"], 112.0) == (
        "b: forced (down, but needed to reach the floor), weight 10, address 10.0.0.1\n"
        "  ProxyFetch: down for 12 s: status: HTTP 500, wanted 200\n"
        "web: serving 1 of 3, floor 2, 1 forced, 2 pooled, 0 unknown\n"
    )


def test_server_json_has_reports_and_the_state_of_its_pool() -> None:
    assert v1.server_json(SHOWN, WEB, WEB.servers["b"], 112.5) == {
        "host": "b",
        "address": "10.0.0.1",
        "weight": 10,
        "enabled": True,
        "health": "down",
        "placement": "forced",
        "why": "down, but needed to reach the floor",
        "reports": [
            {
                "monitor": "ProxyFetch",
                "up": False,
                "reason": "status: HTTP 500, wanted 200",
                "age": 12.5,
                "reason_age": 12.5,
            }
        ],
        "pool": {
            "service": "web",
            "protocol": "tcp",
            "vip": "10.2.2.1",
            "port": 80,
            "scheduler": "wrr",
            "listed": True,
            "total": 3,
            "enabled": 3,
            "up": 1,
            "unknown": 0,
            "down": 2,
            "serving": 1,
            "pooled": 2,
            "forced": 1,
            "pooled_down": 1,
            "floor": 2,
            "can_depool": False,
            "threshold": 0.66,
            "could_not_depool": 3,
        },
    }


def test_pool_text_lists_its_servers_below_its_arithmetic() -> None:
    text = "".join(v1.pool_text(SHOWN, WEB, 112.0))
    assert text.startswith("web: serving 1 of 3, floor 2, 1 forced, 2 pooled, 0 unknown\na: pooled (up)")
    facts = document(v1.pool_json(SHOWN, WEB, 112.0))
    assert list(facts["servers"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("report", "now", "text"),
    [
        (None, 0.0, "no result yet"),
        (Report(True, at=10.0), 10.4, "up for 0 s"),
        (Report(True, at=0.0), 119.0, "up for 119 s"),
        (Report(True, at=0.0), 600.0, "up for 10 min"),
        (Report(False, "connect: refused", at=0.0), 9000.0, "down for 2 h: connect: refused"),
        (Report(False, "connect: refused", at=0.0), 864000.0, "down for 10 d: connect: refused"),
        (Report(True, at=11.0), 10.0, "up for 0 s"),
        (Report(True, at=9.0, since=1.0), 100.0, "up for 99 s"),
        (Report(False, "refused", at=35.0, since=1.0), 37.0, "down for 36 s (reason changed 2 s ago): refused"),
    ],
)
def test_report_text_shows_the_duration_of_the_state(report: Report | None, now: float, text: str) -> None:
    assert v1.report_text(report, now) == text
