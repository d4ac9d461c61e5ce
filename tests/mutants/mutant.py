"""A mutant: a module with one deliberate defect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One exact replacement, named after the defect.

    ``survives`` explains why no test can detect the defect; empty if a test must detect it.
    """

    name: str
    old: str
    new: str
    survives: str = ""
