"""Wall-clock times of monotonic times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from twisted.internet.task import Clock

from pybal.runtime.clocks import Calendar, Clocks

WALL = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)


def test_time_of_converts_monotonic_time_to_wall_time() -> None:
    assert Clocks(100.0, WALL).time_of(99.5) == datetime(2026, 11, 20, 2, 59, 59, 500000, tzinfo=UTC)


@pytest.mark.parametrize("wall", [WALL, WALL.astimezone(timezone(timedelta(hours=2)))])
def test_iso_time_has_milliseconds_and_ends_with_z(wall: datetime) -> None:
    assert Clocks(100.0, wall).iso_time(99.9996) == "2026-11-20T02:59:59.999Z"


def test_calendar_gives_a_moment_the_same_time_in_every_reading() -> None:
    jitter = iter((0.0, 0.0011, 0.0029, 0.05))
    monotonic = iter((100.0, 100.0, 101.0, 101.0, 102.0, 102.0, 103.0, 103.0))
    seconds = iter((0.0, 1.0, 2.0, 3.0))
    calendar = Calendar(lambda: next(monotonic), lambda: WALL + timedelta(seconds=next(seconds) + next(jitter)))
    assert {calendar.read().iso_time(99.9996) for _ in range(4)} == {"2026-11-20T02:59:59.999Z"}


def test_calendar_gives_a_moment_the_same_microsecond_in_every_reading() -> None:
    clock = Clock()
    calendar = Calendar(clock.seconds, lambda: WALL + timedelta(seconds=clock.seconds()))
    times = set()
    for _ in range(1000):
        clock.advance(0.0123456789)
        times.add(calendar.read().time_of(0.1000005))
    assert len(times) == 1


def test_calendar_keeps_its_times_when_suspended_between_the_clocks() -> None:
    monotonic = iter((100.0, 100.0, 101.0, 105.0))
    walls = iter((WALL, WALL + timedelta(seconds=4.9)))
    calendar = Calendar(lambda: next(monotonic), lambda: next(walls))
    assert [calendar.read().time_of(100.0) for _ in range(2)] == [WALL, WALL]


def test_calendar_follows_a_wall_clock_that_is_set() -> None:
    walls = iter((WALL, WALL + timedelta(hours=1)))
    calendar = Calendar(lambda: 100.0, lambda: next(walls))
    assert [calendar.read().iso_time(100.0) for _ in range(2)] == [
        "2026-11-20T03:00:00.000Z",
        "2026-11-20T04:00:00.000Z",
    ]
