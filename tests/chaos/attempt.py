"""Attempts: runs of chosen steps in a new process, for the whole system in a new guest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.chaos.play import say
from tests.chaos.shrink import shrink
from tests.harness.guest import guest

ROOT = Path(__file__).parents[2]
_BOOT = 900.0
"""Seconds for the start and the end of a system and for the last step, on a busy machine."""
_STEP = 400.0
"""Seconds for a step on a busy machine."""
_MEMORY = 2048
"""MiB of a guest with the whole system."""


@dataclass(frozen=True, slots=True)
class Run:
    """A system, a seed, and the kinds of faults if not all."""

    system: str
    seed: int
    faults: Sequence[str] = ()

    @property
    def words(self) -> Sequence[str]:
        """The arguments of the command line."""
        faults = ("--faults", ",".join(self.faults)) if self.faults else ()
        return self.system, "--seed", str(self.seed), *faults

    @property
    def command(self) -> str:
        """The command that repeats it."""
        return f"python -m tests.chaos {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The numbers of the steps that were begun, and the output."""

    passed: bool
    steps: Sequence[int]
    output: str


def attempt(run: Run, *, minutes: float | None = None, steps: Sequence[int] = (), root: Path = ROOT) -> Attempt:
    """Make steps until ``minutes`` have passed, or exactly ``steps``; print the output.

    ``root`` has the code to run.
    """
    length = ("--minutes", str(minutes)) if minutes is not None else ("--steps", ",".join(map(str, steps)))
    command = [sys.executable, "-m", "tests.chaos.play", *run.words, *length]
    lines: list[str] = []
    with _collected(lines) as output:
        if run.system == "one-daemon":
            status = subprocess.run(command, stdout=output, stderr=output, cwd=root, check=False).returncode
        else:
            timeout = _BOOT + (minutes * 60 if minutes is not None else _STEP * len(steps))
            try:
                status = guest.run(command, stdout=output, stderr=output, cwd=root, memory=_MEMORY, timeout=timeout)
            except (TimeoutError, guest.GuestError) as error:
                say(str(error))
                status = 1
    text = "".join(lines)
    begun = dict.fromkeys(map(int, re.findall(r" s  step (\d+): ", text)))
    return Attempt(status == 0, tuple(begun), text)


def run_and_shrink(run: Run, *, minutes: float, attempts: int) -> Attempt:
    """Make steps for ``minutes``; after a failure, print the shortest failing list of ``attempts`` more."""
    say(f"{run.command} --minutes {minutes:g}")
    first = attempt(run, minutes=minutes)
    if first.passed:
        say(f"seed {run.seed}: {len(first.steps)} steps, no broken invariant")
        return first

    def fails(steps: Sequence[int]) -> bool:
        say(f"Shrinking: {run.command} --steps {','.join(map(str, steps))}")
        return not attempt(run, steps=steps).passed

    shortest = shrink(first.steps, fails, attempts)
    say(f"seed {run.seed}: broken invariant; the shortest failing list of steps that was found:")
    say(f"{run.command} --steps {','.join(map(str, shortest))}")
    return first


@contextmanager
def _collected(lines: list[str]) -> Iterator[IO[bytes]]:
    """Provide a file whose lines are printed and appended to ``lines``."""
    read, write = os.pipe()

    def collect() -> None:
        with os.fdopen(read, errors="replace") as stream:
            for line in stream:
                lines.append(line)
                say(line.rstrip("\n"))

    thread = threading.Thread(target=collect)
    thread.start()
    with os.fdopen(write, "wb") as file:
        yield file
    thread.join()
