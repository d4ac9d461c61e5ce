"""The state of BGP as text, JSON, metrics and on the status page."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest
from twisted.internet.task import Clock

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict, Why
from pybal.config.settings import PeerSettings
from pybal.status import bgp
from pybal.status.bgp import BGP
from pybal.status.metrics import Exposition
from tests.harness.snapshots import HEALTHY, status, whole

PREFIXES = "received notification 6/1, cease: maximum number of prefixes reached"
OFF = "BGP is off (set bgp = yes to announce services)\n"
VIP, OTHER = ip_address("192.0.2.1"), ip_address("2001:db8::1")
ANNOUNCED = Announcement(VIP, 100, graceful_shutdown=True)
PEER = PeerSettings(ip_address("192.0.2.251"), 64600, 64601, local_address=ip_address("192.0.2.10"))
LOCAL = ip_address("192.0.2.10")
STATE = BGP(
    True,
    (
        Verdict(VIP, ANNOUNCED, None, "1 service verified, 7 of 16 servers pooled", 40.0),
        Verdict(OTHER, None, Why.FIRST_CHECKS, "web: 3 of 16 servers <unknown>", 98.0),
    ),
    (
        Session(
            PEER,
            SessionState.ESTABLISHED,
            50.0,
            {SessionState.ESTABLISHED: 2},
            "",
            (ANNOUNCED,),
            1,
            families=(4,),
            local_address=LOCAL,
        ),
    ),
    3,
)


def test_text_has_a_line_for_each_vip_and_each_peer() -> None:
    assert bgp.text(STATE, 100.0) == (
        "192.0.2.1/32 announced to 1 of 1 peer for 50 s, MED 100, graceful shutdown: 1 service verified, 7 of 16 servers pooled\n"
        "2001:db8::1/128 withheld for 2 s: first-checks (web: 3 of 16 servers <unknown>)\n"
        "peer 192.0.2.251 ESTABLISHED for 50 s: 1 of 1 sent\n"
    )
    assert bgp.text(BGP(), 100.0) == OFF


def test_session_that_is_down_shows_for_how_long() -> None:
    down = replace(STATE, sessions=(Session(PEER, SessionState.CONNECT, 97.0, last_error=PREFIXES, down_since=40.0),))
    assert f"peer 192.0.2.251 down for 60 s (CONNECT): 0 of 0 sent; {PREFIXES}\n" in bgp.text(down, 100.0)
    assert '"down_for": 60.0' in json.dumps(bgp.json(down, 100.0))


def test_json_has_the_state_of_vips_and_peers() -> None:
    assert bgp.json(STATE, 100.0) == {
        "enabled": True,
        "restarts": 3,
        "vips": [
            {
                "vip": "192.0.2.1",
                "wanted": True,
                "announced": True,
                "peers": ["192.0.2.251"],
                "why": None,
                "detail": "1 service verified, 7 of 16 servers pooled",
                "med": 100,
                "graceful_shutdown": True,
                "age": 50.0,
            },
            {
                "vip": "2001:db8::1",
                "wanted": False,
                "announced": False,
                "peers": [],
                "why": "first-checks",
                "detail": "web: 3 of 16 servers <unknown>",
                "med": None,
                "graceful_shutdown": False,
                "age": 2.0,
            },
        ],
        "peers": [
            {
                "peer": "192.0.2.251",
                "local_asn": 64600,
                "peer_asn": 64601,
                "state": "ESTABLISHED",
                "age": 50.0,
                "down_for": None,
                "last_error": "",
                "announced": [{"vip": "192.0.2.1", "med": 100, "graceful_shutdown": True}],
                "families": ["ipv4"],
                "wanted": 1,
                "refused": 0,
                "repairs": 0,
            }
        ],
    }


def metrics(state: BGP) -> list[str]:
    text = b"".join(Exposition().pieces(HEALTHY, (), bgp.families(state, 100.0))).decode()
    return [line for line in text.splitlines() if line.startswith("pybal_bgp_")]


COUNT = 'pybal_bgp_session_state_count{local_asn="64600",local_ip="192.0.2.10",remote_ip="192.0.2.251",side="active"'


@pytest.mark.parametrize(
    "line",
    [
        "pybal_bgp_enabled 1.0",
        'pybal_bgp_session_established{local_asn="64600",peer="192.0.2.251"} 1.0',
        COUNT + ',state="ESTABLISHED"} 1.0',
        COUNT + ',state="IDLE"} 0.0',
        'pybal_bgp_session_announced{local_asn="64600",peer="192.0.2.251"} 1.0',
        'pybal_bgp_session_repairs_total{local_asn="64600",peer="192.0.2.251"} 0.0',
        "pybal_bgp_restarts_total 3.0",
        'pybal_bgp_vip_announced{vip="192.0.2.1"} 1.0',
        'pybal_bgp_vip_announced{vip="2001:db8::1"} 0.0',
        'pybal_bgp_vip_wanted{vip="192.0.2.1"} 1.0',
        'pybal_bgp_vip_wanted{vip="2001:db8::1"} 0.0',
        'pybal_bgp_vip_age_seconds{vip="2001:db8::1"} 2.0',
        'pybal_bgp_vips_withheld{why="first-checks"} 1.0',
        'pybal_bgp_vips_withheld{why="empty"} 0.0',
    ],
)
def test_metrics_have_the_names_of_pybal115_and_new_ones(line: str) -> None:
    assert line in metrics(STATE)


def test_metrics_are_only_the_enabled_gauge_when_bgp_is_off() -> None:
    assert metrics(BGP()) == ["pybal_bgp_enabled 0.0"]


def test_session_metric_is_zero_before_the_first_connection() -> None:
    down = BGP(enabled=True, sessions=(Session(PEER),))
    assert 'pybal_bgp_session_established{local_asn="64600",peer="192.0.2.251"} 0.0' in metrics(down)


def test_routes_return_the_state_below_v1() -> None:
    body = whole(status(Clock()).answer(b"/v1/bgp", as_json=True))
    assert json.loads(body) == {"enabled": False, "restarts": 0, "vips": [], "peers": []}
    assert whole(status(Clock()).answer(b"/v1/bgp", as_json=False)) == OFF.encode()


def test_page_shows_vips_and_peers() -> None:
    page = page_with(STATE)
    assert (
        "VIPs announced</span><strong>1 <small>of 2</small></strong><em><span class=warn>1 not announced</span>" in page
    )
    assert "<span class=warn>1 withheld</span></div><p>first-checks: 2001:db8::1</p>" in page
    assert (
        "<b>192.0.2.251</b><span class=ok>established</span></div><p>for 50\N{NO-BREAK SPACE}s, 1 of 1 VIP sent</p>"
        in page
    )
    assert "192.0.2.251" not in page_with(BGP())


def page_with(state: BGP) -> str:
    clock = Clock()
    clock.advance(100.0)
    return whole(replace(status(clock), bgp=lambda: state).answer(b"/", as_json=False)).decode()
