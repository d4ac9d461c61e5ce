"""Random reloads and faults under one daemon: ``python -m tests.chaos.run MINUTES SEED…``.

The seed decides every change and pause; the times of the daemon and of the machine vary. A run consists of rounds: changes for
:data:`ROUND` seconds, each followed by a check of the invariants; then everything is repaired and must serve again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.chaos.faults import FAULTS
from tests.chaos.invariants import Invariants
from tests.chaos.site import Site

ROUND = 30.0
"""Seconds of changes in a round."""
_PAUSES = (0.05, 1.5)
_SHOWN = 40


class BrokenInvariantError(AssertionError):
    """An invariant was broken; the text has the seed, the last changes and the end of the log."""


def run(seed: int, seconds: float, directory: Path) -> int:
    """Change parts at random for at least one round and ``seconds``; return the number of changes."""
    random = Random(seed)
    began, changes = time.monotonic(), list[str]()
    with ExitStack() as stack:
        site = Site(directory, stack)
        running = stack.enter_context(site.running())
        running.wait(lambda: running.get("/alerts"), "a response")
        invariants = Invariants(site, running)
        try:
            invariants.check_healed()
            while not changes or time.monotonic() - began < seconds:
                end = time.monotonic() + ROUND
                while time.monotonic() < end:
                    fault = random.choices(list(FAULTS), list(FAULTS.values()))[0]
                    changes.append(f"{time.monotonic() - began:7.1f} s {fault(site, running, random)}")
                    time.sleep(random.uniform(*_PAUSES))
                    invariants.check()
                site.heal()
                outcome = running.reload()
                assert outcome["accepted"], outcome
                changes.append(f"{time.monotonic() - began:7.1f} s everything repaired")
                invariants.check_healed()
        except Exception as error:
            last, log = "\n".join(changes[-_SHOWN:]), "\n".join(running.log.splitlines()[-_SHOWN:])
            raise BrokenInvariantError(f"seed {seed}: {error}\n{last}\n{log}") from error
    return len(changes)


def main(arguments: list[str]) -> int:
    """Run each seed for its share of the time and print a line; return 1 after a broken invariant."""
    minutes, seeds = float(arguments[0]), [int(each) for each in arguments[1:]] or [1]
    for seed in seeds:
        with tempfile.TemporaryDirectory() as directory:
            try:
                changes = run(seed, minutes * 60 / len(seeds), Path(directory))
            except BrokenInvariantError as broken:
                print(broken)
                return 1
        print(f"seed {seed}: {changes} changes, no broken invariant", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
