"""The pulse: the watchdog is fed while the engine and a pool are at work, also by a busy daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pybal.checks.engine import Engine
from pybal.daemon.pulse import Pulse
from pybal.runtime.activities import Activities
from tests.harness.app_on_clock import app_on_clock
from tests.harness.clock_reactor import ClockReactor


class Beating:
    """A pulse of an engine on a clock, with pools that answer or not."""

    def __init__(self) -> None:
        self.clock = ClockReactor()
        self.activities = Activities()
        self.engine = Engine(self.clock, self.clock.seconds)
        self.engine.start()
        self.pools = 3
        self.working = True
        self.pulse = Pulse(self.engine, self._prove, self.clock, self.activities)
        self.pulse.start()

    def _prove(self, applied: object) -> int:
        if self.working and callable(applied):
            applied()
        return self.pools

    def fed(self, seconds: float) -> list[bool]:
        """Return the answers at each second beat of a watchdog of 30 s."""
        answers = []
        for _ in range(round(seconds / 15)):
            for _ in range(150):
                self.clock.advance(0.1)
            answers.append(self.pulse.alive())
        return answers


@pytest.fixture
def beating() -> Iterator[Beating]:
    beating = Beating()
    yield beating
    beating.pulse.stop()
    beating.engine.stop()


def test_watchdog_is_fed_while_pools_work(beating: Beating) -> None:
    assert beating.fed(300) == [True] * 20
    assert list(beating.pulse.alerts()) == []


def test_watchdog_is_fed_without_services(beating: Beating) -> None:
    beating.pools, beating.working = 0, False
    assert beating.fed(120) == [True] * 8


def test_watchdog_is_not_fed_after_a_minute_without_decisions(beating: Beating) -> None:
    beating.fed(30)
    beating.working = False
    assert beating.fed(90) == [True, True, True, True, False, False]
    (alert,) = beating.pulse.alerts()
    assert (alert.kind, alert.subject) == ("stalled", "decisions")
    beating.working = True
    assert beating.fed(15) == [True]
    assert list(beating.pulse.alerts()) == []


def test_watchdog_is_not_fed_without_the_engine(beating: Beating) -> None:
    beating.engine.stop()
    assert beating.fed(90)[-1] is False


def test_busy_loop_is_fed_although_the_pulse_is_late(beating: Beating) -> None:
    """The loop makes its calls 100 s late: the pulse is late as well."""
    beating.working = False
    answers = []
    for beat in range(10):
        beating.clock.advance(15)
        beating.activities.reached = beating.clock.seconds() - 100 + beat
        answers.append(beating.pulse.alive())
    assert answers == [True] * 10


def test_loop_that_makes_no_calls_is_not_busy(beating: Beating) -> None:
    beating.working = False
    beating.activities.reached = beating.clock.seconds()
    for _ in range(8):
        beating.clock.advance(15)
        alive = beating.pulse.alive()
    assert not alive


def test_pause_of_the_process_is_no_silence(beating: Beating) -> None:
    beating.working = False
    beating.clock.advance(3600)
    assert beating.pulse.alive()


def test_pulse_reaches_each_pool_of_a_daemon(tmp_path: Path) -> None:
    with app_on_clock(tmp_path) as app:
        app.reactor.pass_time(60.0)
        assert "stalled" not in app.kinds()
