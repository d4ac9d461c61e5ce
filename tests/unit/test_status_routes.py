"""Paths, content types, names with unusual characters, and views that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from pybal.checks.result import PASSED, Result
from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.monitors.base import PastResult
from pybal.status.routes import RouteResponse, Routes
from tests.harness.page_reader import PageReader
from tests.harness.page_story import Listing
from tests.harness.snapshots import HEALTHY, OUT, SICK, CountingMonitor, pool, server, snapshot, status, whole


def get(path: str, as_json: bool = False, shown: Routes | None = None) -> RouteResponse:
    return (shown or status(Clock())).answer(path.encode(), as_json=as_json)


def complete(answer: RouteResponse) -> RouteResponse:
    return replace(answer, body=whole(answer))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/alerts", b"OK - All pools are healthy"),
        ("/pools", b"web\n"),
        ("/pools/", b"web\n"),
        ("/pools/web", b"a:\tenabled/up/pooled\nb:\tenabled/up/pooled\nc:\tenabled/up/pooled\n"),
        ("/pools/web/a", b"enabled/up/pooled\n"),
        ("/alerts/", b"OK - All pools are healthy"),
        ("/pools/web/", b"a:\tenabled/up/pooled\nb:\tenabled/up/pooled\nc:\tenabled/up/pooled\n"),
        ("/pools/web/a/", b"enabled/up/pooled\n"),
        ("/pools/web/a/further", b"enabled/up/pooled\n"),
        ("/v1/ipvs", b"-A -t 10.2.2.1:80 -s wrr\n"),
        ("/v1/ipvs/services", b"audited 3 s ago\n"),
        ("/v1/alerts", b""),
        ("/v1/config", b"/etc/pybal/pybal.conf: sha256 5ca1e, loaded 2026-11-20T12:00:50.000Z\n"),
        ("/v1/pools", b"web: serving 3 of 3, floor 2, 0 forced, 3 pooled, 0 unknown\n"),
    ],
)
def test_response_is_text_by_default(path: str, body: bytes) -> None:
    assert complete(get(path)) == RouteResponse(body, b"text/plain", 200)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/alerts", b'{"status": "ok", "msg": "All pools are healthy"}'),
        ("/pools", b'["web"]'),
        ("/pools/web/a", b'{"pooled": true, "weight": 10, "up": true, "enabled": true}'),
        (
            "/v1/ipvs",
            b'[{"protocol": "tcp", "address": "10.2.2.1", "port": 80, "scheduler": "wrr", "flags": [], "one_packet": false, "destinations": []}]',
        ),
        ("/v1/alerts", b"[]"),
    ],
)
def test_response_is_json_when_requested(path: str, body: bytes) -> None:
    assert complete(get(path, as_json=True)) == RouteResponse(body, b"application/json", 200)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/nope",
            "/alerts/a/b",
            "/pools/nope",
            "/pools/web/nope",
            "/pools/web/a/b/c",
            "//pools",
            "/v1",
            "/v1/pools/nope",
        ),
        *("/v1/pools/web/nope", "/v1/nope", "/page", "/page/pools/nope", "/page/html.py", "/page/%2e%2e%2fsite.py"),
        *("*", "http://localhost/alerts", "/pools/web%ff", "/%61lerts%00"),
    ],
)
def test_unknown_paths_are_404(path: str) -> None:
    assert get(path) == RouteResponse(b"The desired url was not found", b"text/plain", 404)
    assert get(path, as_json=True) == RouteResponse(
        b'{"error": "The desired url was not found"}', b"application/json", 404
    )


def test_names_are_url_decoded_after_the_split_of_the_path() -> None:
    shown = status(Clock(), snapshot(pool("a/b c", server("ü?x"))))
    assert whole(get("/pools/a%2Fb%20c", shown=shown)) == "ü?x:\tenabled/up/pooled\n".encode()
    assert whole(get("/pools/a%2fb%20c/%C3%BC%3Fx", shown=shown)) == b"enabled/up/pooled\n"
    assert whole(get("/pools/a%2fb%20c/ü%3Fx", shown=shown)) == b"enabled/up/pooled\n"


def test_names_that_are_not_utf8_leave_the_other_servers_readable() -> None:
    shown = status(Clock(), snapshot(pool("web", server("a\udcff"), server("b"))))
    assert whole(get("/pools/web", shown=shown)) == b"a\\udcff:\tenabled/up/pooled\nb:\tenabled/up/pooled\n"
    assert json.loads(whole(get("/pools/web", as_json=True, shown=shown))).keys() == {"a\udcff", "b"}
    assert get("/page/pools/web", shown=shown).code == 200


def test_response_has_the_state_at_the_time_of_the_request() -> None:
    states = iter([HEALTHY, SICK])
    shown = replace(status(Clock()), snapshot=lambda: next(states))
    assert whole(get("/alerts", shown=shown)).startswith(b"OK")
    assert whole(get("/alerts", shown=shown)).startswith(b"CRITICAL")


def test_ages_use_the_injected_clock() -> None:
    clock = Clock()
    clock.advance(107)
    answer = get("/v1/pools/web/a", as_json=True, shown=status(clock))
    assert json.loads(whole(answer))["reports"][0]["age"] == 7.0


def test_histories_of_server_and_pool_have_wall_clock_times() -> None:
    clock = Clock()
    clock.advance(107)
    monitor = CountingMonitor("ProxyFetch", up=True)
    monitor.past = [PastResult(105.0, Result(PASSED, 0.5))]
    history = PoolHistory()
    history.decide(Decision.of(95.5, "depooled", [("c", "down")], "serving 2 of 3, floor 2, 0 forced"))
    shown = status(clock, monitors=[("web", "a", monitor)], history=history)
    document = json.loads(whole(get("/v1/pools/web/a/history", as_json=True, shown=shown)))
    assert [result["time"] for result in document["monitors"][0]["results"]] == ["2026-11-20T11:59:58.000Z"]
    assert whole(get("/v1/pools/web/a/history", shown=shown)).startswith(
        b"a: address 10.0.0.1\nDecisions\n  none yet\nProxyFetch\n  2026-"
    )
    document = json.loads(whole(get("/v1/pools/web/history", as_json=True, shown=shown)))
    assert [decision["time"] for decision in document["decisions"]] == ["2026-11-20T11:59:48.500Z"]
    assert whole(get("/v1/pools/web/history", shown=shown)).endswith(
        b"serving 2 of 3, floor 2, 0 forced: c depooled\n    down: c\n"
    )


@pytest.mark.parametrize(
    "path", ["/v1/pools/web/unknown/history", "/v1/pools/none/a/history", "/v1/pools/none/history"]
)
def test_history_of_an_unknown_name_is_404(path: str) -> None:
    assert get(path).code == 404


def test_host_named_history_is_reachable() -> None:
    shown = status(Clock(), snapshot(pool("web", server("history"))))
    assert whole(get("/v1/pools/web/history", shown=shown)).startswith(b"history: pooled")
    assert whole(get("/v1/pools/web/history/history", shown=shown)).startswith(b"history: address")


def test_metrics_are_prometheus_text_in_pieces() -> None:
    answer = get("/metrics", shown=status(Clock(), monitors=[("web", "a", CountingMonitor("ProxyFetch", up=True))]))
    assert answer.content_type == b"text/plain; version=0.0.4; charset=utf-8"
    assert isinstance(answer.body, Iterator)
    text = whole(answer).decode()
    assert 'pybal_monitor_status{host="a",monitor="ProxyFetch",service="web"} 1.0\n' in text
    assert "pybal_bgp_enabled 0.0\n" in text
    assert "process_cpu_seconds_total " in text


def test_page_and_its_files_are_served() -> None:
    assert get("/").content_type == b"text/html; charset=utf-8"
    assert b"href=/page/pools/web>" in whole(get("/"))
    assert b"<h1>web</h1>" in whole(get("/page/pools/web"))
    assert get("/page/style.css").content_type == b"text/css; charset=utf-8"
    assert get("/page/page.js").content_type == b"text/javascript; charset=utf-8"


def test_one_server_has_its_place_in_ipvs() -> None:
    shown = replace(
        status(Clock()),
        in_effect=lambda service, host: server("a", placement=OUT) if (service, host) == ("web", "a") else None,
    )
    assert whole(get("/pools/web/a", shown=shown)) == b"enabled/up/not pooled\n"
    assert whole(get("/pools/web", shown=shown)).startswith(b"a:\tenabled/up/pooled\n")
    assert get("/pools/web/b", shown=shown).code == 404


def test_overview_shows_the_sources_in_its_tile_and_its_card() -> None:
    sources: Any = [("web", Listing("file:///a")), ("api", Listing("file:///b", "file:///b: gone"))]
    routes = replace(status(Clock(), HEALTHY), sources=lambda: iter(sources))
    page = PageReader.of(whole(routes.answer(b"/", as_json=False)).decode())
    assert "Sources current1 of 2" in page.text
    assert "Sources1 of 2" in page.text
