"""The seed of random tests: the day of the last commit, alike on each machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WITHOUT_GIT = 20260101


def daily_seed(variable: str) -> int:
    """Return the environment variable, by default the date of the last commit: 20261130."""
    log = subprocess.run(["git", "log", "-1", "--format=%cs"], cwd=_ROOT, capture_output=True, text=True, check=False)
    return int(os.environ.get(variable) or log.stdout.strip().replace("-", "") or _WITHOUT_GIT)
