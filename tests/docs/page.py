"""Pages of the documentation, taken apart: blocks of code and inline code.

A page is Markdown for GitHub and for the site. Comments of HTML carry what a reader does not need:

    ``<!-- place: network -->``      the place in which the blocks of the page are run, see :mod:`tests.docs.places`;
                                 ``incident``: each section is run by the replay of the incident in tests/incidents
    ``<!-- run`` … ``-->``           a transcript that is run and not shown
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

_PLACE = re.compile(r"^<!-- place: (\w+) -->$", re.MULTILINE)
_HIDDEN = re.compile(r"<!-- run\n(.*?)-->", re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language and title, and the line of its first line."""

    page: str
    line: int
    language: str
    title: str
    content: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Page:
    """One file of Markdown; ``name`` is its path in the repository."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._tokens = MarkdownIt("commonmark").enable("table").parse(text)

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def place(self) -> str:
        """The name of the place in which its blocks are run, empty if they are not run."""
        found = _PLACE.search(self.text)
        return found[1] if found else ""

    @cached_property
    def blocks(self) -> Sequence[Block]:
        """All blocks in order; those of comments have the language ``console``, indented blocks have none."""
        return tuple(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        for token in self._tokens:
            line = token.map[0] + 1 if token.map else 0
            if token.type == "fence":
                language, _, options = token.info.strip().partition(" ")
                title = _TITLE.search(options)
                yield Block(self.name, line + 1, language, title[1] if title else "", token.content)
            elif token.type == "code_block":
                yield Block(self.name, line, "", "", token.content)
            elif token.type == "html_block" and (hidden := _HIDDEN.search(token.content)):
                yield Block(self.name, line + 1, "console", "", hidden[1])

    def inline_code(self) -> Iterator[str]:
        """Yield the text of each inline code."""
        return (token.content for token in self._inline() if token.type == "code_inline")

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()


def read(path: Path) -> Page:
    return Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def pages() -> Sequence[Page]:
    """Return all pages for readers: README.md and docs/."""
    return [read(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
