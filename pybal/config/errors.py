"""Problems of a configuration: located, on one line, shortened, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from pybal.core.text import printable

_LONGEST_SHOWN = 80
_BEFORE_AT = re.compile(r"^([a-z0-9+.-]*:/*)?.*@", re.DOTALL | re.IGNORECASE)
_CREDENTIALS = re.compile(
    r"(?:proxy-)?authorization|cookie|x-(?:[a-z0-9-]+-)?(?:token|key|secret|password)", re.IGNORECASE
)
"""Names of headers with credentials: those of HTTP, and those that applications use."""
_HEADER = re.compile(rf"((?<![\w-])(?:{_CREDENTIALS.pattern})\s*[:=]\s*)(?=\S).+", re.DOTALL | re.IGNORECASE)
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
    """Return a text with ``***`` for its secrets.

    These are in a URL everything before the last ``@``, or after ``k8s://`` without one, and the value of a header with
    credentials.
    """
    before, at, after = text.rpartition("@")
    url = _BEFORE_AT.sub(r"\1***@", before + at) + _TOKEN_WITHOUT_HOST.sub(r"\1***", after)
    return _HEADER.sub(r"\1***", url)


def names_credentials(header: str) -> bool:
    """Return whether a header of this name holds credentials."""
    return _CREDENTIALS.fullmatch(header) is not None


def shown(text: str) -> str:
    """Return a value for a message: quoted, masked, at most 80 characters."""
    text = masked(text)
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}...")
