"""Some minutes of faults under the whole system; longer runs: ``make chaos``."""

from __future__ import annotations

import pytest

from tests.chaos.attempt import Run, run_and_shrink
from tests.harness.daily_seed import daily_seed
from tests.harness.guest import guest

pytestmark = pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")

SEED = daily_seed("CHAOS_SEED")
MINUTES = 6


def test_faults_of_the_whole_system_break_no_invariant() -> None:
    played = run_and_shrink(Run("whole-system", SEED), minutes=MINUTES, attempts=4)

    assert played.passed
    assert len(played.steps) > 2
