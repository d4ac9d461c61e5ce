"""Timers are spread, run once per period and are never late; first calls come within a second."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybal.checks.wheel import SWEEP_IN_FLIGHT, SWEEP_SLOW, SWEEP_TICKS, Schedule, Timer, Wheel


class Deadline:
    def __init__(self) -> None:
        self.deadline = 0

    def expire(self) -> None:
        raise AssertionError("the engine does that")


def timer() -> Timer:
    return Timer(lambda: None)


def filled(count: int, seconds: float) -> tuple[Schedule, list[Timer]]:
    """Return a schedule of ``count`` timers, each past its first call."""
    schedule = Schedule()
    timers = [timer() for _ in range(count)]
    for one in timers:
        schedule.every(seconds, one, 0)
    while schedule.swept(SWEEP_TICKS, 0):
        pass
    return schedule, timers


class TestWheel:
    @pytest.mark.parametrize("count", [1, 7, 100, 1000, 2345])
    def test_every_timer_runs_once_per_period(self, count: int) -> None:
        ring = Wheel(1000)
        for _ in range(count):
            ring.add(timer())
        turns = Counter(one for tick in range(5000, 6000) for one in ring.due(tick, tick + 1))
        assert (len(turns), set(turns.values())) == (count, {1})

    @pytest.mark.parametrize("count", [10, 100, 1000, 10000])
    def test_timers_are_spread_evenly(self, count: int) -> None:
        ring = Wheel(1000)
        for _ in range(count):
            ring.add(timer())
        tenths = [len(list(ring.due(tick, tick + 100))) for tick in range(1000, 2000, 100)]
        assert max(tenths) <= count / 10 + 2

    def test_added_and_removed_timers_keep_the_others_in_place(self) -> None:
        ring = Wheel(100)
        stays = timer()
        ring.add(stays)
        before = [tick for tick in range(100, 300) if stays in ring.due(tick - 1, tick)]
        others = [timer() for _ in range(500)]
        for other in others:
            ring.add(other)
        for other in others:
            ring.remove(other)
        assert [tick for tick in range(100, 300) if stays in ring.due(tick - 1, tick)] == before

    def test_timers_run_once_after_a_long_sleep(self) -> None:
        ring = Wheel(100)
        ring.add(timer())
        assert len(list(ring.due(0, 100_000))) == 1

    @given(st.integers(1, 50), st.integers(1, 200), st.integers(0, 1000))
    def test_following_tick_is_the_next_with_a_timer(self, count: int, period: int, tick: int) -> None:
        ring = Wheel(period)
        for _ in range(count):
            ring.add(timer())
        following = ring.following(tick)
        assert not list(ring.due(tick, following - 1))
        assert list(ring.due(following - 1, following))


class TestSweep:
    def test_first_calls_are_spread_within_a_second(self) -> None:
        schedule = Schedule()
        timers = [timer() for _ in range(11_750)]
        for one in timers:
            schedule.every(10, one, 0)
        sizes = [len(schedule.swept(tick, 0)) for tick in range(1, 101)]
        assert (sum(sizes), max(sizes)) == (11_750, 149)

    def test_lone_timer_runs_in_the_next_tick(self) -> None:
        schedule = Schedule()
        one = timer()
        schedule.every(10, one, 500)
        assert schedule.following(500) == 501
        assert schedule.swept(501, 0) == [one]
        assert schedule.swept(502, 0) == []

    def test_sweep_slows_down_while_many_checks_are_in_flight(self) -> None:
        schedule = Schedule()
        for _ in range(60_000):
            schedule.soon(timer(), 0)
        assert len(schedule.swept(1, 0)) == SWEEP_IN_FLIGHT
        assert len(schedule.swept(1, SWEEP_IN_FLIGHT - 100)) == 100

    def test_hanging_servers_do_not_stop_the_sweep(self) -> None:
        schedule = Schedule()
        for _ in range(10_000):
            schedule.soon(timer(), 0)
        assert len(schedule.swept(1, 2000)) == SWEEP_SLOW

    def test_periodic_call_counts_as_the_first(self) -> None:
        schedule = Schedule()
        one = timer()
        schedule.every(1, one, 0)
        assert schedule.due(99, 199) == [one]
        assert schedule.swept(200, 0) == []

    def test_removed_timer_is_skipped(self) -> None:
        schedule = Schedule()
        gone, stays = timer(), timer()
        for one in (gone, stays):
            schedule.every(1, one, 0)
        schedule.leave(gone)
        assert schedule.swept(SWEEP_TICKS, 0) == [stays]
        assert schedule.due(0, 100) == [stays]

    def test_second_request_gives_one_call(self) -> None:
        schedule = Schedule()
        one = timer()
        schedule.soon(one, 0)
        schedule.soon(one, 0)
        assert schedule.swept(SWEEP_TICKS, 0) == [one]


class TestChangedPeriod:
    def test_changed_period_starts_one_period_later(self) -> None:
        schedule, timers = filled(1, 10)
        schedule.pace(timers[0], 1, 105)
        assert schedule.following(105) == 106
        assert schedule.due(100, 110) == []
        assert schedule.due(110, 204) == []
        assert schedule.due(204, 205) == timers
        assert schedule.due(205, 305) == timers

    def test_equal_period_changes_nothing(self) -> None:
        schedule, timers = filled(1, 10)
        schedule.pace(timers[0], 10, 105)
        assert schedule.due(105, 1105) == timers

    def test_timer_removed_while_moving_does_not_run(self) -> None:
        schedule, timers = filled(1, 10)
        schedule.pace(timers[0], 1, 105)
        schedule.leave(timers[0])
        assert schedule.due(105, 5000) == []
        assert schedule.following(5000) is None

    def test_burst_of_changes_stays_spread(self) -> None:
        schedule, timers = filled(1000, 10)
        for tick in range(1000, 2000):
            for one in schedule.due(tick - 1, tick):
                schedule.pace(one, 5, tick)
        sizes = [len(schedule.due(tick - 1, tick)) for tick in range(2000, 2500)]
        assert (sum(sizes), len(timers)) == (1000, 1000)
        assert max(sizes) <= 4


class TestDeadlines:
    def test_deadline_expires_once_at_its_tick(self) -> None:
        schedule = Schedule()
        one, two = Deadline(), Deadline()
        schedule.arm(one, 10)
        schedule.arm(two, 12)
        assert schedule.expired(9) is None
        assert schedule.expired(11) is one
        assert schedule.expired(12) is two
        assert schedule.expired(100) is None

    def test_cleared_deadline_does_not_expire(self) -> None:
        schedule = Schedule()
        ended, again = Deadline(), Deadline()
        for one in (ended, again):
            schedule.arm(one, 10)
        ended.deadline = 0
        schedule.arm(again, 20)
        assert schedule.expired(19) is None
        assert schedule.expired(20) is again

    def test_deadline_set_twice_expires_once(self) -> None:
        schedule = Schedule()
        one = Deadline()
        schedule.arm(one, 10)
        schedule.arm(one, 10)
        assert schedule.expired(10) is one


class TestWakeUps:
    def test_empty_schedule_needs_no_wake_up(self) -> None:
        assert Schedule().following(0) is None

    def test_schedule_is_empty_after_the_last_removal(self) -> None:
        schedule, timers = filled(1, 10)
        schedule.leave(timers[0])
        assert schedule.following(0) is None

    @pytest.mark.parametrize(
        ("count", "wakes"),
        [
            (1, 10),  # 0.1 checks a second: each has its own wake-up
            (1000, 1000),  # 100 a second: every 100 ms
            (5000, 3333),  # 500 a second: every 30 ms
            (11_750, 10_000),  # 1,175 a second: every 10 ms
        ],
    )
    def test_wake_ups_in_100_s_are_bounded(self, count: int, wakes: int) -> None:
        schedule, _ = filled(count, 10)
        tick, woken = 100, 0
        while tick < 10_100:
            following = schedule.following(tick)
            assert following is not None
            tick = following
            woken += 1
        assert abs(woken - wakes) <= 1

    @given(st.integers(1, 300), st.sampled_from([0.5, 1, 2, 10]))
    def test_timers_are_at_most_100_ms_late_and_none_is_lost(self, count: int, seconds: float) -> None:
        schedule, timers = filled(count, seconds)
        turns: dict[Timer, list[int]] = {one: [] for one in timers}
        tick = 100
        while tick < 100 + 3 * seconds * 100:
            before, following = tick, schedule.following(tick)
            assert following is not None
            tick = following
            for one in schedule.due(before, tick):
                turns[one].append(tick - (tick - one.slot) % round(seconds * 100))
                assert tick - turns[one][-1] < 10
        period = round(seconds * 100)
        for mine in turns.values():
            assert len(mine) >= 3
            assert all(later - earlier == period for earlier, later in pairwise(mine))
