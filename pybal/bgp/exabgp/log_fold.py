"""Folds the log lines that ExaBGP repeats, such as those of each attempt to connect to a peer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FOLD_SECONDS = 600.0
"""Time after a line in which equal ones are counted."""
MOST_LINES = 200
"""Different lines that are remembered."""

_NUMBER = re.compile(r"(?<![0-9A-Fa-f.:])[0-9]+(?![0-9A-Fa-f.:])")
"""A number that is no part of an address, such as that of the attempt in ``outgoing-7``."""


@dataclass(slots=True)
class _Line:
    """A line that was logged at ``since``, and the number of lines like it after that."""

    text: str
    since: float
    more: int = 0


class LogFold:
    """Admits the first of the lines that differ in numbers only; times are monotonic seconds."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def admit(self, text: str, now: float) -> bool:
        """Return whether to log a line; if not, it is counted."""
        kind = _NUMBER.sub("#", text)
        line = self._lines.get(kind)
        if line is not None:
            line.text = text
            line.more += 1
            return False
        if len(self._lines) >= MOST_LINES:
            return True  # the others are known: no summary is lost
        self._lines[kind] = _Line(text, now)
        return True

    def ended(self, now: float) -> Iterator[str]:
        """Yield a summary of each line that was counted, and forget the others, when its time has passed."""
        for kind, line in list(self._lines.items()):
            if now - line.since < FOLD_SECONDS:
                continue
            if line.more:
                yield f"{line.text} ({line.more} more in {now - line.since:.0f} s)"
                line.since, line.more = now, 0
            else:
                del self._lines[kind]
