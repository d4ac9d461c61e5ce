"""Words from outside, on every endpoint: no control character reaches a terminal."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from twisted.internet.task import Clock

from pybal.bgp.model import Announcement, Session, SessionState
from pybal.bgp.verdict import Verdict, Why
from pybal.config.settings import PeerSettings
from pybal.core.model import Alert, Health
from pybal.sources.base import SourceError
from pybal.status.bgp import BGP
from tests.harness.snapshots import pool, server, snapshot, status, whole

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202e\u2028\x00<script>"
CONTROL = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2028)}
VIP = ip_address("192.0.2.1")
SHOWN = replace(
    snapshot(pool("web", server("a", Health.DOWN, reason=f"status: {HOSTILE}"), server("b"))),
    alerts=(Alert("web", "source", f"etcd: {HOSTILE}"), Alert("", "bgp", HOSTILE)),
)
ROUTES = replace(
    status(Clock(), SHOWN),
    bgp=lambda: BGP(
        enabled=True,
        verdicts=(Verdict(VIP, None, Why.DRAINED, HOSTILE, 0.0),),
        sessions=(
            Session(PeerSettings(VIP, 64600), SessionState.IDLE, last_error=HOSTILE, on_wire=(Announcement(VIP),)),
        ),
    ),
)
PATHS = (
    "/alerts /pools /pools/web /pools/web/a /metrics / /page/pools/web /page/pools/web/a /page/pools/web/b /v1/alerts /v1/pools /v1/pools/web /v1/pools/web/a"
    " /v1/pools/web/a/history /v1/pools/web/history /v1/ipvs /v1/ipvs/services /v1/bgp /v1/loop /v1/config /v1/sources"
    f" /pools/{HOSTILE} /{HOSTILE}"
).split(" ")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_no_endpoint_returns_control_characters(path: str, *, as_json: bool) -> None:
    body = whole(replace(ROUTES, snapshot=lambda: SHOWN).answer(path.encode(), as_json=as_json)).decode()
    assert not CONTROL & set(body)
    assert "<script>" not in body or as_json or path in {"/v1/alerts", "/v1/bgp", "/v1/pools/web", "/v1/pools/web/a"}


def test_line_feed_in_a_reason_cannot_forge_a_line() -> None:
    assert str(SourceError("HTTP 500\n[web] INFO: all is well")) == "HTTP 500\\n[web] INFO: all is well"
    forged = replace(SHOWN, alerts=(Alert("web", "source", "x\nOK web fine"),))
    text = whole(replace(ROUTES, snapshot=lambda: forged).answer(b"/v1/alerts", as_json=False)).decode()
    assert "\\nOK web fine\n" in text
