"""Pauses of IdleConnection on a clock, against a real server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from pybal.monitors.idleconnection import IdleConnectionSettings
from tests.harness.monitor_on_clock import MonitorOnClock

SETTINGS = IdleConnectionSettings(timeout_clean_reconnect=3.0, max_delay=4.0)
PAUSES = (1.0, 1.5, 2.25, 3.375, 4.0, 4.0, 4.0, 4.0)
"""Pauses after failures without jitter, up to ``max_delay``."""
LATEST = 0.12
"""Seconds by which a timer of the engine may be late, if there are few."""


def accept_and_lose(on_clock: MonitorOnClock, times: int, *, reset: bool) -> Sequence[float]:
    """Lose this many connections as soon as they are accepted; return the pauses between them."""
    accepted = []
    for _ in range(times):
        at, peer = on_clock.accept()
        accepted.append(at)
        on_clock.lose(peer, reset=reset)
    return [later - earlier for earlier, later in pairwise(accepted)]


@pytest.fixture
def on_clock() -> Iterator[MonitorOnClock]:
    with MonitorOnClock(SETTINGS) as made:
        yield made


def assert_jittered(pauses: Sequence[float], expected: Sequence[float]) -> None:
    """Check pauses that are shortened at random by up to a quarter."""
    assert len(pauses) == len(expected)
    for pause, longest in zip(pauses, expected, strict=True):
        assert 0.75 * longest <= pause <= longest + LATEST


def test_dead_server_is_retried_with_back_off_up_to_max_delay(on_clock: MonitorOnClock) -> None:
    on_clock.listening.close()
    on_clock.pass_time(40)
    attempts = [past.at for past in on_clock.monitor.history()]
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    assert_jittered(pauses[: len(PAUSES)], PAUSES)
    assert [report.reason for report in on_clock.reports] == ["connect: refused"]


def test_connection_lost_repeatedly_keeps_the_back_off(on_clock: MonitorOnClock) -> None:
    assert_jittered(accept_and_lose(on_clock, len(PAUSES) + 1, reset=True), PAUSES)


def test_connection_that_lasted_resets_the_back_off(on_clock: MonitorOnClock) -> None:
    accept_and_lose(on_clock, 8, reset=True)
    _, lasting = on_clock.accept()
    on_clock.pass_time(10)
    lost = on_clock.reactor.seconds()
    on_clock.lose(lasting, reset=True)
    again, peer = on_clock.accept()
    assert_jittered([again - lost], [1.0])
    peer.close()


def test_clean_close_of_a_lasting_connection_resets_the_pause(on_clock: MonitorOnClock) -> None:
    assert_jittered(accept_and_lose(on_clock, 3, reset=False), [3.0, 4.0])
    _, lasting = on_clock.accept()
    on_clock.pass_time(3.5)
    closed = on_clock.reactor.seconds()
    on_clock.lose(lasting, reset=False)
    reconnected, peer = on_clock.accept()
    assert reconnected - closed <= LATEST
    on_clock.lose(peer, reset=False)
    again, peer = on_clock.accept()
    assert_jittered([again - reconnected], [3.0])
    assert [report.up for report in on_clock.reports] == [True]
    peer.close()
