"""The view of a server: conditions, last check, timeline, transitions and pools."""

from __future__ import annotations

import re
from dataclasses import replace

from pybal.status.page.facts import Facts
from pybal.status.page.server import server_view
from tests.harness.page_reader import PageReader
from tests.harness.page_story import degraded, facts, healthy, plain

HOST = "cp3031.example.org"


def page_of(shown: Facts, name: str = "text-https", host: str = HOST) -> str:
    pool = shown.snapshot.pools[name]
    return "".join(server_view(shown, pool, pool.servers[host]))


def test_conditions_are_met_or_not() -> None:
    page = page_of(degraded())
    lines = re.findall(r"<li( class=done)?><div>(.*?)</div>", page)
    assert [bool(done) for done, _ in lines] == [False, True, True, True]
    assert lines[0][1].startswith("<b>ProxyFetch</b> down for 21 min: connect: no response for 3 s")
    assert "<p>One passed check brings it up, next check in 3 s</p>" in lines[0][1]
    assert "It is depooled when 12 more servers can serve" in page


def test_verdict_explains_why_a_server_that_is_down_has_traffic() -> None:
    mark, text = PageReader.of(page_of(degraded())).verdict
    assert mark == "crit"
    assert text.startswith("Down, but pooled: it receives traffic")
    assert "The floor of text-https keeps it: 187 serve, the floor is 199." in text


def test_last_check_is_shown_by_phase() -> None:
    page = PageReader.of(page_of(degraded()))
    phases = [row.cells for row in page.rows if len(row.cells) == 3]
    assert [cells[0] for cells in phases][:5] == ["connect", "tls", "first byte", "headers", "total"]
    assert phases[0][2] == "0.4\N{NO-BREAK SPACE}ms"
    assert "status: HTTP 503, wanted 200; 162 bytes" in phases[4][1]


def test_timeline_has_a_path_for_each_phase_and_cuts_outliers() -> None:
    page = page_of(degraded())
    (plot,) = re.findall(r"<div class=plot>.*?</div>", page)
    assert re.findall(r'<path class=(\w+) d="M', plot) == ["p1", "p2", "p3", "p4", "p5", "okay", "fail"]
    assert plot.count("<rect class=cut") == 2  # three checks, two of them consecutive
    assert "50 checks from 09:53:57 to 10:02:07: 23 passed, 27 did not; the last one failed" in plot
    assert "kept 09:57:47" in plot


def test_every_check_is_in_the_table_the_newest_first() -> None:
    page = PageReader.of(page_of(degraded()))
    checks = [row.cells for row in page.rows if len(row.cells) == 4 and ":" in row.cells[0]][:50]
    assert checks[0] == ["10:02:07", "failed", "29\N{NO-BREAK SPACE}ms", "status: HTTP 503, wanted 200"]
    assert "follow-up failed" in [cells[1] for cells in checks]
    assert [cells[0] for cells in checks] == sorted((cells[0] for cells in checks), reverse=True)


def test_few_checks_are_listed_without_a_drawing() -> None:
    (section,) = re.findall(
        r'<section class=checks id="checks-IdleConnection">.*?</section>', page_of(degraded()), re.DOTALL
    )
    assert "<details open>" in section
    assert "class=plot" not in section


def test_ribbon_shows_the_placements_of_a_day() -> None:
    (ribbon,) = re.findall(r"<svg class=ribbon.*?</svg>", page_of(degraded()))
    assert re.findall(r"<rect class=(\w)", ribbon) == ["u", "d", "u", "f"]
    assert "forced since 09:57:47" in ribbon


def test_pools_of_a_server_are_listed_the_worst_first_and_not_all() -> None:
    page = PageReader.of(page_of(degraded()))
    own = [row.cells for row in page.rows if len(row.cells) == 6]
    assert own[1][:2] == ["text-https", "forced"]
    assert len(own) == 21  # with the heading
    assert "and 90 more pools" in page.text


def test_server_without_history_shows_its_state() -> None:
    page = PageReader.of(page_of(healthy()))
    assert page.verdict[0] == "ok"
    assert page.verdict[1].startswith("Serving")
    assert "No decision and no transition is kept." in page.text


def test_override_and_freeze_are_conditions() -> None:
    shown = facts(
        [plain("web", 0, 3)],
        frozen="frozen for another 60 s by root: switch",
        override=lambda service, host: f"{host} of {service} depooled by alice",
    )
    page = page_of(shown, "web", "cp3001.example.org")
    assert "cp3001.example.org of web depooled by alice" in page
    assert "Frozen" in page


def test_commands_quote_the_names_for_a_shell() -> None:
    shown = facts([replace(pool, service=replace(pool.service, name="a b")) for pool in [plain("web", 0, 1)]])
    assert "<code>pybal explain &#x27;a b&#x27; cp3001.example.org</code>" in page_of(
        shown, "a b", "cp3001.example.org"
    )
