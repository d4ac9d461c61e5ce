"""A table of measured times, printed at the end of a run beside the figures of the design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Measured:
    """The lines of the table: an event, its seconds with each router, the figure of the design."""

    lines: list[str] = field(default_factory=list)

    def add(self, event: str, seconds: Mapping[str, float], figure: str) -> None:
        each = "  ".join(f"{kind} {taken:.3f}" for kind, taken in sorted(seconds.items()))
        self.lines.append(f"{event:<52} {each:<40} {figure}")
