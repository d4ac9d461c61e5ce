"""The history of checks and decisions as text and JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pybal.checks.result import FAILED, INCONCLUSIVE, NEVER, PASSED, Phase, Result
from pybal.core.decision import Decision
from pybal.monitors.base import PastResult
from pybal.runtime.clocks import Clocks
from pybal.status import history
from tests.harness.snapshots import CountingMonitor, pool, server

CLOCKS = Clocks(1000.0, datetime(2026, 11, 20, 12, tzinfo=UTC))
URL = "http://www.example/"
DECISIONS = [
    Decision.of(990.0, "depooled", ["a"], "serving 3 of 4, floor 2, 0 forced"),
    Decision.of(995.25, "kept", [f"w{i}" for i in range(40)], "serving 1 of 40, floor 20, 19 forced"),
]


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
    assert history.results_text(server("a"), [proxyfetch(), CountingMonitor("IdleConnection")], CLOCKS) == (
        "a: address 10.0.0.1\n"
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
    document = json.loads(json.dumps(history.results_json(server("a"), [proxyfetch()], CLOCKS)))
    assert (document["host"], document["address"]) == ("a", "10.0.0.1")
    [monitor] = document["monitors"]
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
    assert history.results_text(server("a"), [monitor], CLOCKS) == (
        "a: address 10.0.0.1\nIdleConnection, shared by text_80, api_80\n  none yet\n"
    )
    assert history.results_json(server("a"), [monitor], CLOCKS) == {
        "host": "a",
        "address": "10.0.0.1",
        "monitors": [{"monitor": "IdleConnection", "shared_by": ["text_80", "api_80"], "results": []}],
    }


def test_decisions_text_has_the_arithmetic_and_at_most_ten_names() -> None:
    assert history.decisions_text(pool("web"), DECISIONS, CLOCKS) == (
        "web\n"
        "  2026-11-20T11:59:50.000Z serving 3 of 4, floor 2, 0 forced: a depooled\n"
        "  2026-11-20T11:59:55.250Z serving 1 of 40, floor 20, 19 forced:"
        " w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 and 30 more kept\n"
    )
    assert history.decisions_text(pool("web"), [], CLOCKS) == "web\n  none yet\n"


def test_decisions_json_has_the_hosts_and_the_arithmetic() -> None:
    assert history.decisions_json(pool("web"), DECISIONS[:1], CLOCKS) == {
        "service": "web",
        "decisions": [
            {
                "time": "2026-11-20T11:59:50.000Z",
                "age": 10.0,
                "decision": "depooled",
                "hosts": ["a"],
                "others": 0,
                "arithmetic": "serving 3 of 4, floor 2, 0 forced",
            }
        ],
    }
