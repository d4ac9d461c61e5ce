"""How long things took, beside what was measured when the design was chosen: a table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Measured:
    """The lines of the table: an event, the seconds it took with each router, the figure of the design."""

    lines: list[str] = field(default_factory=list)

    def add(self, event: str, seconds: Mapping[str, float], figure: str) -> None:
        each = "  ".join(f"{kind} {taken:.3f}" for kind, taken in sorted(seconds.items()))
        self.lines.append(f"{event:<52} {each:<40} {figure}")
