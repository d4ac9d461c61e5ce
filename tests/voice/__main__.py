"""Check the voice of texts and commit subjects.

``python -m tests.voice [--count] [--commits BASE..HEAD] [PATHS]``

Prints one finding per line and exits 1 if there are any. ``# voice: reason`` (in Markdown ``<!-- voice: reason -->``) excuses
the findings of its own line; alone on a line, those of the text that follows. phrases.py has the rules.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.voice.check import Finding, check
from tests.voice.commits import HistoryError, check_commits
from tests.voice.texts import read

ROOT = Path(__file__).parents[2]
#: Files and folders that have texts a person reads.
CHECKED = (
    ".ci/run",
    "Makefile",
    "README.md",
    "bench",
    "debian/changelog",
    "debian/control",
    "debian/pybal.service",
    "docs",
    "etc",
    "etc/icinga/check_pybal",
    "pybal",
    "pyproject.toml",
    "tests",
    "tests/install",
)
SUFFIXES = {".py", ".md", ".conf", ".service"}
#: The list of phrases contains every one of them; test data imitates the files of users.
EXCLUDED = ("tests/voice/phrases.py", "tests/data")


def files(root: Path, paths: Iterable[str]) -> Iterator[Path]:
    """Yield the files to check: those named, and those below folders that have one of the suffixes."""
    excluded = [root / path for path in EXCLUDED]
    for path in (root / path for path in paths):
        below = [path] if path.is_file() else (file for file in path.rglob("*") if file.suffix in SUFFIXES)
        yield from (file for file in below if not any(file.is_relative_to(each) for each in excluded))


def counts(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the number of findings per rule and top folder, then per phrase."""
    tops = Counter((finding.rule, finding.path.split("/")[0].split(" ")[0]) for finding in findings)
    for (rule, top), number in sorted(tops.items()):
        yield f"{number:6} {rule:10} {top}"
    phrases = Counter(finding.phrase.lower() for finding in findings if finding.rule in {"word", "opening"})
    for phrase, number in phrases.most_common():
        yield f"{number:6} {phrase}"
    yield f"{len(findings):6} findings"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Check the files and commits that the arguments name, by default all of them. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.voice", description="Check the voice of texts and commits.")
    parser.add_argument("--count", action="store_true", help="print the number of findings per rule, folder and phrase")
    parser.add_argument(
        "--commits", metavar="BASE..HEAD", help="commits to check (default: those after the check itself)"
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATHS", help="files and folders to check (default: the whole tree)"
    )
    options = parser.parse_args(arguments)
    gc.disable()  # Syntax trees have no cycles, and many nodes: collecting doubles the time.
    findings = [finding for file in files(root, options.paths or CHECKED) for finding in check(read(file, root))]
    if options.commits or not options.paths:
        try:
            findings += check_commits(root, options.commits)
        except HistoryError as problem:
            print(f"voice: commits not checked: {problem}", file=sys.stderr)  # noqa: T201
    lines = counts(findings) if options.count else map(str, sorted(findings))
    for line in lines:
        print(line)  # noqa: T201
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
