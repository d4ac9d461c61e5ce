"""Breaks the policy in every way of :mod:`tests.mutants.policy`, one at a time, and prints which tests notice.

``python -m tests.mutants.run [WORDS]`` runs all mutants, or those whose names contain the words. Each is made in a
copy, and both suites run against it: the unit tests, and the property suite by itself. Exits 1 if a mutant survives
both without an explanation, is killed though an explanation says that it cannot be, or does not apply any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.policy import MUTANTS

ROOT = Path(__file__).parents[2]
TARGET = Path("pybal/policy.py")
COPIED = ("pyproject.toml", "tests/pools.py", "tests/mutants/profile.py")
SUITES = {
    "unit": ("tests/unit/test_policy*.py", "tests/unit/test_model*.py"),
    "property": ("tests/property/*policy*.py",),
}
#: A suite takes seconds; a mutant that takes longer than this goes round in circles, and counts as noticed.
DEADLINE = 180.0


def main(words: Sequence[str]) -> int:
    """Run the mutants, print a table and a summary, return the exit code."""
    began = time.monotonic()
    source = (ROOT / TARGET).read_text()
    if survived(source) != list(SUITES):
        say("the tests fail on the policy as it is")
        return 1
    stale = [mutant.name for mutant in MUTANTS if source.count(mutant.old) != 1]
    chosen = [m for m in MUTANTS if m.name not in stale and all(word in m.name for word in words)]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        results = dict(zip(chosen, workers.map(lambda m: survived(source.replace(m.old, m.new)), chosen), strict=True))
    for mutant, suites in results.items():
        marks = "  ".join(f"{'-' if suite in suites else suite:8}" for suite in SUITES)
        say(f"{marks}  {mutant.name}" + (f" (survives: {mutant.survives})" if mutant.survives else ""))
    alive = [mutant for mutant, suites in results.items() if len(suites) == len(SUITES)]
    wrong = [m.name for m in chosen if (m in alive) != bool(m.survives)]
    killed = {suite: sum(suite not in suites for suites in results.values()) for suite in SUITES}
    say(
        f"\n{len(chosen)} mutants, {len(chosen) - len(alive)} killed: {killed['unit']} by the unit tests, "
        f"{killed['property']} by the property suite alone; {len(alive)} survive; {time.monotonic() - began:.0f} s"
    )
    for title, names in (("not as explained", wrong), ("does not apply any more", stale)):
        for name in names:
            say(f"{title}: {name}")
    return 1 if wrong or stale else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def survived(source: str) -> list[str]:
    """Return the suites that pass with ``source`` for the policy."""
    with TemporaryDirectory(prefix="pybal-mutant-") as directory:
        copy = Path(directory)
        shutil.copytree(ROOT / "pybal", copy / "pybal", ignore=shutil.ignore_patterns("__pycache__"))
        files = {suite: [path for glob in globs for path in sorted(ROOT.glob(glob))] for suite, globs in SUITES.items()}
        for path in chain((ROOT / name for name in COPIED), *files.values()):
            (copy / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.relative_to(ROOT))
        (copy / TARGET).write_text(source)
        return [suite for suite in SUITES if passes(copy, files[suite])]


def passes(copy: Path, files: Sequence[Path]) -> bool:
    tests = [str(path.relative_to(ROOT)) for path in files if path.name.startswith("test_")]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "tests.mutants.profile", "--hypothesis-profile=mutants"]
    command = [sys.executable, "-B", "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout.decode()[-2000:]}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
