"""Mutation tests of the policy and the announcements: prints which tests detect each mutant.

``python -m tests.mutants.run [WORDS]`` runs all mutants, or those whose names or modules contain the words. Each mutant is
applied to a copy, and the suites of its module run against it until one kills it: the unit tests, then the property suite.
Exits 1 if a mutant survives both without an explanation, is killed despite an explanation, or no longer applies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants import changes, correlated, counted, moves, policy, reports, verdict
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("pyproject.toml", "tests/mutants/profile.py")


@dataclass(frozen=True)
class Target:
    """A module, its mutants, the patterns of its two suites, and further files that these import."""

    path: Path
    mutants: Sequence[Mutant]
    suites: Mapping[str, Sequence[str]]
    copied: Sequence[str]


CORE_HARNESS = tuple(f"tests/harness/{name}.py" for name in ("pool_events", "samples", "snapshots"))
CORE_SUITES = {
    "unit": ("tests/unit/test_core_*.py",),
    "property": ("tests/property/*policy*.py", "tests/property/test_core_*.py"),
}
TARGETS = (
    Target(
        Path("pybal/core/policy.py"),
        policy.MUTANTS,
        CORE_SUITES,
        CORE_HARNESS,
    ),
    *(
        Target(Path(f"pybal/core/{name}.py"), mutants, CORE_SUITES, CORE_HARNESS)
        for name, mutants in (
            ("changes", changes.MUTANTS),
            ("moves", moves.MUTANTS),
            ("reports", reports.MUTANTS),
            ("correlated", correlated.MUTANTS),
            ("counted", counted.MUTANTS),
            ("model", counted.MODEL_MUTANTS),
        )
    ),
    Target(
        Path("pybal/bgp/verdict.py"),
        verdict.MUTANTS,
        {
            "unit": ("tests/unit/test_bgp_verdict.py",),
            "property": ("tests/property/test_bgp_verdict_machine.py",),
        },
        ("tests/harness/pool_events.py",),
    ),
)
#: A suite takes a minute; a mutant that runs longer than this loops for ever, and counts as killed.
DEADLINE = 600.0


def main(words: Sequence[str]) -> int:
    """Run the mutants, print a table and a summary for each module, return the exit code."""
    return max(run_target(target, words) for target in TARGETS)


def run_target(target: Target, words: Sequence[str]) -> int:
    """Run the mutants of one module."""
    began = time.monotonic()
    source = (ROOT / target.path).read_text()
    named = [m for m in target.mutants if all(word in f"{target.path} {m.name}" for word in words)]
    stale = [mutant.name for mutant in target.mutants if source.count(mutant.old) != 1]
    chosen = [m for m in named if m.name not in stale]
    if chosen and killer(target, source):
        write(f"the tests fail on the unchanged {target.path}")
        return 1
    killers = dict[str, str]()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        found = workers.map(lambda m: killer(target, source.replace(m.old, m.new)), chosen)
        for mutant, suite in zip(chosen, found, strict=True):
            killers[mutant.name] = suite
            write(f"{suite or '-':8}  {mutant.name}" + (f" (survives: {mutant.survives})" if mutant.survives else ""))
    wrong = [m.name for m in chosen if bool(killers[m.name]) == bool(m.survives)]
    counts = Counter(killers.values())
    write(
        f"\n{target.path}: {len(chosen)} mutants: {counts['unit']} killed by the unit tests, "
        f"{counts['property']} by the property suite; {counts['']} survive; {time.monotonic() - began:.0f} s\n"
    )
    for title, names in (("contradicts its explanation", wrong), ("no longer applies", stale)):
        for name in names:
            write(f"{title}: {name}")
    return 1 if wrong or stale else 0


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def killer(target: Target, source: str) -> str:
    """Return the first suite that fails with ``source`` for the module, empty if all pass."""
    with TemporaryDirectory(prefix="pybal-mutant-") as directory:
        copy = Path(directory)
        shutil.copytree(ROOT / "pybal", copy / "pybal", ignore=shutil.ignore_patterns("__pycache__"))
        files = {
            suite: [path for glob in globs for path in sorted(ROOT.glob(glob))]
            for suite, globs in target.suites.items()
        }
        for path in chain((ROOT / name for name in (*COPIED, *target.copied)), *files.values()):
            (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.relative_to(ROOT))
        (copy / target.path).write_text(source)
        return next((suite for suite in target.suites if not passes(copy, files[suite])), "")


def passes(copy: Path, files: Sequence[Path]) -> bool:
    tests = [str(path.relative_to(ROOT)) for path in files if path.name.startswith("test_")]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "tests.mutants.profile", "--hypothesis-profile=mutants"]
    command = [sys.executable, "-B", "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr).decode()[-2000:]}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
