"""The history of checks and decisions as text and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pybal.checks.result import FAILED, INCONCLUSIVE, NEVER, PASSED, Phase, Result
from pybal.core.decision import Decision
from pybal.core.history import PoolHistory
from pybal.core.model import Report, Server
from pybal.monitors.base import Monitor, PastResult
from pybal.runtime.clocks import Clocks
from pybal.status import history as history_view
from tests.harness.snapshots import CountingMonitor, document, pool, server

CLOCKS = Clocks(1000.0, datetime(2026, 11, 20, 12, tzinfo=UTC))
URL = "http://www.example/"
DECISIONS = [
    Decision.of(990.0, "depooled", [("a", "down: ProxyFetch connect: refused")], "serving 3 of 4, floor 2, 0 forced"),
    Decision.of(995.25, "kept", [(f"w{i}", "down") for i in range(40)], "serving 1 of 40, floor 20, 19 forced"),
]


def past(*decisions: Decision) -> PoolHistory:
    history = PoolHistory()
    for decision in decisions:
        history.decide(decision)
    return history


def text(host: Server, monitors: Iterable[Monitor], history: PoolHistory) -> str:
    return "".join(history_view.server_text(host, history, monitors, CLOCKS))


def proxyfetch() -> CountingMonitor:
    monitor = CountingMonitor("ProxyFetch")
    stalled = Result(
        FAILED,
        5.0,
        Phase.BODY,
        "1043 of 2000 bytes, then nothing for 5 s",
        "timeout",
        (0.001, NEVER, 0.003, 0.003),
        1100,
    )
    monitor.past = [
        PastResult(980.0, Result(PASSED, 0.004, Phase.BODY, steps=(0.001, NEVER, 0.003, 0.003), received=2057), URL),
        PastResult(990.0, stalled, URL),
        PastResult(990.5, Result(PASSED, 0.001), "TCP only", follow_up=True),
        PastResult(998.0, Result(INCONCLUSIVE, 0.0, Phase.CONNECT, "Too many open files (EMFILE)", "EMFILE"), URL),
    ]
    return monitor


def test_results_text_has_time_reason_and_phases_of_each_result() -> None:
    assert text(server("a"), [proxyfetch(), CountingMonitor("IdleConnection")], past()) == (
        "a: address 10.0.0.1\n"
        "Decisions\n"
        "  none yet\n"
        "ProxyFetch\n"
        "  2026-11-20T11:59:40.000Z passed http://www.example/"
        " [connect 1 ms, first byte 2 ms, headers 0 ms, body 1 ms, 2057 bytes]\n"
        "  2026-11-20T11:59:50.000Z failed http://www.example/: body: 1043 of 2000 bytes, then nothing for 5 s"
        " [connect 1 ms, first byte 2 ms, headers 0 ms, body 5 s, 1100 bytes]\n"
        "  2026-11-20T11:59:50.500Z follow-up passed TCP only [connect 1 ms]\n"
        "  2026-11-20T11:59:58.000Z inconclusive http://www.example/: connect: Too many open files (EMFILE)"
        " [connect 0 ms]\n"
        "IdleConnection\n"
        "  none yet\n"
    )


def test_results_json_has_time_reason_and_phases_of_each_result() -> None:
    shown = document(history_view.server_json(server("a"), past(), [proxyfetch()], CLOCKS))
    assert (shown["host"], shown["address"]) == ("a", "10.0.0.1")
    [monitor] = shown["monitors"]
    assert (monitor["monitor"], monitor["shared_by"]) == ("ProxyFetch", [])
    assert monitor["results"][1] == {
        "time": "2026-11-20T11:59:50.000Z",
        "age": 10.0,
        "subject": URL,
        "follow_up": False,
        "result": "failed",
        "phase": "body",
        "reason": "1043 of 2000 bytes, then nothing for 5 s",
        "duration": 5.0,
        "phases": {"connect": 0.001, "first byte": 0.002, "headers": 0.0, "body": 4.997},
        "bytes": 1100,
    }


def test_results_name_the_services_that_share_a_monitor() -> None:
    monitor = CountingMonitor("IdleConnection")
    monitor.shared_by = ["text_80", "api_80"]
    assert text(server("a"), [monitor], past()) == (
        "a: address 10.0.0.1\nDecisions\n  none yet\nIdleConnection, shared by text_80, api_80\n  none yet\n"
    )
    assert document(history_view.server_json(server("a"), past(), [monitor], CLOCKS)) == {
        "host": "a",
        "address": "10.0.0.1",
        "decisions": [],
        "transitions": {},
        "monitors": [{"monitor": "IdleConnection", "shared_by": ["text_80", "api_80"], "results": []}],
    }


def test_decisions_text_has_the_arithmetic_and_the_reasons_of_its_servers() -> None:
    names = "w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 30 more"
    assert "".join(history_view.pool_text(pool("web"), past(*DECISIONS), CLOCKS)) == (
        "web\n"
        "  2026-11-20T11:59:50.000Z serving 3 of 4, floor 2, 0 forced: a depooled\n"
        "    down: ProxyFetch connect: refused: a\n"
        f"  2026-11-20T11:59:55.250Z serving 1 of 40, floor 20, 19 forced: {names} kept\n"
        f"    down: {names}\n"
    )
    assert "".join(history_view.pool_text(pool("web"), past(), CLOCKS)) == "web\n  none yet\n"


def test_decisions_json_has_the_reason_of_each_server() -> None:
    shown = document(history_view.pool_json(pool("web"), past(*DECISIONS), CLOCKS))
    assert shown["service"] == "web"
    first, last = shown["decisions"]
    assert first == {
        "time": "2026-11-20T11:59:50.000Z",
        "age": 10.0,
        "decision": "depooled",
        "servers": {"a": "down: ProxyFetch connect: refused"},
        "others": 0,
        "arithmetic": "serving 3 of 4, floor 2, 0 forced",
    }
    assert last["servers"] == {f"w{i}": "down" for i in range(40)}


def test_server_has_its_decisions_and_the_transitions_of_its_monitors() -> None:
    history = past(*DECISIONS)
    history.report("a", "ProxyFetch", Report(False, "connect: refused", at=980.0))
    history.report("a", "ProxyFetch", Report(False, "connect: timeout", at=985.0))
    history.report("a", "ProxyFetch", Report(True, at=995.0))
    assert text(server("a"), [], history) == (
        "a: address 10.0.0.1\n"
        "Decisions\n"
        "  2026-11-20T11:59:50.000Z depooled (down: ProxyFetch connect: refused): serving 3 of 4, floor 2, 0 forced\n"
        "ProxyFetch, transitions\n"
        "  2026-11-20T11:59:40.000Z down: connect: refused; since 2026-11-20T11:59:45.000Z: connect: timeout\n"
        "  2026-11-20T11:59:55.000Z up\n"
    )
    shown = document(history_view.server_json(server("a"), history, [], CLOCKS))
    assert [one["reason"] for one in shown["decisions"]] == ["down: ProxyFetch connect: refused"]
    changed = {"time": "2026-11-20T11:59:45.000Z", "age": 15.0, "reason": "connect: timeout"}
    assert shown["transitions"] == {
        "ProxyFetch": [
            {
                "time": "2026-11-20T11:59:40.000Z",
                "age": 20.0,
                "up": False,
                "reason": "connect: refused",
                "last_reason": changed,
            },
            {"time": "2026-11-20T11:59:55.000Z", "age": 5.0, "up": True, "reason": "", "last_reason": None},
        ]
    }
