"""Small pieces of HTML, shared by all views. Pure.

A parameter named ``markup`` is HTML already; every other text is escaped here. Attributes whose value is fixed have no quotes, and
``</td>``, ``</th>``, ``</tr>`` and ``</li>`` are omitted, as HTML allows: the size of a page is bounded by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from html import escape
from urllib.parse import quote

from pybal.core.text import format_age, inflected
from pybal.runtime.clocks import Clocks, age
from pybal.status.compat115 import Level

_SAME_DAY = 20 * 3600
"""Seconds until the text of a time shows its date instead of its hour."""


class Mark(Enum):
    """The looks of a state: a class of the style sheet, which adds the glyph, and the glyph for titles."""

    CRIT = "crit", "◆"
    WARN = "warn", "▲"
    QUERY = "query", "?"
    NONE = "none", "\N{EN DASH}"
    OK = "ok", "✓"

    def __init__(self, name: str, glyph: str) -> None:
        self.css = name
        self.glyph = glyph

    @classmethod
    def of(cls, level: Level) -> Mark:
        """Return the mark of a level."""
        return {Level.CRITICAL: cls.CRIT, Level.WARNING: cls.WARN, Level.OK: cls.OK}[level]


LOST = "<circle cx='8' cy='8' r='6.4' fill='none' stroke='#7c8894' stroke-width='2.4' stroke-dasharray='3 2'/>"
"""The shape of a page without contact."""
_SHAPES = {
    Mark.NONE: "<circle cx='8' cy='8' r='7.5' fill='#5d6874'/><path d='M4.5 8h7' stroke='#fff' stroke-width='2'/>",
    Mark.QUERY: "<circle cx='8' cy='8' r='7.5' fill='#6a4fc1'/><path d='M5.6 6.2a2.4 2.4 0 1 1 2.4 2.6v1.4' fill='none'"
    " stroke='#fff' stroke-width='1.8'/><circle cx='8' cy='12.4' r='1.1' fill='#fff'/>",
    Mark.OK: "<circle cx='8' cy='8' r='7.5' fill='#1a7a49'/>"
    "<path d='M4.5 8.2l2.4 2.5 4.6-5.2' fill='none' stroke='#fff' stroke-width='2'/>",
    Mark.WARN: "<path d='M8 .8 15.7 15H.3z' fill='#e0a030'/><path d='M8 5.5v5' stroke='#1a1300' stroke-width='2'/>"
    "<circle cx='8' cy='12.7' r='1.2' fill='#1a1300'/>",
    Mark.CRIT: "<path d='M8 0l8 8-8 8-8-8z' fill='#d0202c'/><path d='M8 3.6v5' stroke='#fff' stroke-width='2.2'/>"
    "<circle cx='8' cy='11.4' r='1.3' fill='#fff'/>",
}
_ON_BAND = "<path class=face d='M8 0l8 8-8 8-8-8z'/><path class=mark d='M8 3.6v5M8 10.1v2.5'/>"
"""The critical shape on the red band: its colours follow the text."""


def icon(shape: str) -> str:
    """Return a drawing that screen readers skip: its text is beside it."""
    return f"<svg viewBox='0 0 16 16' aria-hidden=true>{shape}</svg>"


def icon_of(mark: Mark, *, on_band: bool = False) -> str:
    """Return the icon of a state."""
    return icon(_ON_BAND if on_band and mark is Mark.CRIT else _SHAPES[mark])


def favicon(mark: Mark) -> str:
    """Return the icon of a state as the URL of an image."""
    image = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{_SHAPES[mark]}</svg>"
    return f"data:image/svg+xml,{quote(image, safe=_SAFE)}"


_SAFE = " =:/'.-"


# ---- numbers and times ----


def amount(number: float) -> str:
    """Return a number with its thousands separated: ``11,020``."""
    return f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """Return ``1 server``, ``11,020 servers``, ``2 entries``."""
    return f"{number:,} {inflected(noun, number)}"


def unbroken(text: str) -> str:
    """Return a text that stays on one line: a number and its unit."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def lasted(since: float, clocks: Clocks) -> str:
    """Return the time since a monotonic time: ``21 min``."""
    return unbroken(format_age(age(since, clocks.monotonic)))


def at(moment: float, clocks: Clocks) -> str:
    """Return the time of a monotonic time in UTC: ``09:41:07``, or its date if that is long ago."""
    iso = clocks.iso_time(moment)
    return iso[11:19] if clocks.monotonic - moment < _SAME_DAY else iso[:10]


def time_since(since: float | None, clocks: Clocks) -> str:
    """Return ``since 09:41:07`` as markup; empty without a time."""
    return "" if since is None else f"<time>since {at(since, clocks)}</time>"


# ---- paths and links ----


def pool_path(service: str) -> str:
    """Return the path of the view of a pool."""
    return f"/page/pools/{_quoted(service)}"


def server_path(service: str, host: str) -> str:
    """Return the path of the view of a server."""
    return f"{pool_path(service)}/{_quoted(host)}"


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="replace")


def link(path: str, label: str) -> str:
    """Return a link; quoting has made the path safe."""
    return f"<a href={path}>{escape(label)}</a>"


def pool_link(service: str) -> str:
    """Return a link to a pool; ``PyBal`` without a service."""
    return link(pool_path(service), service) if service else "PyBal"


# ---- states, rows, cards ----


def state(mark: Mark, text: str) -> str:
    """Return the word of a state with its glyph and colour."""
    tag = "b" if mark is Mark.CRIT else "span"
    return f"<{tag} class={mark.css}>{escape(text)}</{tag}>"


def verdict(mark: Mark, headline: str, detail: str, since: float | None, clocks: Clocks, *, tag: str = "h1") -> str:
    """Return the sentence that answers "is it bad?", with its age."""
    when = ""
    if since is not None:
        when = f"<div class=when><b>{lasted(since, clocks)}</b> {time_since(since, clocks)}</div>"
    return (
        f"<div class='verdict is-{mark.css}'>{icon_of(mark, on_band=True)}"
        f"<{tag} aria-live=polite>{escape(headline)}</{tag}><p>{escape(detail)}</p>{when}</div>"
    )


def card(name: str, title: str, note: str, items: Iterable[str], more: str = "") -> str:
    """Return a small list beside the pools: ``name`` is its id, ``items`` and ``more`` are markup."""
    rows = "".join(f"<li>{item}" for item in items)
    last = f"<p class=more>{more}</p>" if more else ""
    return f"<section class=card id={name}><h2>{title}<span>{escape(note)}</span></h2><ul>{rows}</ul>{last}</section>"


def item(left: str, right: str, text: str = "") -> str:
    """Return the item of a card: two markups in a line, and a text below."""
    below = f"<p>{escape(text)}</p>" if text else ""
    return f"<div>{left}{right}</div>{below}"


def table(
    classes: str, caption: str, columns: Iterable[str], bodies: Iterable[str], *, name: str = ""
) -> Iterator[str]:
    """Yield a table; ``bodies`` are markups of ``<tbody>``, and ``name`` is its id."""
    heads = "".join(f"<th scope=col>{column}" for column in columns)
    own = f" id={name}" if name else ""
    yield f"<table class='{classes}'{own}><caption class=only>{caption}</caption><thead><tr>{heads}</thead>"
    yield from bodies
    yield "</table>"
    if name == "list":
        yield "<p id=none class=soft hidden>No row matches. Press Escape to clear the filter.</p>"


def row(first: str, *cells: str, name: str = "", key: str = "", cause: str = "") -> str:
    """Return a row of a table: its heading ``first`` and its cells are markup.

    ``name`` is its id; the chip with the same ``key`` selects it, and the filter finds it also by its ``cause``.
    """
    own = f' id="{escape(name)}"' if name else ""
    own += f' data-k="{key}"' if key else ""
    own += f' data-why="{escape(cause)}"' if cause else ""
    return f"<tr class=r{own}><th scope=row>{first}{''.join(f'<td>{cell}' for cell in cells)}\n"


def tools(title: str, chips: Iterable[tuple[str, str, int]] = (), *, search: str = "") -> str:
    """Return a heading with the controls of the table below.

    ``chips`` filter by state: key, markup and number of each; ``search`` is the label of the filter; empty for no filter.
    """
    shown = "".join(
        f"<button data-k='{key}' aria-pressed={'false' if key else 'true'}>{label} <span class=soft>{amount(number)}</span></button>"
        for key, label, number in chips
    )
    group = f"<div class='chips show' role=group aria-label=Show>{shown}</div>" if shown else ""
    box = f"<input type=search id=q placeholder='Filter ( / )' aria-label='{search}'>" if search else ""
    return f"<div class=tools><h2>{title}</h2>{group}{box}</div>"


def foot(markup: str) -> str:
    """Return the last paragraph of a view."""
    return f"<p class=foot>{markup} This page is read-only. Times are UTC.</p>"
