"""A sample of the mutants; ``make mutants`` runs all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.harness.daily_seed import daily_seed
from tests.mutants.targets import ROOT

SEED = daily_seed("MUTANTS_SEED")
SECONDS = 120
"""Time in which mutants begin: about 60 of them on two idle cores."""
LEAST = 3


def test_each_mutant_of_a_sample_fails_a_test(record_property: Callable[[str, object], None]) -> None:
    command = [sys.executable, "-m", "tests.mutants.run", "--seed", str(SEED), "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *_, summary = done.stdout.splitlines() or [""]
    record_property("sample", f"{summary} (MUTANTS_SEED={SEED})")
    assert done.returncode == 0, f"MUTANTS_SEED={SEED}\n{done.stdout}{done.stderr}"
    assert int(summary.split()[0]) >= LEAST
