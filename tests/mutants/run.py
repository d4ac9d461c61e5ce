"""Mutation tests: prints which suite detects each mutant of the modules that decide.

``python -m tests.mutants.run [WORDS]`` runs all mutants, or those whose modules or names contain the words;
``--seed S --seconds T`` begins as many as possible in T seconds, in an order that the seed decides. Each mutant is applied to a copy, and the suites of its module run
against it until a test fails: the unit tests, then the property suite. Exits 1 if a mutant survives all of them without an
explanation, is killed despite an explanation, or no longer applies.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from math import inf
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from tests.mutants.mutant import Mutant
from tests.mutants.targets import TARGETS, Target
from tests.mutants.working_copy import WorkingCopy

Chosen = Sequence[tuple[Target, Mutant]]


def main(arguments: Sequence[str]) -> int:
    """Run the mutants, print a line each and a summary for each module, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seed", help="of the order; without mutants that survive")
    parser.add_argument("--seconds", type=float, default=inf, help="time in which mutants begin")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    options = parser.parse_args(arguments)
    stale = [f"{target.path}: {name}" for target in TARGETS for name in target.stale]
    for each in stale:
        write(f"no longer applies: {each}")
    found = chosen(options.words)
    if options.seed is not None:
        found = shuffled(found, options.seed)
    try:
        return 1 if run(found, options.jobs, options.seconds) or stale else 0
    except RuntimeError as error:
        write(str(error))
        return 1


def chosen(words: Sequence[str]) -> Chosen:
    """Return the mutants whose modules or names contain all words."""
    return [
        (target, mutant)
        for target in TARGETS
        for mutant in target.mutants
        if mutant.name not in target.stale and all(word in f"{target.path} {mutant.name}" for word in words)
    ]


def shuffled(mutants: Chosen, seed: str) -> Chosen:
    """Return the mutants that a test must kill, in an order that the seed decides."""
    killed = [each for each in mutants if not each[1].survives]
    return random.Random(seed).sample(killed, len(killed))


def run(mutants: Chosen, jobs: int, seconds: float) -> int:
    """Run mutants, and return how many survive without an explanation, or are killed despite one."""
    wrong, began, counts = 0, time.monotonic(), dict[Path, Counter[str]]()
    with (
        TemporaryDirectory(prefix="pybal-mutants-") as directory,
        ProcessPoolExecutor(jobs, get_context("fork"), start_worker, (directory,)) as workers,
    ):
        # One submission for each worker, so that none begins after the time.
        waiting = iter(mutants)
        running = deque((*each, workers.submit(killer, *each)) for each in islice(waiting, jobs))
        while running:
            target, mutant, future = running.popleft()
            suite = future.result()
            if time.monotonic() < began + seconds:
                running += [(*each, workers.submit(killer, *each)) for each in islice(waiting, 1)]
            expected = bool(suite) is not bool(mutant.survives)
            wrong += not expected
            counts.setdefault(target.path, Counter())[suite] += 1
            remark = f" (survives: {mutant.survives})" if mutant.survives else ""
            write(f"{suite or '-':8}  {target.path.stem}: {mutant.name}{remark}{'' if expected else '  WRONG'}")
    for path, by_suite in counts.items():
        killed = ", ".join(f"{number} killed by the {suite} tests" for suite, number in by_suite.items() if suite)
        write(f"{path}: {by_suite.total()} mutants: {killed or '0 killed'}; {by_suite['']} survive")
    total = sum(by_suite.total() for by_suite in counts.values())
    write(f"{total} of {len(mutants)} mutants, {wrong} wrong, {time.monotonic() - began:.0f} s")
    return wrong


_copies = list[WorkingCopy]()
"""The copy of this worker."""


def start_worker(directory: str) -> None:
    """Make the copy of this worker in its own directory."""
    _copies.append(WorkingCopy(Path(mkdtemp(dir=directory))))


def killer(target: Target, mutant: Mutant) -> str:
    """Return the first suite that detects a mutant, empty if none does; in a worker."""
    return _copies[0].killer(target, mutant.old, mutant.new)


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
