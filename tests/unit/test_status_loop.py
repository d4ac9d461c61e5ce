"""The time for which callbacks held the event loop, as text, JSON, metrics and an alert."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from pybal.core.model import Alert
from pybal.runtime.held import Held
from pybal.status import loop
from pybal.status.metrics import Exposition
from tests.harness.snapshots import HEALTHY


def step() -> None:
    """Stand for a callback."""


def held(*holds: tuple[float, float, float]) -> Held:
    record = Held()
    record.turns, record.seconds = 50, 1.5
    for at, wall, cpu in holds:
        record.note(step, at, wall, cpu)
    return record


def test_text_has_the_longest_callback_first() -> None:
    record = held((90.0, 0.02, 0.01), (80.0, 0.3, 0.2))
    assert loop.text(record, 100.0) == ("300 ms (200 ms of CPU) 20 s ago: step\n20 ms (10 ms of CPU) 10 s ago: step\n")


def test_json_has_totals_and_the_longest_callbacks() -> None:
    assert loop.json(held((90.0, 0.02, 0.01)), 100.0) == {
        "callbacks": 50,
        "seconds": 1.5,
        "longest": [{"callback": "step", "wall": 0.02, "cpu": 0.01, "age": 10.0}],
    }


def test_metrics_are_a_histogram() -> None:
    pieces = Exposition().pieces(HEALTHY, (), loop.families(held((90.0, 0.03, 0.01))), CollectorRegistry())
    lines = [line for line in b"".join(pieces).decode().splitlines() if "pybal_loop_held_seconds" in line]
    assert lines[:3] == [
        "# HELP pybal_loop_held_seconds Time for which one callback held the event loop",
        "# TYPE pybal_loop_held_seconds histogram",
        'pybal_loop_held_seconds_bucket{le="0.001"} 49.0',
    ]
    assert lines[-3:] == [
        'pybal_loop_held_seconds_bucket{le="+Inf"} 50.0',
        "pybal_loop_held_seconds_count 50.0",
        "pybal_loop_held_seconds_sum 1.5",
    ]


def test_alert_names_the_callback_and_pybal_if_it_computed() -> None:
    text = "event loop held for 0.8 s by step 2 s ago (0.80 s of CPU: PyBal computed)"
    assert list(loop.alerts(held((100.0, 0.8, 0.8)), 102.0)) == [Alert("", "loop", text)]


def test_alert_names_the_host_if_the_callback_used_little_cpu() -> None:
    (alert,) = loop.alerts(held((100.0, 4.0, 0.1)), 102.0)
    assert alert.text.endswith("(0.10 s of CPU: the host was overloaded or paused, or a system call was slow)")


def test_alert_counts_repeated_holds() -> None:
    (alert,) = loop.alerts(held((100.0, 0.8, 0.8), (130.0, 0.6, 0.6)), 140.0)
    assert alert.text.startswith("event loop held 2 times in 40 s, at most for 0.8 s by step 40 s ago")


def test_alert_clears_after_a_quiet_minute() -> None:
    assert list(loop.alerts(held((100.0, 0.8, 0.8)), 161.0)) == []
