"""One section: returns converted options by name and collects every problem."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from pybal.config.convert import Converter, any_text, nearest
from pybal.config.correction import correction
from pybal.config.errors import InvalidValueError, Problem, masked, shown
from pybal.config.ini import RawOption, Section, expand
from pybal.config.sensitive import Exposure, Location, Secret

T = TypeVar("T")
D = TypeVar("D")

_MOST_PROBLEMS = 100
"""Problems, and warnings, that are kept of one section."""
_MOST_SUGGESTIONS = 20
_SIMILAR = 0.65
_MOST_CORRECTIONS = 100
_LONGEST_NAME = 60


NO_PLACES: Mapping[str, frozenset[str]] = MappingProxyType({})


class Suggestions:
    """Suggestions about the unknown options and the invalid values of one file.

    The nearest known name is searched for short names, and at most 20 times: each search takes up to a millisecond. A correction
    takes a few, in its own step.
    """

    def __init__(self, places: Mapping[str, frozenset[str]] = NO_PLACES) -> None:
        """Take the known options by the place to which they belong."""
        self._places = places
        self._left = _MOST_SUGGESTIONS
        self._corrections_left = _MOST_CORRECTIONS

    def corrected(self, text: str, convert: Converter[object]) -> str:
        """Return the value that was probably meant by an invalid one, empty if it cannot be guessed."""
        self._corrections_left -= 1
        return correction(text, convert) if self._corrections_left >= 0 else ""

    def message(self, name: str, known: Iterable[str], used: Iterable[str] = ()) -> str:
        """Return the message about an option that is not ``known``.

        It may be one of those ``used``, without its prefix.
        """
        if place := next((place for place, names in self._places.items() if name in names), ""):
            return f"unknown option in this section (move it to {place})"
        if whole := next((option for option in sorted(used) if option.endswith(f".{name}")), ""):
            return f"unknown option (did you mean {whole}?)"
        near = ""
        if self._left and len(name) <= _LONGEST_NAME:
            self._left -= 1
            near = nearest(name, known, least=_SIMILAR)
        return f"unknown option (did you mean {near}?)" if near else "unknown option (see man pybal.conf)"


class Options:
    """The options of one section; those of DEFAULT apply if it does not set them.

    An invalid option is added to ``problems`` and read as a stand-in, to find further problems: the values are valid only
    if ``problems`` is empty. Only the first of many problems and warnings are kept; ``omitted_problems`` and
    ``omitted_warnings`` count the others. ``exposures`` and ``secrets`` are the sensitive parts. ``asked`` and ``referenced`` are the names of the options that were read and those that
    interpolation used.
    """

    def __init__(self, path: str, section: Section, defaults: Section) -> None:
        self.name = section.name
        self.line = section.line
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.omitted_problems = self.omitted_warnings = 0
        self.exposures: list[Exposure] = []
        self.secrets: list[Secret] = []
        self.asked: set[str] = set()
        self.referenced: set[str] = set()
        self._invalid: dict[int, tuple[RawOption, str, Converter[object]]] = {}
        self._path = path
        self._own = section.entries
        self._entries = ChainMap(section.entries, defaults.entries)

    def get(self, name: str, convert: Converter[T], default: D) -> T | D:
        """Return the converted value of an option, ``default`` if it is absent or invalid."""
        self.asked.add(name)
        entry = self._entries.get(name)
        if entry is None or (text := self._expanded(entry, convert)) is None:
            return default
        try:
            return convert(text)
        except InvalidValueError as error:
            self._refuse_value(entry, text, error, convert)
            return default

    def need(self, name: str, convert: Converter[T], stand_in: D) -> T | D:
        """Return the converted value of a required option, ``stand_in`` if it is absent or invalid."""
        if name not in self._entries:
            if problem := self._indented().get(name):
                self._add_once(problem)
            elif error := _error(convert, ""):
                self.refuse(name, "nothing", error.wanted)
        return self.get(name, convert, stand_in)

    def refuse(self, name: str, found: str, wanted: str, meant: str = "") -> None:
        """Add a problem with an option of this section; ``meant`` is the corrected line."""
        self._add(Problem(self._path, self.line_of(name), self.name, name, found, wanted, meant))

    def warn(self, name: str, found: str, wanted: str = "") -> None:
        """Add a warning about an option of this section."""
        self._warn(Problem(self._path, self.line_of(name), self.name, name, found, wanted))

    def expose(self, name: str, subject: str, found: str, why: str, mend: str) -> None:
        """Add an exposure by an option of this section; see :class:`Exposure`."""
        self.exposures.append(Exposure(self.place_of(name), subject, found, why, mend))

    def add_secret(self, name: str, file: str = "") -> None:
        """Add a secret that an option holds, or that is in a file that it names."""
        self.secrets.append(Secret(self.place_of(name), file))

    def place_of(self, name: str) -> Location:
        """Return the place of an option, which may be in [DEFAULT], or in [global] for a peer."""
        entry = self._entries.get(name)
        return Location(self._path, self.line_of(name), self.name if entry is None else entry.section, name)

    @property
    def is_valid(self) -> bool:
        """The absence of problems."""
        return not self.problems and not any(entry.broken for entry in self._entries.values())

    def sets(self, name: str) -> bool:
        """Return whether the section sets an option, or [DEFAULT] does."""
        return name in self._entries

    def has_own(self, names: Iterable[str]) -> bool:
        """Return whether the section itself sets one of the options."""
        return any(name in self._own for name in names)

    def sets_only(self, names: Container[str]) -> bool:
        """Return whether the section sets options, all of them among ``names``."""
        return bool(self._own) and all(name in names for name in self._own)

    def refused(self, name: str) -> bool:
        """Return whether an option has a problem."""
        return any(problem.option == name for problem in self.problems)

    def line_of(self, name: str) -> int:
        """Return the line of an option, or of the section header if the option is absent."""
        entry = self._entries.get(name)
        return self.line if entry is None else entry.line

    def finish(self, known: frozenset[str], suggestions: Suggestions) -> Iterator[None]:
        """Add corrections to the problems, and a warning for each unknown option of the section itself.

        Invalid interpolations of options that were not read are refused.
        """
        for entry in self._own.values():
            if entry.name not in self.asked:
                self._expanded(entry, any_text)
            yield
        for index, (entry, text, convert) in self._invalid.items():
            if value := suggestions.corrected(text, convert):
                self.problems[index] = replace(self.problems[index], meant=f"{entry.name} = {value}")
            yield
        for problem in self._indented().values():
            if not self.refused(problem.option):
                self._warn(problem)
        for name in self._own:
            if name not in known and name not in self.referenced:
                self.warn(name, suggestions.message(name, known, known.intersection(self.asked)))
                yield

    def _expanded(self, entry: RawOption, convert: Converter[object]) -> str | None:
        if entry.broken:
            return None
        try:
            return expand(entry.text, self._text_of, self.referenced)
        except InvalidValueError as error:
            if "%(" not in entry.text:  # a lone per cent sign, in a value that may be invalid as a whole
                error = _error(convert, entry.text) or error
            self._refuse_value(entry, entry.text, error, convert)
            return None

    def _text_of(self, name: str) -> str | None:
        if name == "__name__":
            return self.name
        entry = self._entries.get(name)
        return None if entry is None else entry.text

    def _refuse_value(self, entry: RawOption, text: str, error: InvalidValueError, convert: Converter[object]) -> None:
        """Add a problem with a value at its place, which may be in DEFAULT.

        If the value holds credentials, the whole of it is shown, masked: a part of it could not be recognised as secret.
        """
        found = error.found if masked(text) == text else shown(text)
        problem = Problem(self._path, entry.line, entry.section, entry.name, found, error.wanted)
        if entry.swallowed and entry.name in self._own:
            self._add_once(self._indented_in(entry, *entry.swallowed))
            return
        if any(replace(known, meant="") == problem for known in self.problems):
            return
        if len(self.problems) < _MOST_PROBLEMS and "%(" not in entry.text and convert is not any_text:
            self._invalid[len(self.problems)] = entry, text, convert
        self._add(problem)

    def _indented(self) -> Mapping[str, Problem]:
        """Return the problems of indented lines that look like options, by the name of the option."""
        found = (self._indented_in(entry, *entry.swallowed) for entry in self._own.values() if entry.swallowed)
        return {problem.option: problem for problem in found}

    def _indented_in(self, entry: RawOption, number: int, line: str) -> Problem:
        name = "" if line.startswith("[") else re.split(r"\s*[=:]", line, maxsplit=1)[0].lower()
        found = f"an indented line, which continues {entry.name} (line {entry.line})"
        meant = line if masked(line) == line else ""
        return Problem(self._path, number, entry.section, name, found, "it in the first column", meant)

    def _add_once(self, problem: Problem) -> None:
        if problem not in self.problems:
            self._add(problem)

    def _warn(self, problem: Problem) -> None:
        if len(self.warnings) >= _MOST_PROBLEMS:
            self.omitted_warnings += 1
        else:
            self.warnings.append(problem)

    def _add(self, problem: Problem) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            self.omitted_problems += 1
        else:
            self.problems.append(problem)


def _error(convert: Converter[object], text: str) -> InvalidValueError | None:
    try:
        convert(text)
    except InvalidValueError as error:
        return error
    return None
