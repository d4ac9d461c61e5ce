"""The views of BGP, sources, host and history: rows, groups, verdicts, commands and escaping."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.task import Clock

from pybal.bgp.model import Announcement, SessionState
from pybal.bgp.verdict import Verdict, Why
from pybal.client.arguments import COMMANDS
from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.core.model import Alert, Member
from pybal.doctor.finding import Finding, Grade
from pybal.reload.render import Configuration
from pybal.runtime.activities import Activities
from pybal.runtime.activity import Activity
from pybal.runtime.held import Held
from pybal.status.bgp import BGP
from pybal.status.page.bgp import bgp_view
from pybal.status.page.document import VIEWS
from pybal.status.page.facts import Facts
from pybal.status.page.history import SHOWN, history_view
from pybal.status.page.host import host_view
from pybal.status.page.overview import overview
from pybal.status.page.pool import pool_view
from pybal.status.page.server import server_view
from pybal.status.page.sources import sources_view
from tests.harness import page_story
from tests.harness.page_reader import PageReader
from tests.harness.page_story import NOW, Listing

VIEW: dict[str, Callable[[Facts], Iterator[str]]] = {
    "/page/bgp": bgp_view,
    "/page/sources": sources_view,
    "/page/host": host_view,
    "/page/history": history_view,
}
POOLS = tuple(page_story.plain(name, number, 4) for number, name in enumerate(("web", "api", "dns")))


def read(view: Callable[[Facts], Iterator[str]], *alerts: Alert, **facts: Any) -> PageReader:
    return PageReader.of("".join(view(page_story.facts(POOLS, alerts, **facts))))


def pool_of_web(facts: Facts) -> Iterator[str]:
    return pool_view(facts, POOLS[0])


def server_of_web(facts: Facts) -> Iterator[str]:
    return server_view(facts, POOLS[0], next(iter(POOLS[0].servers.values())))


def history(*decisions: Decision) -> Callable[[str], PoolHistory]:
    past = PoolHistory()
    for one in decisions:
        past.decide(one)
    return lambda service: past if service == "web" else PoolHistory()


@pytest.mark.parametrize("path", VIEW)
def test_navigation_has_every_view(path: str) -> None:
    page = read(VIEW[path])
    assert set(VIEW) < set(page.links)
    assert {target for _, target in VIEWS} == {"/", *VIEW}


@pytest.mark.parametrize("path", VIEW)
def test_view_of_a_healthy_balancer_has_no_alerts(path: str) -> None:
    page = read(VIEW[path])
    assert page.alerts == {}
    assert page.title.startswith("✓")


@pytest.mark.parametrize("view", [overview, *VIEW.values(), pool_of_web, server_of_web])
def test_commands_of_a_view_exist(view: Callable[[Facts], Iterator[str]]) -> None:
    named = re.findall("<code>pybal ([a-z-]+)", "".join(view(page_story.facts(POOLS))))
    assert named
    assert set(named) <= {command.name for command in COMMANDS}


# ---- BGP ----


def test_peer_shows_its_session_and_the_last_notification() -> None:
    story = page_story.degraded()
    page = PageReader.of("".join(bgp_view(story)))
    up, down = page.row("192.0.2.252"), page.row("192.0.2.253")
    assert up.cells[1:] == ["established", "41\N{NO-BREAK SPACE}d", "any", "116 of 116", "0", ""]
    assert down.cells[1:3] == ["down (CONNECT)", "12\N{NO-BREAK SPACE}min"]
    assert down.cells[-1] == "NOTIFICATION from the peer: hold timer expired (4/0)"
    assert "1 problem of BGP sessions" in page.text


def test_vips_are_grouped_by_the_peers_that_hold_them() -> None:
    first, second, third = (pool.service.vip for pool in POOLS)
    announced = (Announcement(first, 100, graceful_shutdown=True), Announcement(second))
    verdicts = (
        Verdict(first, announced[0], None, "1 service ready", NOW - 60),
        Verdict(second, announced[1], None, "1 service ready", NOW - 60),
        Verdict(third, None, Why.BELOW, "dns: serving 1 of 4, floor 2", NOW - 60),
    )
    peers = page_story.facts(POOLS).bgp.sessions
    sessions = (replace(peers[0], on_wire=announced), replace(peers[1], on_wire=announced[:1]))
    page = read(bgp_view, bgp=BGP(True, verdicts, sessions))
    rows = [(row.group, row.cells) for row in page.rows if row.name.startswith("vip-")]
    assert rows == [
        (
            "withheld",
            [str(third), "withheld", "10:01:14", "", "dns", "below: dns: serving 1 of 4, floor 2"],
        ),
        ("partly", [str(second), "announced to 1 of 2 peers", "10:01:14", "0", "api", "1 service ready"]),
        (
            "all",
            [str(first), "announced to 2 of 2 peers", "10:01:14", "100, graceful shutdown", "web", "1 service ready"],
        ),
    ]


def test_bgp_that_is_off_is_not_a_problem() -> None:
    page = read(bgp_view, bgp=BGP())
    assert "BGP is off" in page.text
    assert page.title.startswith("✓")


# ---- sources ----


def test_sources_with_a_problem_come_first() -> None:
    sources = (
        ("web", Listing("file:///web")),
        ("api", Listing("etcd://conf1/api", "etcd://conf1/api: no response", stale=True, errors={"connect": 3})),
        ("dns", Listing("file:///dns", last_success=None, last_change=None)),
    )
    page = read(sources_view, Alert("api", "source", "no response"), sources=sources)
    rows = [(row.group, row.cells[0], row.cells[1], row.cells[-2:]) for row in page.rows if row.name]
    assert rows == [
        ("problem", "api", "saved list", ["3", "no response"]),
        ("current", "web", "current", ["0", ""]),
        ("current", "dns", "current", ["0", ""]),
    ]
    assert page.row("dns").cells[4:6] == ["never", "never"]
    assert "2 of 3 sources current" in page.text


def test_refused_list_shows_its_changes_and_the_command() -> None:
    hosts = tuple(POOLS[0].servers)
    refused = (Member(hosts[0]), Member("new.example.org"))
    sources = (("web", Listing("file:///web", "file:///web: refused a list", refused=refused)),)
    page = read(sources_view, sources=sources)
    assert f"removes 3 of 4 servers: {', '.join(hosts[1:])}; adds 1 of 4 servers: new.example.org" in page.text
    assert "pybal accept web --reason TEXT" in page.text
    assert page.row("web").cells[1] == "refused"


# ---- host ----


def test_host_shows_each_finding_with_its_remedy() -> None:
    finding = Finding("VIP 192.0.2.1", Grade.FAIL, "on no device", "on lo", "packets are dropped", "ip address add X")
    page = read(host_view, Alert("", "host", "VIP 192.0.2.1: on no device"), host=[finding])
    row = page.row("VIP 192.0.2.1: on no device, wanted on lo")
    assert row.cells[1:] == ["fail", "packets are dropped", "ip address add X"]
    assert "1 finding of pybal doctor" in page.text


def test_host_shows_the_longest_holds_of_the_loop() -> None:
    held = Held()
    held.note(history, NOW - 60, 0.180, 0.150)
    held.note(history, NOW - 90, 0.051, 0.001)
    page = read(host_view, held=held)
    rows = [row.cells for row in page.rows if row.name.startswith("hold-")]
    assert [row[1:4] for row in rows] == [
        ["180\N{NO-BREAK SPACE}ms", "150\N{NO-BREAK SPACE}ms", "60\N{NO-BREAK SPACE}s"],
        ["51\N{NO-BREAK SPACE}ms", "1\N{NO-BREAK SPACE}ms", "90\N{NO-BREAK SPACE}s"],
    ]
    assert rows[0][4] == "PyBal computed"
    assert rows[1][4].startswith("the host was overloaded")


def test_host_names_a_stalled_activity() -> None:
    class Site(Clock):
        activities = Activities()

    clock = Site()
    activity = Activity("heartbeat", lambda: None, clock, interval=1.0)
    activity.start()
    clock.rightNow += 100.0  # no call is made
    page = read(host_view, activities=clock.activities)
    assert "1 periodic activity" in page.text
    assert "heartbeat" in page.text
    assert "not called, due 99 s ago" in page.text


def test_host_shows_whether_the_configuration_is_that_of_the_file() -> None:
    loaded = Configuration("/etc/pybal/pybal.conf", "5ca1e", "5ca1e", NOW - 3600)
    assert "loaded60\N{NO-BREAK SPACE}min ago/etc/pybal/pybal.conf" in read(host_view, configuration=loaded).text
    changed = replace(loaded, on_disk="0ther")
    assert "differs from the file" in read(host_view, configuration=changed).text


def test_host_shows_no_alerts_of_services_and_bgp() -> None:
    page = read(host_view, Alert("", "bgp", "session down", subject="x"), Alert("web", "unknown", "late"))
    assert page.alerts == {}
    assert "No problem of this balancer" in page.text


# ---- history ----


def test_decisions_are_shown_newest_first() -> None:
    older = Decision.of(NOW - 7200, "pooled", [("a", "up")], "serving 4 of 4, floor 2")
    newer = Decision.of(
        NOW - 60, "depooled", [("b", "down: X refused"), ("c", "down: X late")], "serving 2 of 4, floor 2"
    )
    page = read(history_view, history=history(older, newer))
    rows = [(row.group, row.cells) for row in page.rows if row.name]
    assert rows == [
        (
            "depooled",
            [
                "11-29 10:01:14",
                "web",
                "depooled",
                "2 servers: b, c",
                "down: X refused and 1 other reason",
                "serving 2 of 4, floor 2",
            ],
        ),
        ("pooled", ["11-29 08:02:14", "web", "pooled", "a", "up", "serving 4 of 4, floor 2"]),
    ]
    assert "1 decision in the last hour, in 1 service" in page.text


def test_decisions_beyond_the_newest_are_left_out() -> None:
    def past(service: str) -> PoolHistory:
        made = PoolHistory()
        for number in range(200):
            made.decide(Decision.of(NOW - number * 3 - len(service), "pooled", [(f"{service}{number}", "up")], ""))
        return made

    page = read(history_view, history=past)
    rows = [row.cells[3] for row in page.rows if row.name]
    assert len(rows) == SHOWN
    assert {"web0", "api0", "dns0", "web99", "dns99"} <= set(rows)
    assert "web199" not in rows
    assert "The newest 300 of 600 are shown." in page.text


# ---- names and sizes ----


@pytest.mark.parametrize("path", VIEW)
def test_names_are_escaped_in_every_view(path: str) -> None:
    bad = "<script>'\"&"
    pools = (page_story.plain(bad, 0, 2),)
    session = replace(
        page_story.facts(pools).bgp.sessions[0], state=SessionState.IDLE, down_since=NOW - 5, last_error=bad
    )
    verdict = Verdict(ip_address("192.0.2.1"), None, Why.BELOW, bad, NOW)
    shown = page_story.facts(
        pools,
        [Alert(bad, kind, bad, subject=bad) for kind in ("bgp", "source", "host")] + [Alert("", bad, bad)],
        bgp=BGP(True, (verdict,), (session,)),
        sources=((bad, Listing(bad, f"{bad}: {bad}", refused=(Member(bad),))),),
        host=[Finding(bad, Grade.WARN, bad, bad, bad, bad)],
        configuration=Configuration(bad, "1", "2", NOW),
        history=lambda _service: history(Decision.of(NOW, "kept", [(bad, bad)], bad))("web"),
    )
    text = "".join(VIEW[path](shown))
    assert "<script>" not in text
    assert PageReader.of(text).text.count(bad) >= 1


@pytest.mark.parametrize(("path", "most"), [("/page/bgp", 40_000), ("/page/sources", 45_000), ("/page/host", 10_000)])
def test_size_of_a_view_of_116_services_is_bounded(path: str, most: int) -> None:
    assert len("".join(VIEW[path](page_story.degraded()))) < most
