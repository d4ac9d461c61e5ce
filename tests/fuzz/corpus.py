"""The kept inputs of a target: each runs a pair of lines in a row that no shorter one runs."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.target import Target

CORPORA = Path(__file__).parent / "corpora"
_PYBAL = str(Path(__file__).parents[2] / "pybal") + "/"

Steps = set[tuple[CodeType, int, int]]
"""Pairs of lines that ran one after the other, with their function."""


def kept(target: Target) -> list[bytes]:
    """Return the seeds and the kept inputs of a target."""
    return [*target.seeds, *(file.read_bytes() for file in sorted((CORPORA / target.name).glob("*")))]


def name_of(data: bytes) -> str:
    """Return the name of the file of an input."""
    return hashlib.sha256(data).hexdigest()[:12]


def chosen(target: Target, inputs: Iterable[bytes], before: Iterable[bytes] = ()) -> list[bytes]:
    """Return the inputs that run a step which neither a shorter one nor one of ``before`` runs."""
    seen: Steps = set()
    for data in before:
        with traced(seen):
            target.run(data)
    found = []
    for data in sorted(set(inputs), key=lambda each: (len(each), each)):
        known = len(seen)
        with traced(seen):
            target.run(data)
        if len(seen) > known:
            found.append(data)
    return found


@contextmanager
def traced(seen: Steps) -> Iterator[None]:
    """Add the steps that run in ``pybal`` to those seen."""

    def enter(frame: FrameType, event: str, _argument: Any) -> Any:
        if event != "call" or not frame.f_code.co_filename.startswith(_PYBAL):
            return None
        last = 0
        code = frame.f_code

        def step(at: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            seen.add((code, last, at.f_lineno))
            last = at.f_lineno
            return step

        return step

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(previous)


def lines_of(path: Path) -> set[int]:
    """Return the numbers of the lines with code inside the functions of a file."""
    found: set[int] = set()
    waiting = [each for each in compile(path.read_text(), str(path), "exec").co_consts if isinstance(each, CodeType)]
    while waiting:
        code = waiting.pop()
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
        is_class = "__qualname__" in code.co_names
        if not is_class:
            found |= {line for _, _, line in code.co_lines() if line and line > code.co_firstlineno}
    return found


def coverage(target: Target, inputs: Iterable[bytes]) -> dict[str, tuple[int, int]]:
    """Return for each module of a target the lines in its functions that the inputs run, and all of them."""
    seen: Steps = set()
    for data in inputs:
        with traced(seen):
            target.run(data)
    ran: dict[str, set[int]] = {}
    for code, _, line in seen:
        ran.setdefault(code.co_filename, set()).add(line)
    found = {}
    for module in target.parses:
        path = Path(_PYBAL).parent / (module.replace(".", "/") + ".py")
        lines = lines_of(path)
        found[module] = len(lines & ran.get(str(path), set())), len(lines)
    return found
