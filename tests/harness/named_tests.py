"""Tables of documents that name tests, as the index of incidents and docs/security.md do."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows(text: str) -> dict[str, list[str]]:
    """Return the tests of each row by its first cell, from all tables whose last column is ``test``."""
    found: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if not cells:
            inside = inside and line.startswith("|")
        elif cells[-1] == "test":
            inside = True
        elif inside:
            found[cells[0]] = cells[-1].replace("`", "").strip("| ").split(", ")
    return found


def missing(name: str) -> str:
    """Return the part of ``file::class::function`` that does not exist, empty if all do."""
    file, *parts = name.split("::")
    if not (file.startswith("tests/") and Path(file).name.startswith("test_") and (ROOT / file).is_file()):
        return file or "no test"
    return next((part for part in parts if part not in _defined(file)), "")


@cache
def _defined(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef))
