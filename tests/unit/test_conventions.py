"""Conventions that no linter checks."""

from __future__ import annotations

import re
from pathlib import Path

PYBAL = Path(__file__).parents[2] / "pybal"
#: Python 3.11 of Debian 12 hangs in some patterns with possessive quantifiers or atomic groups.
POSSESSIVE = re.compile(r"[\])}*+?.\w][*+?]\+|\(\?>")


def test_regular_expressions_avoid_possessive_quantifiers() -> None:
    patterns = re.compile(r"""r[bf]?(\"{3}.*?\"{3}|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
    found = [
        (file.name, pattern[0])
        for file in PYBAL.rglob("*.py")
        for pattern in patterns.finditer(file.read_text())
        if POSSESSIVE.search(pattern[0])
    ]
    assert found == []


def test_periodic_calls_run_through_activities() -> None:
    # A LoopingCall ends for good by its first exception; see pybal.runtime.activity.
    found = [file.name for file in PYBAL.rglob("*.py") if "LoopingCall" in file.read_text()]
    assert found == []
