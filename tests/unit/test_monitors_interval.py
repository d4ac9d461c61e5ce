"""Rise and fall, and the intervals of checks: fast while undecided, slow while down, with jitter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from pybal.checks.engine import Engine
from pybal.core.model import Report
from pybal.monitors.interval import Interval, IntervalMonitor
from pybal.monitors.rise_fall import RiseFall
from tests.harness.clock_reactor import ClockReactor


def words(results: str, rise: int = 1, fall: int = 1) -> tuple[str, bool | None]:
    """Return the report of each result (``+``, ``-``, ``.`` for none), and the state at the end."""
    reports: list[Report] = []
    record = RiseFall(reports.append, rise, fall)
    said = ""
    for number, result in enumerate(results):
        before = len(reports)
        if result == "+":
            record.passed(float(number))
        else:
            record.failed("connect: refused", "connect refused", float(number))
        said += ("+" if reports[-1].up else "-") if len(reports) > before else "."
    assert record.up_results + record.down_results == len(results)
    assert record.up_transitions + record.down_transitions == len(reports)
    return said, record.up


class TestRiseAndFall:
    @pytest.mark.parametrize(
        ("results", "rise", "fall", "said", "up"),
        [
            ("+-+", 1, 1, "+-+", True),
            ("+--", 1, 2, "+.-", False),
            ("+-+-+-+", 1, 2, "+......", True),
            ("+---", 1, 3, "+..-", False),
            ("-", 1, 2, ".", None),
            ("--", 1, 2, ".-", False),
            ("-+", 3, 2, ".+", True),
            ("+", 3, 1, "+", True),
            ("-++", 3, 1, "-..", False),
            ("-+++", 3, 1, "-..+", True),
            ("-++-++-", 3, 1, "-......", False),
            ("+-+++--", 2, 2, "+.....-", False),
        ],
    )
    def test_rise_and_fall_count_consecutive_results(
        self, results: str, rise: int, fall: int, said: str, up: bool | None
    ) -> None:
        assert words(results, rise, fall) == (said, up)

    def test_reason_is_that_of_the_last_failure(self) -> None:
        reports: list[Report] = []
        record = RiseFall(reports.append, fall=2)
        record.failed("connect: refused", "connect refused", 1.0)
        record.failed("status: HTTP 500, wanted 200", "status HTTP 500", 2.0)
        assert reports == [Report(up=False, reason="status: HTTP 500, wanted 200", at=2.0, cause="status HTTP 500")]


class Monitor(IntervalMonitor):
    """A monitor with scripted results, one per run; the last one repeats."""

    def __init__(self, engine: Engine, results: str, interval: float, settings: Interval) -> None:
        super().__init__(engine, Random(1), replace(settings, interval=interval), lambda _report: self.reported())
        self.reported: Callable[[], None] = lambda: None
        self.turns: list[float] = []
        self.results = list(results)

    def run(self) -> None:
        now = self._engine.now
        self.turns.append(now)
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if result == "+":
            self.passed(now)
        elif result == "-":
            self.failed("connect: refused", "connect refused", now)
        else:
            self.retry()

    @property
    def gaps(self) -> list[float]:
        """The seconds between runs, from the second run on: the first one is prompt, wherever its slot is."""
        return [round(later - earlier, 1) for earlier, later in pairwise(self.turns[1:])]


@pytest.fixture
def reactor() -> ClockReactor:
    return ClockReactor()


@pytest.fixture
def engine(reactor: ClockReactor) -> Iterator[Engine]:
    engine = Engine(reactor, seconds=reactor.seconds)
    engine.start()
    yield engine
    engine.stop()
    assert reactor.calls == []


def ran(reactor: ClockReactor, engine: Engine, results: str, settings: Interval, seconds: float = 100.0) -> Monitor:
    monitor = Monitor(engine, results, 10.0, settings)
    monitor.start()
    reactor.pass_time(seconds)
    monitor.stop()
    runs = len(monitor.gaps)
    reactor.pass_time(30)
    assert len(monitor.gaps) == runs
    return monitor


class TestTurns:
    def test_runs_follow_the_interval_by_default(self, reactor: ClockReactor, engine: Engine) -> None:
        assert set(ran(reactor, engine, "+-+-+--++", Interval()).gaps) == {10.0}

    def test_runs_use_the_fast_interval_after_a_first_failure(self, reactor: ClockReactor, engine: Engine) -> None:
        monitor = ran(reactor, engine, "++---+++", Interval(fall=3, fast_interval=1.0))
        assert monitor.gaps[:7] == [10.0, 1.0, 1.0, 10.0, 10.0, 10.0, 10.0]

    def test_runs_use_the_fast_interval_after_a_first_success(self, reactor: ClockReactor, engine: Engine) -> None:
        assert ran(reactor, engine, "--+++", Interval(rise=3, fast_interval=0.5)).gaps[:4] == [10.0, 0.5, 0.5, 10.0]

    def test_runs_use_the_fast_interval_for_a_new_server(self, reactor: ClockReactor, engine: Engine) -> None:
        assert ran(reactor, engine, "---", Interval(fall=3, fast_interval=1.0)).gaps[:3] == [1.0, 10.0, 10.0]

    def test_runs_use_the_down_interval_while_down(self, reactor: ClockReactor, engine: Engine) -> None:
        assert ran(reactor, engine, "++--+", Interval(down_interval=3.0)).gaps[:4] == [10.0, 3.0, 3.0, 10.0]

    def test_runs_ignore_a_longer_down_interval_while_urgent(self, reactor: ClockReactor, engine: Engine) -> None:
        monitor = Monitor(engine, "-", 10.0, Interval(down_interval=60.0))
        monitor.start()
        reactor.pass_time(30.0)
        monitor.set_urgent(True)
        reactor.pass_time(50.0)
        monitor.set_urgent(False)
        reactor.pass_time(130.0)
        monitor.stop()
        assert [len([t for t in monitor.turns if low < t <= low + 50]) for low in (30, 80)] == [5, 0]

    def test_fast_run_does_not_run_twice(self, reactor: ClockReactor, engine: Engine) -> None:
        monitors = [Monitor(engine, "+-+", 1.0, Interval(fall=2, fast_interval=0.2)) for _ in range(50)]
        for monitor in monitors:
            monitor.start()
        reactor.pass_time(10.0)
        for monitor in monitors:
            monitor.stop()
            assert min(later - earlier for earlier, later in pairwise(monitor.turns[1:])) >= 0.15

    def test_runs_continue_for_others_when_one_monitor_stops(self, reactor: ClockReactor, engine: Engine) -> None:
        stays = Monitor(engine, "+", 1.0, Interval())
        stays.start()
        leaves = Monitor(engine, "-", 1.0, Interval(down_interval=5.0))
        leaves.reported = leaves.stop
        leaves.start()
        reactor.pass_time(10.0)
        assert len(leaves.turns) == 1
        assert len(stays.turns) in {10, 11}
        stays.stop()

    def test_inconclusive_check_is_retried_once(self, reactor: ClockReactor, engine: Engine) -> None:
        monitor = ran(reactor, engine, "++??+", Interval(jitter=0.5))
        assert monitor.gaps[1] <= 0.2
        assert monitor.gaps[2] >= 4.9


class TestJitter:
    def test_jitter_delays_each_run_by_at_most_its_share(self, reactor: ClockReactor, engine: Engine) -> None:
        gaps = ran(reactor, engine, "+", Interval(jitter=0.5), 10_000.0).gaps
        assert 980 <= len(gaps) <= 1000
        assert min(gaps) >= 4.9
        assert max(gaps) <= 15.2
        assert len(set(gaps)) > 50
        assert abs(sum(gaps) / len(gaps) - 10.0) < 0.1

    def test_jitter_does_not_delay_the_first_run(self, reactor: ClockReactor, engine: Engine) -> None:
        assert ran(reactor, engine, "+", Interval(jitter=0.5), 20.0).turns[0] <= 1.0

    def test_jitter_is_a_share_of_the_present_interval(self, reactor: ClockReactor, engine: Engine) -> None:
        gaps = ran(reactor, engine, "-", Interval(jitter=0.2, down_interval=1.0), 60.0).gaps[1:]
        assert min(gaps) >= 0.7
        assert max(gaps) <= 1.3

    def test_jitter_does_not_postpone_runs_forever_when_the_loop_is_slow(
        self, reactor: ClockReactor, engine: Engine
    ) -> None:
        monitor = Monitor(engine, "+", 0.02, Interval(jitter=0.5))
        monitor.start()
        reactor.pass_time(5.0)
        monitor.stop()
        assert len(monitor.turns) > 20

    def test_jitter_ends_with_the_monitor(self, reactor: ClockReactor, engine: Engine) -> None:
        monitor = Monitor(engine, "+", 1.0, Interval(jitter=0.5))
        monitor.start()
        reactor.pass_time(5.3)
        monitor.stop()
        before = len(monitor.turns)
        reactor.pass_time(5.0)
        assert len(monitor.turns) == before
