"""The findings of a check of the host, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """The severity of a finding."""

    FAIL = "fail"
    """A function of PyBal does not work, or will fail when it is needed."""
    WARN = "warn"
    """PyBal works, but clients will see errors occasionally."""
    UNKNOWN = "unknown"
    """The state cannot be read."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """The found and wanted state, the reason and the fixing command; the last three may be empty."""

    about: str
    grade: Grade
    found: str
    wanted: str = ""
    why: str = ""
    mend: str = ""

    @property
    def text(self) -> str:
        """The state as text: ``VIP 192.0.2.1: on no device, wanted on lo or a dummy device``."""
        return f"{self.about}: {self.found}" + (f", wanted {self.wanted}" if self.wanted else "")


_TO_MEND = (Grade.FAIL, Grade.WARN)


def to_mend(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return the failures, then the warnings."""
    return [finding for grade in _TO_MEND for finding in findings if finding.grade is grade]


def report(findings: Sequence[Finding]) -> str:
    """Return all findings as lines in order of severity, and a summary."""
    return "".join(f"{line}\n" for line in _lines(findings))


def document(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return all findings as JSON."""
    return [{**asdict(finding), "grade": str(finding.grade)} for finding in findings]


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(map(len, Grade))
    for grade in Grade:
        for finding in findings:
            if finding.grade is grade:
                yield f"{grade:{width}}  {finding.text}"
                for label, detail in (("why", finding.why), ("fix", finding.mend)):
                    if detail:
                        yield f"{'':{width}}  {label}: {detail}"
    yield ", ".join(f"{sum(finding.grade is grade for finding in findings)} {grade}" for grade in Grade)
