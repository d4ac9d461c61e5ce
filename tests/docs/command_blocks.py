"""Commands that a page names and does not run: their programs, targets and arguments exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO

from pybal.client.arguments import COMMANDS, read_arguments
from tests.docs.page import ROOT, Block

_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_NAMES = {command.name for command in COMMANDS}


def is_checkable(block: Block) -> bool:
    """Return whether all commands of a block are ones whose arguments can be checked."""
    return block.language == "sh" and all(
        words and (words[0] in {"make", "pybal"} or words[1:2] == ["-m"]) for words in _commands(block)
    )


def problems(block: Block) -> Iterator[str]:
    """Yield the commands of a block whose target, module or arguments are invalid."""
    for words in _commands(block):
        if not _is_valid(words):
            yield f"{block}: {shlex.join(words)}"


def is_valid_in_text(code: str) -> bool:
    """Return whether inline code does not begin with `pybal`, or names one of its commands."""
    words = code.split()
    return words[:1] != ["pybal"] or len(words) == 1 or not words[1][0].islower() or words[1] in _NAMES


def _commands(block: Block) -> Iterator[list[str]]:
    for line in block.content.splitlines():
        yield shlex.split(line, comments=True)


def _is_valid(words: list[str]) -> bool:
    if words[0] == "make":
        return set(words[1:]) <= set(_TARGET.findall((ROOT / "Makefile").read_text()))
    if words[1:2] == ["-m"]:
        return (ROOT / words[2].replace(".", "/")).with_suffix(".py").exists()
    try:
        with redirect_stderr(StringIO()):
            read_arguments(words[1:])
    except SystemExit:
        return False
    return True
