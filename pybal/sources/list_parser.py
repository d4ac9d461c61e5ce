"""Parses pool lists in short steps between other work of the loop."""

from __future__ import annotations

from collections.abc import Sequence

from pybal.core.model import Member
from pybal.runtime.turns import Turns
from pybal.sources.base import SourceError
from pybal.sources.formats.text import Format, Listing, parsing


class ListParser:
    """The parser of one source.

    It remembers the last list until :meth:`forget`: a list that is refused is read again at each interval, but not parsed.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._data: bytes | None = None
        self._last: Sequence[Member] | None = None
        self._outcome: Listing | SourceError | None = None

    async def parse(self, data: bytes, name: str, last: Sequence[Member] | None, form: Format | None = None) -> Listing:
        """Return the list in ``data``; see :func:`pybal.sources.formats.text.parsing`.

        Raises :class:`SourceError`.
        """
        if self._outcome is None or data != self._data or last is not self._last:
            self._outcome = None
            try:
                self._outcome = await self._turns.run(parsing(data, name, last, form))
            except SourceError as refused:
                self._outcome = refused
            self._data, self._last = data, last
        if isinstance(self._outcome, SourceError):
            raise SourceError(str(self._outcome), self._outcome.trouble)
        return self._outcome

    def forget(self) -> None:
        """Forget the last list, because it was accepted."""
        self._data = self._last = self._outcome = None
