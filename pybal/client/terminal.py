"""The terminal: its width and its colours, which a file or a pipe has not."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO

from pybal.core.text import escaped

_COLOURS = {"critical": "31;1", "warning": "33", "ok": "32", "head": "1"}
_LEVELS = re.compile(r"(CRITICAL|WARNING|OK)\b")
_COLUMNS = re.compile(r"\S {2,}\S")
"""A line of a table, which is cut instead of wrapped."""
_ELLIPSIS = "…"
_NARROWEST = 20


class Terminal:
    """The standard output of a command.

    ``width`` is 0 if it is not a terminal; its lines are then left as they are.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self.is_terminal = stream.isatty()
        size = shutil.get_terminal_size()
        self.width = max(_NARROWEST, size.columns) if self.is_terminal else 0
        self.height = size.lines if self.is_terminal else 0
        self._coloured = self.is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def paint(self, text: str, colour: str) -> str:
        """Return a text in a colour: critical, warning, ok or head; unchanged without colours."""
        code = _COLOURS.get(colour)
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured and code and text else text

    def lines(self, text: str) -> Iterator[str]:
        """Yield the lines of a text, wrapped to the width; the level at the beginning of an alert is coloured.

        Control characters are escaped: the text may come from another host.
        """
        for line in escaped(text).splitlines():
            indent = line[: len(line) - len(line.lstrip())]
            wrapped = [self._cut(line)]
            if 0 < self.width < len(line) and not _COLUMNS.search(line):
                wrapped = textwrap.wrap(line, self.width, subsequent_indent=f"{indent}    ", drop_whitespace=True)
            for each in wrapped:
                level = _LEVELS.match(each)
                yield f"{self.paint(level[1], level[1].lower())}{each[level.end() :]}" if level else each

    def _cut(self, line: str) -> str:
        return line[: self.width - 1] + _ELLIPSIS if 0 < self.width < len(line) else line

    def table(self, head: Sequence[str], rows: Iterable[tuple[Sequence[str], str]]) -> Iterator[str]:
        """Yield the lines of a table, cut to the width; each row has the colour of its last cell."""
        rows = list(rows)
        widths = [max(map(len, column)) for column in zip(head, *(cells for cells, _ in rows), strict=True)]
        for number, (cells, colour) in enumerate([(head, "head"), *rows]):
            line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            line = self._cut(line)
            start = 0 if number == 0 else sum(widths[:-1]) + 2 * (len(widths) - 1)
            yield line[:start] + self.paint(line[start:], colour)
