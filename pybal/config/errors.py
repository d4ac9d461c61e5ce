"""Problems of a configuration: located, on one line, shortened, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from pybal.core.text import printable

_LONGEST_SHOWN = 80
_BEFORE_AT = re.compile(r"^([a-z0-9+.-]*:/*)?.*@", re.DOTALL | re.IGNORECASE)
_TOKEN_WITHOUT_HOST = re.compile(r"\b(k8s:/*).+", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or a warning about a configuration, and its place.

    ``line`` is 0 if unknown. ``section`` and ``option`` are empty if the problem concerns the whole file, line or section.
    ``found`` and ``wanted`` are phrases; values in them are quoted, shortened and without credentials. If ``wanted`` is
    empty, ``found`` is the whole message. ``meant`` is the corrected line, if it can be guessed.
    """

    file: str
    line: int
    section: str
    option: str
    found: str
    wanted: str
    meant: str = ""

    @override
    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:" if self.line else f"{self.file}:"
        if self.section:
            place += f" [{self.section}]"
        if self.option:
            place += f" {self.option}:"
        text = f"found {self.found}; expected {self.wanted}" if self.wanted else self.found
        return printable(f"{place} {text}" + (f". Did you mean: {self.meant}" if self.meant else ""))


class ConfigError(Exception):
    """An invalid configuration, with all of its problems in the order of the file.

    Its ``warnings`` may explain a problem: a missing option may be a misspelt one.
    """

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        super().__init__("\n".join(map(str, self.problems)))


class InvalidValueError(ValueError):
    """An invalid value; ``found`` and ``wanted`` are phrases, as in :class:`Problem`.

    ``meant`` is a valid text that resembles the text ``meant_for``, a part of the value or the whole.
    """

    def __init__(self, found: str, wanted: str, *, meant: str = "", meant_for: str = "") -> None:
        self.found = found
        self.wanted = wanted
        self.meant = meant
        self.meant_for = meant_for
        super().__init__(f"found {found}; expected {wanted}")


def masked(text: str) -> str:
    """Return a URL with ``***`` for everything before the last ``@``, or after ``k8s://`` without one."""
    before, at, after = text.rpartition("@")
    return _BEFORE_AT.sub(r"\1***@", before + at) + _TOKEN_WITHOUT_HOST.sub(r"\1***", after)


def shown(text: str) -> str:
    """Return a value for a message: quoted, masked, at most 80 characters."""
    text = masked(text)
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")
