"""The mutant of the day fails its invariant; ``python -m tests.chaos.mutants`` tries all of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.chaos.mutants import DEFECTS, find
from tests.harness.daily_seed import daily_seed
from tests.harness.guest import guest

pytestmark = pytest.mark.skipif(guest.missing() is not None, reason=f"no user-mode Linux: {guest.missing()}")

SEED = daily_seed("MUTANTS_SEED")


def test_invariant_finds_the_mutant_of_the_day(record_property: Callable[[str, object], None]) -> None:
    defect = Random(SEED).choice(DEFECTS)
    record_property("mutant", f"{defect.line} (MUTANTS_SEED={SEED})")
    assert find(defect), f"MUTANTS_SEED={SEED}: {defect.line}"
