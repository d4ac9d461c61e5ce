"""Wall-clock times of monotonic times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pybal.runtime.clocks import Clocks

WALL = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)


def test_time_of_converts_monotonic_time_to_wall_time() -> None:
    assert Clocks(100.0, WALL).time_of(99.5) == datetime(2026, 11, 20, 2, 59, 59, 500000, tzinfo=UTC)


@pytest.mark.parametrize("wall", [WALL, WALL.astimezone(timezone(timedelta(hours=2)))])
def test_iso_time_has_milliseconds_and_ends_with_z(wall: datetime) -> None:
    assert Clocks(100.0, wall).iso_time(99.9996) == "2026-11-20T02:59:59.999Z"
