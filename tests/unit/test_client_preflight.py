"""The preflight: each reason why a balancer may not take the traffic."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from pybal.client.preflight import preflight

GOOD: dict[str, Any] = {
    "status": {"dry_run": False, "frozen": None, "alerts": []},
    "pools": {"web": {"listed": True, "serving": 3, "total": 3, "pooled": 3, "floor": 2}},
    "ipvs": {"services": {"web": {"verified": True}}, "audit": {"problem": None}},
    "bgp": {
        "vips": [{"vip": "192.0.2.1", "announced": True, "why": None, "detail": "", "graceful_shutdown": False}],
        "peers": [{"peer": "10.0.0.1", "state": "ESTABLISHED", "announced": [{}], "wanted": 1, "last_error": ""}],
    },
    "sources": {"web": {"problem": None}},
}


def problems(**changes: Any) -> list[str]:
    """Return the lines after changes by path: ``pools__web__serving = 0``."""
    documents = deepcopy(GOOD)
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner: Any = documents
        for parent in parents:
            inner = inner[int(parent) if parent.isdecimal() else parent]
        inner[last] = value
    return list(preflight(*documents.values()).lines())


def test_balancer_without_problems_may_take_the_traffic() -> None:
    assert problems() == ["yes: this balancer may take the traffic (1 service, 1 pool source, 1 VIP, 1 peer)"]
    assert problems(bgp={"vips": [], "peers": []}) == [
        "yes: this balancer may take the traffic (1 service, 1 pool source; BGP is off)"
    ]


def test_warnings_of_the_doctor_follow_and_prevent_nothing() -> None:
    warning = {
        "grade": "warn",
        "about": "f",
        "text": "f: /token: readable by every user",
        "why": "why",
        "fix": "chmod 640",
    }
    first, *others = problems(status__findings=[warning, {**warning, "grade": "fail"}])
    assert first.startswith("yes: ")
    assert others == ["  warning: f: /token: readable by every user (fix: chmod 640)"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status__dry_run": True}, "dry run: "),
        ({"status__frozen": {"by": "alice"}}, "frozen by alice: "),
        ({"pools": {}}, "no services"),
        ({"pools__web__listed": False}, "service web: no server list yet"),
        ({"pools__web__serving": 0}, "service web: no server serves, 3 pooled (see pybal explain web)"),
        ({"pools__web__serving": 1}, "service web: 1 of 3 servers serve, the floor is 2 (see pybal explain web)"),
        ({"ipvs__services__web__verified": False}, "service web: not verified in IPVS (see pybal diff)"),
        ({"ipvs__services": {}}, "service web: not verified in IPVS"),
        ({"ipvs__audit__problem": "no reply"}, "IPVS: no reply"),
        (
            {"bgp__vips__0__announced": False, "bgp__vips__0__why": "drained", "bgp__vips__0__detail": "by alice"},
            "VIP 192.0.2.1: not announced: drained, by alice (run pybal undrain)",
        ),
        ({"bgp__vips__0__graceful_shutdown": True}, "VIP 192.0.2.1: draining"),
        (
            {"bgp__peers__0__state": "IDLE", "bgp__peers__0__last_error": "refused"},
            "peer 10.0.0.1: session IDLE, last error: refused (check the router, and bgp-peer-address)",
        ),
        ({"bgp__peers__0__wanted": 2}, "peer 10.0.0.1: 1 of 2 VIPs sent"),
        ({"sources__web__problem": "etcd://x: refused"}, "source of web: etcd://x: refused"),
        ({"status__alerts": [{"service": "", "kind": "host", "text": "no ip_vs"}]}, "host: no ip_vs"),
    ],
)
def test_each_problem_forbids_the_traffic(changes: dict[str, Any], problem: str) -> None:
    first, line = problems(**changes)
    assert first.startswith("no: 1 problem (")
    assert line.startswith(f"  {problem}")
