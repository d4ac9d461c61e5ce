"""The view of a pool: its floor in numbers, reasons, grid and servers."""

from __future__ import annotations

import re

from pybal.core.model import Member, Pool, Report, Server, Servers
from pybal.status.page.facts import Facts
from pybal.status.page.pool import pool_view
from tests.harness.page_reader import PageReader
from tests.harness.page_story import NOW, all_out, dead, degraded, facts, plain, service, some_down


def read(shown: Facts, name: str = "text-https") -> PageReader:
    return PageReader.of("".join(pool_view(shown, shown.snapshot.pools[name])))


def of_pool(pool: Pool) -> PageReader:
    return read(facts([pool]), pool.service.name)


def test_floor_is_explained_in_numbers_when_servers_are_forced() -> None:
    text = read(degraded()).text
    assert "187 of 250 servers serve, and the floor is 199 (depool-threshold 0.8 x 248 of weight above 0)." in text
    assert "Below the floor, 2 unknown and 1 suspect and 10 down servers stay pooled: 187 + 2 + 1 + 10 = 200." in text
    assert "The 10 forced leave together when 12 more serve (187 + 12 = 199)." in text


def test_floor_shows_how_many_servers_may_be_depooled() -> None:
    assert "46 of 60 servers serve, and the floor is 30 (depool-threshold 0.5 x 60)." in (
        text := of_pool(some_down("web", 0, 60, 14)).text
    )
    assert "16 more servers may be depooled" in text


def test_floor_of_threshold_0_is_named() -> None:
    page = of_pool(all_out("maps", 0, 8))
    assert "0 of 8 servers serve. depool-threshold is 0" in page.text
    assert page.verdict[0] == "crit"
    assert page.verdict[1].startswith("No server takes new connections")


def test_pool_without_a_list_shows_that_it_waits() -> None:
    page = of_pool(Pool(service("web", 0)))
    assert "Waiting for the first server list." in page.text
    assert "grid" not in page.ids
    assert "The server list is empty." in of_pool(Pool(service("web", 0), listed=True)).text


def test_pool_whose_servers_all_serve_is_healthy() -> None:
    assert of_pool(plain("web", 0, 12)).verdict == ("ok", "All 12 servers serveNo alerts.")


def test_reasons_are_counted_and_filter_the_servers() -> None:
    page = read(degraded())
    assert re.search(
        r"Why servers are down 57\s*42connect: no response for 3 s14status: HTTP 503, wanted 2001body", page.text
    )


def test_reason_without_measured_values_stands_for_different_ones() -> None:
    servers = [
        Server(
            Member(f"w{n}"), {"ProxyFetch": Report(False, f"headers: {n}.5 s without a byte", NOW, "headers timeout")}
        )
        for n in range(3)
    ]
    page = of_pool(Pool(service("web", 0), Servers({s.host: s for s in servers}), listed=True))
    assert "Why servers are down 33headers timeout" in page.text
    assert "ProxyFetch: headers: 2.5 s without a byte" in page.row("w2").cells


def test_servers_are_listed_by_severity_with_reason_and_load() -> None:
    page = read(degraded())
    shown = [row for row in page.rows if row.name.startswith("s-")]
    assert len(shown) == 250
    words = list(dict.fromkeys(row.group for row in shown))
    assert words == ["forced", "held", "down", "unknown", "disabled", "weight 0", "serving"]
    minutes = "21\N{NO-BREAK SPACE}min"
    assert page.row("cp3031.example.org").cells[2:] == [
        *("forced", "ProxyFetch: connect: no response for 3 s", minutes, "10", "430", "120", "33"),
    ]
    assert page.row("cp3077.example.org").cells[2:4] == ["disabled", "depooled by an operator on this balancer"]
    assert page.row("cp3200.example.org").cells[2:4] == ["weight 0", "takes no new connections"]
    assert page.row("cp3150.example.org").cells[3].startswith("down together with many other servers; kept because")


def test_grid_links_each_server_to_its_row_in_the_order_of_the_list() -> None:
    page = read(degraded())
    targets = [link for link in page.links if link.startswith("#s-")]
    assert targets == [f"#s-cp{3000 + n}.example.org" for n in range(1, 251)]
    assert {target[1:] for target in targets} <= set(page.ids)


def test_decisions_are_shown_the_newest_first() -> None:
    text = read(degraded()).text
    assert text.index("cp3012.example.org pooled") < text.index("29 servers depooled")
    assert "cp3042.example.org, cp3043.example.org, cp3044.example.org and 26 more: " in text


def test_pool_that_is_down_has_no_alert_of_another_pool() -> None:
    page = read(facts([dead("web", 0, 4), dead("api", 1, 4)]), "web")
    assert page.title == "◆ web: 2 servers down but pooled · lvs3005.example.org"
    assert list(page.alerts) == ["warning-down"]
    assert "api" not in page.text
