"""Folding of ExaBGP's repeated log lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybal.bgp.exabgp.log_fold import FOLD_SECONDS, MOST_LINES, LogFold
from tests.harness.fake_exabgp import SpeakerHarness
from tests.unit.test_bgp_speaker import SETTINGS, assert_stopped, started

CLOSING = "outgoing-{0}      outgoing-{0} 10.3.1.2-10.3.1.1, closing connection"


def test_lines_that_differ_in_numbers_are_one_line_and_a_summary() -> None:
    fold = LogFold()
    assert [fold.admit(CLOSING.format(number), number * 3.0) for number in range(1, 101)] == [True] + [False] * 99
    assert list(fold.ended(FOLD_SECONDS)) == []
    assert list(fold.ended(603.0)) == [CLOSING.format(100) + " (99 more in 600 s)"]
    assert not fold.admit(CLOSING.format(101), 604.0)
    assert list(fold.ended(1203.0)) == [CLOSING.format(101) + " (1 more in 600 s)"]
    assert list(fold.ended(1803.0)) == []
    assert fold.admit(CLOSING.format(102), 1804.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("connection to 10.3.1.1 closed", "connection to 10.3.1.2 closed"),
        ("connection to 2001:db8::1 closed", "connection to 2001:db8::2 closed"),
        ("connection to fd91:1::1 closed", "connection to fd91:2::1 closed"),
        ("hold timer expired", "connection refused"),
    ],
)
def test_lines_about_other_peers_or_events_are_not_folded(first: str, second: str) -> None:
    fold = LogFold()
    assert [fold.admit(text, 0.0) for text in (first, second, first)] == [True, True, False]


def test_number_of_remembered_lines_is_limited() -> None:
    fold = LogFold()
    assert all(fold.admit(f"line {'x' * length}", 0.0) for length in range(2 * MOST_LINES))
    assert len(list(fold.ended(FOLD_SECONDS))) == 0


def test_dead_peer_adds_few_lines_to_the_log(tmp_path: Path) -> None:
    harness = SpeakerHarness(SETTINGS, tmp_path / "run")
    with harness.logged():
        started(harness)
        for attempt in range(100):
            for text in (CLOSING, "outgoing-{0} connection to 10.3.1.1 closed"):
                harness.exabgp.print(text.format(attempt).encode())
            harness.run(2.0)
            if harness.exabgp.killed and harness.exabgp.alive:  # no session
                harness.exabgp.end()
                harness.wait_for_restart()
                harness.exabgp.connect_relay()
    lines = [line for line in harness.log if "exabgp" in line]
    assert len(harness.children) > 10
    assert len(lines) == 3
    assert_stopped(harness)
