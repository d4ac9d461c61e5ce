"""The modules of PyBal and the syntax of a file."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def nodes_of(file: Path) -> Sequence[ast.AST]:
    """Return all nodes of a file, as ``ast.walk`` yields them."""
    return tuple(ast.walk(ast.parse(file.read_text())))


def modules() -> Mapping[str, Path]:
    """Return the modules of PyBal by their dotted names, in order."""
    files = sorted((ROOT / "pybal").rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
