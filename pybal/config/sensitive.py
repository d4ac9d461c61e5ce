"""The sensitive parts of a configuration: its secrets, and what it exposes to other hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from pybal.config.errors import Problem
from pybal.core.text import printable


@dataclass(frozen=True, slots=True)
class Location:
    """The place of an option.

    ``line`` is 0 if unknown, ``section`` and ``option`` are empty for the whole file.
    """

    file: str
    line: int = 0
    section: str = ""
    option: str = ""

    @override
    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        section = f": [{self.section}]" if self.section else ""
        return printable(f"{self.file}{line}{section}" + (f" {self.option}" if self.option else ""))


@dataclass(frozen=True, slots=True)
class Exposure:
    """A risk at a place.

    ``found`` is the state of the ``subject``, ``why`` its consequence, ``mend`` a command or the option to set.
    """

    place: Location
    subject: str
    found: str
    why: str
    mend: str

    @property
    def problem(self) -> Problem:
        """The warning of ``pybal check-config``."""
        place = self.place
        text = f"{self.subject} {self.found}; {self.why} ({self.mend})"
        return Problem(place.file, place.line, place.section, place.option, text, "")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret at a place: in ``file``, or in the configuration itself if that is empty."""

    place: Location
    file: str = ""


@dataclass(frozen=True, slots=True)
class Sensitive:
    """The sensitive parts of ``file``.

    ``exposures`` follow from the text alone. ``instrumentation`` and ``group`` are the places of ``instrumentation_ips``
    and ``control-group``.
    """

    file: str
    exposures: tuple[Exposure, ...] = ()
    secrets: tuple[Secret, ...] = ()
    instrumentation: Location = Location("")
    group: Location = Location("")


NOTHING_SENSITIVE = Sensitive("")


def in_order(found: Iterable[Exposure]) -> tuple[Exposure, ...]:
    """Return the exposures, each once, in the order of the file."""
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.place.line))
