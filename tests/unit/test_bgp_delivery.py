"""A VIP is announced when an established peer was sent it; otherwise its reason is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest
from twisted.internet.task import Clock

from pybal.bgp.delivery import Delivery, Unsent, deliveries
from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict, Why
from pybal.config.settings import PeerSettings
from pybal.runtime.clocks import Clocks
from pybal.status import bgp
from pybal.status.bgp import BGP, vip_line
from pybal.status.explain import Context, pool_text
from pybal.status.metrics import Exposition
from tests.harness.snapshots import HEALTHY, WALL, pool, server, status, whole

VIP, OTHER = ip_address("192.0.2.1"), ip_address("2001:db8::1")
SENT = Announcement(VIP, 100)
WANTED = Verdict(VIP, SENT, None, "1 service verified", 40.0)
P = PeerSettings(ip_address("192.0.2.251"), 64600, 64601)
Q = PeerSettings(ip_address("192.0.2.252"), 64600, 64601)
UP = Session(P, SessionState.ESTABLISHED, 50.0, on_wire=(SENT,), wanted=1, families=(4,))
EMPTY = replace(UP, on_wire=())
DOWN = Session(Q, SessionState.CONNECT, 60.0, last_error="hold timer expired", down_since=45.0)


def delivery(verdict: Verdict, *sessions: Session, dry_run: bool = False) -> Delivery:
    (made,) = deliveries([verdict], sessions, dry_run=dry_run)
    return made


def test_vip_is_announced_since_the_first_peer_was_established() -> None:
    made = delivery(WANTED, UP, DOWN, replace(UP, peer=Q, since=70.0))
    assert (made.announced, made.peers, made.sessions) == (True, [P.address, Q.address], 3)
    assert (made.why, made.since) == (None, 50.0)
    assert vip_line(made, 100.0) == "192.0.2.1/32 announced to 2 of 3 peers for 50 s, MED 100: 1 service verified"


@pytest.mark.parametrize(
    ("verdict", "sessions", "why", "detail"),
    [
        (WANTED, [DOWN], Unsent.NO_SESSION, "192.0.2.252: hold timer expired"),
        (WANTED, [replace(DOWN, on_wire=(SENT,))], Unsent.NO_SESSION, "192.0.2.252: hold timer expired"),
        (
            WANTED,
            [replace(DOWN, last_error="")],
            Unsent.NO_SESSION,
            "192.0.2.252: never established (check the router, and bgp-peer-address)",
        ),
        (WANTED, [replace(EMPTY, families=(6,))], Unsent.NO_FAMILY, "IPv4 unicast not negotiated with 192.0.2.251"),
        (WANTED, [replace(EMPTY, refused=(VIP,))], Unsent.REFUSED, "by exabgp, for peer 192.0.2.251"),
        (WANTED, [EMPTY, DOWN], Unsent.NOT_SENT, "update for peer 192.0.2.251 pending"),
    ],
)
def test_vip_without_a_peer_has_the_reason(
    verdict: Verdict, sessions: Sequence[Session], why: Unsent, detail: str
) -> None:
    made = delivery(verdict, *sessions)
    assert (made.wanted, made.announced, made.why, made.detail) == (True, False, why, detail)
    assert vip_line(made, 100.0) == (
        f"192.0.2.1/32 wanted, sent to no peer for 60 s, MED 100: 1 service verified; {why} ({detail})"
    )


def test_dry_run_sends_nothing() -> None:
    assert delivery(WANTED, dry_run=True).why is Unsent.DRY_RUN


def test_withheld_vip_shows_peers_that_still_hold_it() -> None:
    withheld = Verdict(VIP, None, Why.EMPTY, "web: 0 of 3 servers pooled", 98.0)
    assert vip_line(delivery(withheld, UP), 100.0) == (
        "192.0.2.1/32 withheld, not withdrawn yet from 1 peer for 2 s: empty (web: 0 of 3 servers pooled)"
    )
    assert vip_line(delivery(withheld, EMPTY), 100.0) == (
        "192.0.2.1/32 withheld for 2 s: empty (web: 0 of 3 servers pooled)"
    )


def test_unsent_vip_is_shown_as_such_in_every_view() -> None:
    state = BGP(True, (WANTED,), (DOWN,))
    routes = replace(status(Clock()), bgp=lambda: state)
    assert b'"wanted": true, "announced": false, "peers": [], "why": "no-session"' in whole(
        routes.answer(b"/v1/bgp", as_json=True)
    )
    page = whole(routes.answer(b"/", as_json=False)).decode()
    assert "<span class=warn>1 wanted, sent to no peer</span></div><p>no-session: 192.0.2.1</p>" in page
    assert "</span></div><p>hold timer expired. CONNECT</p>" in page
    metrics = b"".join(Exposition().pieces(HEALTHY, (), bgp.families(state, 100.0))).decode()
    assert 'pybal_bgp_vip_announced{vip="192.0.2.1"} 0.0\n' in metrics
    assert 'pybal_bgp_vip_wanted{vip="192.0.2.1"} 1.0\n' in metrics
    explained = pool_text(pool("web", server("a"), vip=str(VIP)), Context(Clocks(100.0, WALL), delivery(WANTED, DOWN)))
    assert "BGP: 192.0.2.1/32 wanted, sent to no peer for 60 s, MED 100: 1 service verified; no-session" in explained
