"""Explanations of pools and servers, in sentences with numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf

from twisted.internet.task import Clock

from pybal.checks.result import FAILED, PASSED, Phase, Result
from pybal.core.model import Member
from pybal.monitors.base import PastResult
from tests.harness.snapshots import DOWN, FORCED, OUT, UNKNOWN, CountingMonitor, pool, server, snapshot, status, whole

URL = "status: HTTP 500, wanted 200"


def text(
    path: str, *servers: object, monitors: list[tuple[str, str, CountingMonitor]] | None = None, **options: float
) -> list[str]:
    clock = Clock()
    clock.advance(132)
    shown = snapshot(pool("web", *servers, **options))  # type: ignore[arg-type]
    routes = status(clock, shown, monitors or [])
    answer = routes.answer(path.encode(), as_json=False)
    assert answer.code == 200
    return whole(answer).decode().splitlines()


def failing() -> CountingMonitor:
    monitor = CountingMonitor("ProxyFetch", up=False)
    monitor.next_check, monitor.needed = 135.0, 2
    monitor.past = [
        PastResult(
            128.0, Result(FAILED, 0.012, Phase.STATUS, "HTTP 500, wanted 200", steps=(0.001, -1.0, 0.011, 0.012))
        ),
        PastResult(130.0, Result(PASSED, 0.004, Phase.BODY, steps=(0.001, -1.0, 0.002, 0.003))),
    ]
    return monitor


def test_explanation_of_a_removed_server_names_checks_floor_and_remedy() -> None:
    lines = text(
        "/v1/pools/web/a/explain", server("a", DOWN, OUT), server("b"), server("c"), monitors=[("web", "a", failing())]
    )
    assert lines == [
        "a in web (tcp 10.2.2.1:80) is not pooled: down.",
        "Address 10.0.0.1, weight 10, enabled by the pool source.",
        f"ProxyFetch: down for 32 s: {URL}; 2 consecutive passed checks bring it up, next check in 3 s.",
        "  2026-11-20T11:59:56.000Z failed after 12 ms (connect 1 ms, first byte 10 ms, headers 1 ms): " + URL,
        "  2026-11-20T11:59:58.000Z passed after 4 ms (connect 1 ms, first byte 1 ms, headers 1 ms, body 1 ms)",
        "Floor: depool-threshold 0.5 x 3 servers = 1.5, rounded up to 2; 2 serving: reached.",
        "It returns when it is up: ProxyFetch: 2 consecutive passed checks bring it up, next check in 3 s.",
    ]


def test_explanation_counts_servers_of_weight_above_0_only() -> None:
    lines = text("/v1/pools/web/c/explain", server("a"), server("b"), server("c", weight=0))
    assert lines[-2:] == [
        "Floor: depool-threshold 0.5 x 2 servers of weight above 0 = 1; 2 serving: reached.",
        "It is depooled when a check takes it down.",
    ]


def test_explanation_names_the_disabled_servers_that_the_floor_counts() -> None:
    servers = server("a"), server("b", DOWN, FORCED), server("c", enabled=False), server("d", weight=0, enabled=False)
    assert (
        "Floor: depool-threshold 0.5 x 3 servers of weight above 0, 1 of them disabled, = 1.5, rounded up to 2;"
        " 1 serving: not reached."
    ) in text("/v1/pools/web/explain", *servers)


def test_explanation_of_a_forced_server_counts_the_missing_ones() -> None:
    lines = text(
        "/v1/pools/web/a/explain", server("a", DOWN, FORCED), server("b", DOWN, FORCED), server("c"), threshold=0.9
    )
    assert lines[0] == "a in web (tcp 10.2.2.1:80) is forced: down, but needed to reach the floor."
    assert lines[-2:] == [
        "Floor: depool-threshold 0.9 x 3 servers = 2.7, rounded up to 3; 1 serving: not reached.",
        "It is depooled when 2 more servers can serve; it stays pooled if its own checks pass.",
    ]


def test_explanation_of_a_disabled_server_names_who_disabled_it() -> None:
    own = replace(server("a", placement=OUT), member=Member("a", 10, enabled=False))
    assert text("/v1/pools/web/a/explain", own, server("b"))[-1] == "It returns when the pool source enables it."
    depooled = replace(own, member=Member("a", 10, enabled=False, overridden=True))
    lines = text("/v1/pools/web/a/explain", depooled, server("b"))
    assert lines[0] == "a in web (tcp 10.2.2.1:80) is not pooled: depooled by an operator on this balancer."
    assert lines[-1] == "It returns after `pybal repool web a`, or when the override expires."


def test_explanation_of_servers_that_are_not_ready_names_the_next_step() -> None:
    unresolved = server("a", UNKNOWN, OUT, address=None)
    assert text("/v1/pools/web/a/explain", unresolved)[-1].startswith("It returns when its name resolves")
    fresh = CountingMonitor("ProxyFetch")
    fresh.next_check = inf
    lines = text("/v1/pools/web/b/explain", server("a"), server("b", UNKNOWN, OUT), monitors=[("web", "b", fresh)])
    assert "ProxyFetch: no conclusive result yet; the first result decides, no check is scheduled." in lines
    assert lines[-1] == "It returns after its first passed checks."


def test_explanation_of_a_pooled_server_shows_whether_it_may_leave() -> None:
    lines = text("/v1/pools/web/a/explain", server("a"), server("b"))
    assert lines[-1] == "It is depooled when a check takes it down."
    lines = text("/v1/pools/web/a/explain", server("a"), server("b"), threshold=1)
    assert lines[-1] == "If a check takes it down it stays pooled, forced, because of the floor."
    assert lines[-2] == "Floor: depool-threshold 1 x 2 servers = 2; 2 serving: reached."


def test_explanation_of_a_pool_lists_its_servers_by_state() -> None:
    servers = [server(f"d{number}", DOWN, OUT) for number in range(12)]
    lines = text("/v1/pools/web/explain", *servers, server("u", UNKNOWN), threshold=0)
    assert lines[0] == "web (tcp 10.2.2.1:80): 1 of 13 servers pooled, 0 serving."
    assert lines[1] == "Floor: 0, because depool-threshold is 0; every server may leave."
    assert lines[2].startswith("Down: d0 (not pooled), d1 (not pooled), ")
    assert lines[2].endswith(", d9 (not pooled) and 2 more")
    assert lines[3] == "Unknown: u (pooled)"


def test_explanation_as_json_has_the_facts_of_each_monitor() -> None:
    clock = Clock()
    clock.advance(132)
    routes = status(clock, snapshot(pool("web", server("a", DOWN, OUT), server("b"))), [("web", "a", failing())])
    answer = routes.answer(b"/v1/pools/web/a/explain", as_json=True)
    shown = json.loads(whole(answer))
    (monitor,) = shown["monitors"]
    assert (monitor["needed"], monitor["next_check"]) == (2, 3.0)
    assert [each["result"] for each in monitor["results"]] == ["failed", "passed"]
    assert routes.answer(b"/v1/pools/web/nobody/explain", as_json=True).code == 404
