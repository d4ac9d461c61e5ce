"""What no linter knows of this project."""

from __future__ import annotations

import re
from pathlib import Path

PYBAL = Path(__file__).parents[2] / "pybal"
POSSESSIVE = re.compile(r"[\])}*+?.\w][*+?]\+|\(\?>")


def test_no_regular_expression_is_possessive_since_debian_12s_python_hangs_in_them() -> None:
    patterns = re.compile(r"""r[bf]?(\"{3}.*?\"{3}|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
    found = [
        (file.name, pattern[0])
        for file in PYBAL.rglob("*.py")
        for pattern in patterns.finditer(file.read_text())
        if POSSESSIVE.search(pattern[0])
    ]
    assert found == []
