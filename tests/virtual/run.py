"""Run virtual days: ``python -m tests.virtual.run [SEED [RUNS [STEPS]]]``."""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.virtual.days import VirtualDays

SEED, RUNS, STEPS = 17, 6, 25
"""The defaults of a run in CI."""


def run(number: int = SEED, runs: int = RUNS, steps: int = STEPS, *, shrink: bool = True) -> str:
    """Run days chosen by a seed; return what was simulated. Raises AssertionError for a violation."""
    VirtualDays.server_seconds = VirtualDays.virtual_seconds = 0.0
    began = time.process_time()
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    seed(number)(VirtualDays)
    run_state_machine_as_test(
        VirtualDays,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=False,
            database=None,
            print_blob=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
    cost = time.process_time() - began
    return (
        f"seed {number}: {VirtualDays.server_seconds:.3g} server-seconds in {VirtualDays.virtual_seconds / 86400:.2f} "
        f"virtual days, {cost:.0f} s of CPU"
    )


if __name__ == "__main__":
    sys.stdout.write(run(*map(int, sys.argv[1:])) + "\n")
