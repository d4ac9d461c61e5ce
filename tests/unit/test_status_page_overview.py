"""The overview: its verdict, alerts by kind, pools by severity and cause."""

from __future__ import annotations

from typing import Any

import pytest

from pybal.core.model import Alert, Pool, Severity
from pybal.status.page.facts import Balancer, Facts
from pybal.status.page.overview import overview
from tests.harness.page_reader import PageReader
from tests.harness.page_story import NOW, all_down, dead, degraded, facts, healthy, plain, some_down


def read(shown: Facts) -> PageReader:
    return PageReader.of("".join(overview(shown)))


def with_pools(*pools: Pool, alerts: tuple[Alert, ...] = (), **others: Any) -> PageReader:
    return read(facts(pools, alerts, **others))


def test_verdict_is_plain_when_all_services_are_healthy() -> None:
    page = read(healthy())
    assert page.verdict == ("ok", "All 116 services healthyNo alerts.")
    assert page.title == "✓ · lvs3005.example.org"
    assert page.alerts == {}


def test_verdict_counts_critical_and_degraded_services() -> None:
    page = read(degraded())
    mark, text = page.verdict
    assert mark == "crit"
    assert text.startswith(
        "3 of 116 services critical, 5 degraded2 services without new connections; 11 servers down but pooled"
    )
    assert page.title == "◆ 3 critical · lvs3005.example.org"


def test_verdict_names_the_isolation_when_all_servers_are_down() -> None:
    assert read(all_down()).verdict[1].startswith("All 116 services critical: this balancer may be isolated")


def test_verdict_is_amber_for_a_warning_outside_of_services() -> None:
    page = with_pools(plain("web", 0, 3), alerts=(Alert("", "frozen", "frozen for another 60 s", since=NOW - 5),))
    assert page.verdict[0] == "warn"
    assert page.verdict[1].startswith("1 service healthy, 1 freeze")
    assert page.title == "▲ 1 alert · lvs3005.example.org"


def test_verdict_is_critical_for_a_critical_alert_outside_of_services() -> None:
    alert = Alert("", "bgp", "no session is established", severity=Severity.CRITICAL, since=NOW - 5)
    page = with_pools(plain("web", 0, 3), alerts=(alert,))
    assert page.verdict[0] == "crit"
    assert page.verdict[1].startswith("1 service healthy, 1 problem of BGP sessions")


def test_alerts_are_one_line_for_each_kind_in_a_fixed_order() -> None:
    assert list(read(degraded()).alerts) == [
        "critical-no-servers",
        "critical-pooled-down",
        "warning-bgp",
        "warning-down",
        "warning-source",
        "warning-depooled",
    ]


def test_alerts_of_many_services_are_counted_and_not_all_listed() -> None:
    text = read(all_down()).alerts["critical-pooled-down"]
    assert "5,568 servers down but pooled" in text
    assert "in text-https, text-https6, text-http and 113 more" in text
    assert "and 108 more. Kind pooled-down" in text


def test_alert_of_an_unknown_kind_is_shown_last() -> None:
    page = with_pools(
        plain("web", 0, 3), alerts=(Alert("", "odd", "x"), Alert("", "loop", "y"), Alert("", "host", "z"))
    )
    assert list(page.alerts) == ["warning-host", "warning-loop", "warning-odd"]
    assert "1 alert of kind odd" in page.alerts["warning-odd"]


def test_pools_are_grouped_by_severity() -> None:
    page = read(degraded())
    groups = [row.group for row in page.rows if row.group and len(row.cells) == 7]
    assert groups == sorted(groups, key=["critical", "degraded", "healthy"].index)
    assert page.row("maps-tiles").group == "critical"
    assert page.row("maps-tiles").cells[3:] == ["no new connections 8 down", "0/8", "0", "50\N{NO-BREAK SPACE}min"]
    assert page.row("mail-submission").cells[3] == "no server list yet"
    assert page.row("search-https").cells[3:] == ["14 down", "46/60", "30", "2\N{NO-BREAK SPACE}h"]
    assert page.row("people-https").cells[3] == "healthy"


def test_pools_that_fail_for_one_cause_are_one_group() -> None:
    page = with_pools(some_down("web", 0, 10, 2, "tls: expired"), *(dead(f"w{n}", n + 1, 4) for n in range(6)))
    assert "critical connect: no response for 3 s" in page.ids
    assert "degraded" in page.ids
    assert page.row("web").group == "degraded"
    assert [row.cells[0] for row in page.rows if row.group == "critical" and len(row.cells) == 7] == [
        f"w{n}" for n in range(6)
    ]


def test_few_pools_that_fail_for_one_cause_have_no_group() -> None:
    page = with_pools(*(dead(f"w{n}", n + 1, 4) for n in range(5)))
    assert [name for name in page.ids if name.startswith("critical ")] == []


@pytest.mark.parametrize(
    ("others", "shown"),
    [
        ({}, "role primaryMED 0mode active"),
        ({"frozen": "frozen for another 60 s by root: switch"}, "mode frozen"),
        ({"balancer": Balancer(dry_run=True, in_memory=True)}, "mode dry run, IPVS in memory"),
    ],
)
def test_header_shows_role_and_mode(others: dict[str, Any], shown: str) -> None:
    assert shown in with_pools(plain("web", 0, 3), **others).text


def test_tiles_count_services_servers_vips_peers_and_sources() -> None:
    text = read(degraded()).text
    for tile in (
        "Services healthy108 of 1163 critical 5 degraded",
        "Servers serving10,947 of 11,039",
        "VIPs announced116 of 116116 not to all peers",
        "BGP peers established1 of 2192.0.2.253 down",
        "Sources current114 of 1161 without a list 1 with a problem",
    ):
        assert tile in text
