"""Random runs of a system under faults: ``python -m tests.chaos SYSTEM``; see README.md."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.chaos.attempt import Run, attempt, run_and_shrink
from tests.chaos.play import SYSTEMS, parse_names, parse_steps


def main() -> int:
    """Return 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="default: at random")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=parse_steps, help="make only these steps, such as 0-3,17")
    parser.add_argument("--attempts", type=int, default=8, help="runs to find the shortest failing list of steps")
    parser.add_argument("--faults", type=parse_names, default=[], help="kinds of faults, such as DaemonKilled,DiskFull")
    options = parser.parse_args()
    run = Run(options.system, options.seed, options.faults)
    if options.steps:
        found = attempt(run, steps=options.steps)
    else:
        found = run_and_shrink(run, minutes=options.minutes, attempts=options.attempts)
    return 0 if found.passed else 1


if __name__ == "__main__":
    sys.exit(main())
