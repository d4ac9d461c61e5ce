"""One section: returns converted options by name and collects every problem."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pybal.config.convert import Converter, nearest
from pybal.config.errors import InvalidValueError, Problem, masked, shown
from pybal.config.ini import RawOption, Section, expand

T = TypeVar("T")
D = TypeVar("D")

_MOST_PROBLEMS = 100
"""Problems, and warnings, that are kept of one section."""
_MOST_SUGGESTIONS = 20
_LONGEST_NAME = 60


class Suggestions:
    """Messages about the unknown options of one file.

    The nearest known name is searched for short names, and at most 20 times: each search takes up to a millisecond.
    """

    def __init__(self) -> None:
        self._left = _MOST_SUGGESTIONS

    def message(self, name: str, known: Iterable[str]) -> str:
        """Return the message about an option that is not ``known``."""
        near = ""
        if self._left and len(name) <= _LONGEST_NAME:
            self._left -= 1
            near = nearest(name, known)
        return f"unknown option (did you mean {near}?)" if near else "unknown option (see docs/reference/options.md)"


class Options:
    """The options of one section; those of DEFAULT apply if it does not set them.

    An invalid option is added to ``problems`` and read as a stand-in, to find further problems: the values are valid only
    if ``problems`` is empty. Only the first of many problems and warnings are kept; ``omitted_problems`` and
    ``omitted_warnings`` count the others. ``asked`` and ``referenced`` are the names of the options that were read and those that
    interpolation used.
    """

    def __init__(self, path: str, section: Section, defaults: Section) -> None:
        self.name = section.name
        self.line = section.line
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.omitted_problems = self.omitted_warnings = 0
        self.asked: set[str] = set()
        self.referenced: set[str] = set()
        self._path = path
        self._own = section.entries
        self._entries = ChainMap(section.entries, defaults.entries)

    def get(self, name: str, convert: Converter[T], default: D) -> T | D:
        """Return the converted value of an option, ``default`` if it is absent or invalid."""
        self.asked.add(name)
        entry = self._entries.get(name)
        if entry is None or (text := self._expanded(entry)) is None:
            return default
        try:
            return convert(text)
        except InvalidValueError as error:
            self._refuse_value(entry, text, error)
            return default

    def need(self, name: str, convert: Converter[T], stand_in: D) -> T | D:
        """Return the converted value of a required option, ``stand_in`` if it is absent or invalid."""
        if name not in self._entries:
            try:
                convert("")
            except InvalidValueError as error:
                self.refuse(name, "nothing", error.wanted)
        return self.get(name, convert, stand_in)

    def refuse(self, name: str, found: str, wanted: str) -> None:
        """Add a problem with an option of this section."""
        self._add(Problem(self._path, self.line_of(name), self.name, name, found, wanted))

    def warn(self, name: str, found: str, wanted: str = "") -> None:
        """Add a warning about an option of this section."""
        if len(self.warnings) >= _MOST_PROBLEMS:
            self.omitted_warnings += 1
        else:
            self.warnings.append(Problem(self._path, self.line_of(name), self.name, name, found, wanted))

    def refused(self, name: str) -> bool:
        """Return whether an option has a problem."""
        return any(problem.option == name for problem in self.problems)

    def line_of(self, name: str) -> int:
        """Return the line of an option, or of the section header if the option is absent."""
        entry = self._entries.get(name)
        return self.line if entry is None else entry.line

    def finish(self, known: frozenset[str], suggestions: Suggestions) -> Iterator[None]:
        """Add a warning for each unknown option of the section itself, and each invalid interpolation."""
        for entry in self._own.values():
            self._expanded(entry)
            yield
        for name in self._own:
            if name not in known and name not in self.referenced:
                self.warn(name, suggestions.message(name, known))
                yield

    def _expanded(self, entry: RawOption) -> str | None:
        if entry.broken:
            return None
        try:
            return expand(entry.text, self._text_of, self.referenced)
        except InvalidValueError as error:
            self._refuse_value(entry, entry.text, error)
            return None

    def _text_of(self, name: str) -> str | None:
        if name == "__name__":
            return self.name
        entry = self._entries.get(name)
        return None if entry is None else entry.text

    def _refuse_value(self, entry: RawOption, text: str, error: InvalidValueError) -> None:
        """Add a problem with a value at its place, which may be in DEFAULT.

        If the value holds credentials, the whole of it is shown, masked: a part of it could not be recognised as secret.
        """
        found = error.found if masked(text) == text else shown(text)
        self._add(Problem(self._path, entry.line, entry.section, entry.name, found, error.wanted))

    def _add(self, problem: Problem) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            self.omitted_problems += 1
        else:
            self.problems.append(problem)
