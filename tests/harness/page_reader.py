"""Reads a view of the status page as a browser does: elements, links, rows, alerts, text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self

MARKS = {"crit", "warn", "query", "none", "ok"}
"""The classes of the words of states."""


@dataclass(slots=True)
class Row:
    """A row of a table: the group of its body or its own key, its id, and the texts of its cells."""

    group: str
    name: str
    cells: list[str] = field(default_factory=list)


class PageReader(HTMLParser):
    """The content of one page.

    ``elements`` are the names of all elements, ``links`` their targets, ``ids`` their ids in order. ``alerts`` are the texts
    of the alerts by id, ``verdict`` is its class and its text, ``words`` are the words of states, each after its class.
    """

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.title = ""
        self.rows: list[Row] = []
        self.alerts: dict[str, str] = {}
        self.verdict = ("", "")
        self.words: list[tuple[str, str]] = []
        self._deciding = False
        self._word = ""
        self._group = ""
        self._within: list[str] = []
        self._alert = ""

    @classmethod
    def of(cls, page: str) -> Self:
        """Return the content of a page."""
        reader = cls()
        reader.feed(page)
        reader.close()
        return reader

    def row(self, heading: str) -> Row:
        """Return the row with a heading."""
        (found,) = (row for row in self.rows if row.cells[:1] == [heading])
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in own), attrs
        self.elements.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        self.ids += [own["id"] or ""] if "id" in own else []
        self._within = [*self._within[-20:], tag]
        if tag in {"th", "td", "tr", "tbody"}:
            self._end_cell()
        classes = own.get("class") or ""
        if classes.startswith("verdict is-"):
            self.verdict = classes.removeprefix("verdict is-"), ""
            self._deciding = True
        elif tag in {"nav", "section"} or classes.startswith(("alerts", "cols")):
            self._deciding = False
        self._word = classes if tag in {"b", "span"} and classes in MARKS else ""
        if tag == "tbody":
            self._group = own.get("data-k") or ""
        elif tag == "tr":
            self.rows.append(Row(own.get("data-k") or self._group, own.get("id") or ""))
        elif tag in {"th", "td"} and self.rows:
            self.rows[-1].cells.append("")
        elif tag == "details":
            self._alert = own.get("id") or ""
            self.alerts[self._alert] = ""
        elif tag in {"div", "nav"} and "details" not in self._within:
            self._alert = ""

    def handle_endtag(self, tag: str) -> None:
        self._word = ""
        if tag in {"thead", "tbody", "table"}:
            self._end_cell()
        if tag == "details":
            self._alert = ""
        elif tag == "table":
            self.rows.append(Row("", ""))  # text after a table belongs to no row

    def _end_cell(self) -> None:
        if self.rows and self.rows[-1].cells:
            self.rows[-1].cells[-1] = self.rows[-1].cells[-1].rstrip()

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._within[-1:] == ["title"]:
            self.title = (self.title + data).strip()
        if self._word:
            self.words.append((self._word, data))
        if self._deciding:
            self.verdict = self.verdict[0], self.verdict[1] + data
        if self._alert:
            self.alerts[self._alert] += data
        if self.rows and self.rows[-1].cells:
            self.rows[-1].cells[-1] = (self.rows[-1].cells[-1] + data).lstrip()
