"""Replay incidents in a guest: ``python -m tests.incidents.run 2013-04-18``; without a date, all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.docs.page import ROOT
from tests.harness.guest.suite import run_tests

_REPLAYS = "tests/incidents/in_guest"


def replays(date: str = "") -> Sequence[str]:
    """Return the files of the replays, of all days or of one."""
    found = sorted((ROOT / _REPLAYS).glob(f"test_{date.replace('-', '_')}*.py"))
    return [path.relative_to(ROOT).as_posix() for path in found]


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay incidents in a guest.")
    parser.add_argument("--draft", action="store_true", help="print outputs that differ from the page, and go on")
    parser.add_argument("dates", nargs="*", default=[""], metavar="YYYY-MM-DD")
    options = parser.parse_args()
    files = [file for date in options.dates for file in replays(date)]
    if not files:
        parser.error("no replay of that day")
    return run_tests(["-s", *files], sys.stdout.buffer, ["INCIDENT_DRAFT=1"] if options.draft else [])


if __name__ == "__main__":
    sys.exit(main())
