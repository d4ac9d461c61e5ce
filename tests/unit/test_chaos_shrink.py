"""The shortest failing part of a list of steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.chaos.shrink import shrink


class CountedRuns:
    """Runs that fail if they contain all of ``culprits``."""

    def __init__(self, *culprits: int) -> None:
        self.count = 0
        self._culprits = set(culprits)

    def fails(self, steps: Sequence[int]) -> bool:
        self.count += 1
        return self._culprits <= set(steps)


@pytest.mark.parametrize("culprits", [(9,), (0, 9), (3, 4, 9), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)])
def test_shrinking_keeps_only_the_culprits(culprits: tuple[int, ...]) -> None:
    runs = CountedRuns(*culprits)

    assert tuple(shrink(range(10), runs.fails, 1000)) == culprits


def test_last_step_alone_takes_one_run() -> None:
    runs = CountedRuns(9)

    assert tuple(shrink(range(10), runs.fails, 1000)) == (9,)
    assert runs.count == 1


@pytest.mark.parametrize("attempts", range(8))
def test_shrinking_within_its_attempts_returns_a_failing_list(attempts: int) -> None:
    runs = CountedRuns(2, 7, 9)

    found = shrink(range(10), runs.fails, attempts)

    assert {2, 7, 9} <= set(found)
    assert runs.count <= attempts
