"""A way to break a module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One exact replacement, with a name that says what it breaks.

    ``survives`` explains why no test can notice it; empty if one has to.
    """

    name: str
    old: str
    new: str
    survives: str = ""
