"""What is wrong with a configuration, and how it is worded: on one line, shortened, never with credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pybal.core.text import printable

_LONGEST_SHOWN = 80
_BEFORE_AT = re.compile(r"^([a-z0-9+.-]*:/*)?.*@", re.DOTALL | re.IGNORECASE)
_TOKEN_WITHOUT_HOST = re.compile(r"\b(k8s:/*).+", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or doubtful, in a configuration, and where.

    ``line`` is 0 where it is not known. ``section`` and ``option`` are empty where the problem is that of the whole file,
    line or section. ``found`` and ``wanted`` are phrases; a value in them is quoted, shortened and without credentials.
    """

    file: str
    line: int
    section: str
    option: str
    found: str
    wanted: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        if self.section:
            place += f" [{self.section}]"
        if self.option:
            place += f" {self.option}:"
        return printable(f"{place} found {self.found}, wanted {self.wanted}")


class ConfigError(Exception):
    """A configuration that is refused, with all of its problems in the order of the file.

    ``warnings`` are what is doubtful in it besides: an option that is missing may be one that is misspelt.
    """

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidValueError(ValueError):
    """A value that is not what was wanted; both are phrases, as in :class:`Problem`."""

    def __init__(self, found: str, wanted: str) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(f"found {found}, wanted {wanted}")


def masked(text: str) -> str:
    """Return a URL without credentials: ``***`` for all before the last ``@``, or after ``k8s://`` without one."""
    before, at, after = text.rpartition("@")
    return _BEFORE_AT.sub(r"\1***@", before + at) + _TOKEN_WITHOUT_HOST.sub(r"\1***", after)


def shown(text: str) -> str:
    """Return a value as it may stand in a message: quoted, masked, at most 80 characters of it."""
    text = masked(text)
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")
