"""What a look at the host came to, and how it is told: lines for people, JSON for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How bad it is."""

    FAIL = "fail"
    """Something does not work, or will not when it is needed."""
    WARN = "warn"
    """It works, but clients will notice sometimes."""
    UNKNOWN = "unknown"
    """It cannot be seen from here."""
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is, what should be, why, and the command that mends it; of the last three what there is to say."""

    about: str
    grade: Grade
    found: str
    wanted: str = ""
    why: str = ""
    mend: str = ""

    @property
    def text(self) -> str:
        """The fact: ``VIP 192.0.2.1: on no device, wanted on lo or a dummy device``."""
        return f"{self.about}: {self.found}" + (f", wanted {self.wanted}" if self.wanted else "")


_TO_MEND = (Grade.FAIL, Grade.WARN)


def to_mend(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return those that there is something to do about, the worst first."""
    return [finding for grade in _TO_MEND for finding in findings if finding.grade is grade]


def report(findings: Sequence[Finding]) -> str:
    """Return all findings in lines, the worst first, and a sum."""
    return "".join(f"{line}\n" for line in _lines(findings))


def document(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return the facts as JSON can hold them."""
    return [{**asdict(finding), "grade": str(finding.grade)} for finding in findings]


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(map(len, Grade))
    for grade in Grade:
        for finding in findings:
            if finding.grade is grade:
                yield f"{grade:{width}}  {finding.text}"
                for name in ("why", "mend"):
                    if said := getattr(finding, name):
                        yield f"{'':{width}}  {name}: {said}"
    yield ", ".join(f"{sum(finding.grade is grade for finding in findings)} {grade}" for grade in Grade)
