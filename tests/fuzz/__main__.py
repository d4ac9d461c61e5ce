"""Fuzz targets one after the other: ``python -m tests.fuzz [--seconds N] [TARGET ...]``.

See README.md.

New inputs that run new code are added to the corpus. With ``--replay FILE`` runs one input; with ``--coverage`` prints the share of the
lines of each parser that the corpus runs; with ``--minimise`` drops inputs that run no step that others do not.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
from pathlib import Path

from tests.fuzz.all_targets import all_targets
from tests.fuzz.corpus import CORPORA, chosen, coverage, kept, name_of
from tests.fuzz.target import Target

BUILD = Path(__file__).parents[2] / "build" / "fuzz"
INPUT_SECONDS = 20
"""Seconds of one input after which it counts as endless."""


def fuzz(target: Target, seconds: int) -> bool:
    """Fuzz one target, keep what is new, and print the result; return whether all inputs passed."""
    folder = BUILD / target.name
    found, seeds = folder / "found", folder / "seeds"
    for each in (found, seeds, CORPORA / target.name):
        each.mkdir(parents=True, exist_ok=True)
    for data in target.seeds:
        (seeds / name_of(data)).write_bytes(data)
    folders = [str(found), str(CORPORA / target.name), str(seeds)]
    inputs, began = 0, cpu_seconds()
    while (left := seconds - int(cpu_seconds() - began)) > 0:
        options = [
            f"-max_total_time={left}",
            f"-timeout={INPUT_SECONDS}",
            "-rss_limit_mb=1536",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}/",
        ]
        command = [sys.executable, "-m", "tests.fuzz.engine", target.name, str(folder), *options, *folders]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        if done.returncode or runs is None:
            crash = re.search(r"written to (\S+)", done.stderr)
            print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
            print(f"{target.name}: FAILED; to reproduce it:")
            print(
                f"  .venv/bin/python -m tests.fuzz --replay {crash[1] if crash else 'FILE'} {target.name}", flush=True
            )
            return False
        inputs += int(runs[1])
    new = keep(target, found)
    took = cpu_seconds() - began
    print(f"{target.name}: {inputs} inputs in {took:.0f} s of CPU, no failure, {new} new in the corpus", flush=True)
    return True


def cpu_seconds() -> float:
    """Return the CPU time of ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(target: Target, found: Path) -> int:
    """Add the inputs that run new code to the corpus; return their number."""
    new = chosen(target, [file.read_bytes() for file in found.glob("*")], kept(target))
    for data in new:
        (CORPORA / target.name / name_of(data)).write_bytes(data)
    return len(new)


def minimise(target: Target) -> None:
    """Drop the inputs of the corpus that run no step that shorter ones do not."""
    folder = CORPORA / target.name
    files = {file: file.read_bytes() for file in folder.glob("*")}
    wanted = set(chosen(target, files.values(), target.seeds))
    for file, data in files.items():
        if data not in wanted and not file.name.startswith("failed-"):
            file.unlink()
    print(f"{target.name}: {len(wanted)} of {len(files)} inputs, {sum(map(len, wanted))} bytes")


def show_coverage(target: Target) -> None:
    """Print the share of the lines of the parsers of a target that its corpus runs."""
    for module, (ran, lines) in coverage(target, kept(target)).items():
        print(f"{target.name:20} {module:40} {ran:4} of {lines:4} lines ({100 * ran // max(1, lines)} %)")


def main() -> int:
    """Run what the arguments say; return 1 if an input fails."""
    table = all_targets()
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all, one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="of CPU time for each target (default: 60)")
    parser.add_argument("--replay", type=Path, metavar="FILE")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--minimise", action="store_true")
    options = parser.parse_args()
    if unknown := [name for name in options.targets if name not in table]:
        parser.error(f"unknown target {unknown[0]} (use one of {', '.join(table)})")
    targets = [table[name] for name in options.targets or table]
    if options.replay:
        for each in targets:
            each.run(options.replay.read_bytes())
        return 0
    if options.coverage or options.minimise:
        for each in targets:
            (show_coverage if options.coverage else minimise)(each)
        return 0
    passed = [fuzz(each, options.seconds) for each in targets]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
