"""Play steps of a run in this process: ``python -m tests.chaos`` starts it.

A step is a function of the seed and of its number, so that steps can be left out. The times of the machine vary.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from random import Random
from typing import Protocol

from tests.chaos.one_daemon.system import one_daemon
from tests.chaos.whole_system.system import whole_system


class System(Protocol):
    """A running system, with its faults and its invariants."""

    def step(self, number: int, random: Random) -> Iterator[str]:
        """Make a step and check the invariants; yield a line before each part.

        Raises an exception if one is broken.
        """
        ...

    def finish(self) -> None:
        """Repair everything and check that everything is as at the start."""
        ...


SYSTEMS: dict[str, Callable[[Path, Sequence[str]], AbstractContextManager[System]]] = {
    "one-daemon": one_daemon,
    "whole-system": whole_system,
}


def play(system: System, seed: int, steps: Iterable[int], seconds: float) -> None:
    """Make steps until ``seconds`` have passed; print each as ``step NUMBER: WHAT``."""
    began = time.monotonic()
    for number in steps:
        if time.monotonic() - began > seconds:
            break
        for line in system.step(number, Random(f"{seed} {number}")):
            say(f"{time.monotonic() - began:7.1f} s  step {number}: {line}")
    system.finish()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def parse_steps(text: str) -> list[int]:
    """Return the numbers in e.g. ``0-3,17``."""
    spans = (part.partition("-") for part in text.split(","))
    return [number for first, _, last in spans for number in range(int(first), int(last or first) + 1)]


def parse_names(text: str) -> list[str]:
    return text.split(",")


def main() -> int:
    """Return 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.play", description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--steps", type=parse_steps, default=count(), help="numbers of steps, such as 0-3,17")
    parser.add_argument("--faults", type=parse_names, default=[], help="kinds of faults, such as DaemonKilled,DiskFull")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        try:
            with SYSTEMS[options.system](Path(directory), options.faults) as system:
                play(system, options.seed, options.steps, options.minutes * 60)
        except Exception:  # noqa: BLE001  # whatever a step raises, it broke something
            say(f"broken:\n{traceback.format_exc()}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
