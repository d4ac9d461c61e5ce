"""Transcripts of a terminal: commands with their outputs, and the comparison of outputs.

A line with a prompt, ``$ ``, ``# ``, ``lvs1# `` or ``root@lvs1:~# ``, is a command, on the host that the prompt names; the lines until
the next prompt are its output. A command that ends in a backslash continues in the next line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

_PROMPT = re.compile(r"(?:(?:\w+@)?(?P<host>[a-z]\w*)(?::~)?)?[$#] (?P<command>.*)")
_DURATION = r"\d+(?:\.\d+)? (?:ms|s|min|h|d)\b"
_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
_VERSION = r"\d+\.\d+\.\d+"
_VARIABLE = re.compile(rf"(\.\.\.|{_TIME}|{_VERSION}(?=, process)|{_DURATION}| {{2,}})")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a transcript and its expected output; ``host`` is empty if the prompt names none."""

    line: int
    prompt: str
    host: str
    command: str
    output: str


def parse(text: str, first: int) -> Sequence[Step]:
    """Return the steps of a transcript that begins in line ``first``.

    Raises ValueError for output without a command.
    """
    steps: list[Step] = []
    lines = text.splitlines()
    while lines:
        line = first + len(text.splitlines()) - len(lines)
        match = _PROMPT.fullmatch(lines.pop(0))
        if match is None:
            raise ValueError(f"line {line}: a transcript begins with a prompt: `$ `, or `root@lvs1:~# `")
        command = match["command"]
        while command.endswith("\\"):
            command += "\n" + lines.pop(0)
        output = []
        while lines and not _PROMPT.fullmatch(lines[0]):
            output.append(lines.pop(0) + "\n")
        prompt = match[0].removesuffix(match["command"])
        steps.append(Step(line, prompt, match["host"] or "", command, "".join(output)))
    return steps


def matches(expected: str, actual: str) -> bool:
    """Return whether an output is as expected.

    Three dots stand for any text, and alone in a line for any lines. All durations, such as ``12 s``, are equal, and so are
    all times, such as ``2026-11-29T22:03:29.771Z``, the versions of ``pybal status``, and gaps of two or more blanks.
    """
    pattern = "".join(map(_pattern, expected.splitlines()))
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in actual.splitlines())) is not None


def _pattern(line: str) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*"
    pieces = _VARIABLE.split(line.rstrip())
    literal, variable = map(re.escape, pieces[::2]), map(_any_text, pieces[1::2])
    return "".join(chain(*zip_longest(literal, variable, fillvalue=""))) + r"\n"


def _any_text(variable: str) -> str:
    if variable == "...":
        return ".*"
    if variable.isspace():
        return " {2,}"
    return next(form for form in (_TIME, _VERSION, _DURATION) if re.match(form, variable))
