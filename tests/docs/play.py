"""Run the blocks of a page in its place, in order, and compare the outputs.

``python -m tests.docs.play PAGE…`` prints the differences. With ``--record`` it writes the actual outputs into the page instead: for
new pages, and after an intended change of a text. As root; a page with the place ``guest`` is run in a guest by its test only.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs import transcript
from tests.docs.page import Page, read
from tests.docs.place import Place, Result
from tests.docs.places import PLACES
from tests.docs.transcript import Step

PATIENCE = 120.0
"""Seconds in which the output of a command that only reads becomes as expected."""

#: Commands that change nothing are repeated until their output is as expected.
_READING = re.compile(
    r"(?:on \w+ |for .*; do on \w+ )?(?:pybal (status|pools|explain|alerts|history|preflight|plan|diff|doctor|check-config|replay(?! --mask))\b"
    r"|(check_pybal|curl|cat|ls|ping|ipvsadm -(L|S)|ip (-\S+ )*(a|addr|r|route)\b|birdc show|vtysh -c .show|journalctl|systemctl is-active)\b)"
)
_TITLE = re.compile(r"(?:(?P<host>\w+):)?(?P<path>/.*)")


@dataclass(frozen=True, slots=True)
class _Written:
    """A file of a host that a block shows."""

    host: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Played:
    """A step that was run."""

    step: Step
    result: Result
    expected: bool


def play(page: Page, place: Place, patience: float = PATIENCE) -> Iterator[Played]:
    """Run the blocks of a page: write the files of blocks with a title, run the commands of transcripts."""
    todo = list(_todo(page))
    place.begin({each.host for each in todo})
    for each in todo:
        if isinstance(each, Step):
            yield _run(each, place, patience)
        else:
            place.write(each.host, each.path, each.text)


def _todo(page: Page) -> Iterator[Step | _Written]:
    for block in page.blocks:
        if block.language == "console":
            yield from transcript.parse(block.content, block.line)
        elif title := _TITLE.fullmatch(block.title):
            yield _Written(title["host"] or "", title["path"], block.content)


def _run(step: Step, place: Place, patience: float) -> Played:
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        result = place.run(step.host, step.command)
        expected = transcript.matches(step.output, result.output) and (result.status == 0 or bool(step.output))
        if expected or time.monotonic() > deadline or not _READING.match(step.command):
            return Played(step, result, expected)
        # A command costs a guest two seconds of CPU: leave half of the time to the daemon.
        time.sleep(max(0.5, time.monotonic() - began))


def difference(page: Page, played: Played) -> str:
    """Return the message about an output that is not as expected."""
    step, result = played.step, played.result
    return (
        f"{page.name}:{step.line}: {step.prompt}{step.command}\nexit status {result.status}\n"
        f"-- expected\n{step.output}-- actual\n{result.output}"
    )


def record(page: Page, place: Place) -> str:
    """Return the text of a page with the actual outputs."""
    lines = page.text.splitlines(keepends=True)
    moved = 0
    for played in play(page, place, patience=3.0):
        if not played.expected:
            if played.result.status and not played.step.output:
                sys.stdout.write(difference(page, played))
            begin = played.step.line + played.step.command.count("\n") + moved
            old, new = played.step.output.splitlines(keepends=True), played.result.output.splitlines(keepends=True)
            indent = re.match(r" *", lines[begin - 1])[0]  # type: ignore[index]  # always matches
            lines[begin : begin + len(old)] = [f"{indent}{line.rstrip()}\n" for line in new]
            moved += len(new) - len(old)
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write the actual outputs into the page")
    parser.add_argument("pages", nargs="+", type=Path)
    options = parser.parse_args()
    failed = 0
    for path in options.pages:
        page = read(path.resolve())
        with PLACES[page.place]() as place:
            if options.record:
                path.write_text(record(page, place), encoding="utf-8")
            else:
                for played in play(page, place):
                    failed += not played.expected
                    if not played.expected:
                        sys.stdout.write(difference(page, played))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
