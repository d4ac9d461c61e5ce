"""The frame of every view: head, header, navigation, the banner of a lost contact. Pure.

The page is complete without JavaScript. ``page.js`` adds filters, and updates the page in place after each event of a stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from pybal.core.text import format_age
from pybal.runtime.clocks import age
from pybal.status.page.elements import LOST, Mark, favicon, icon, icon_of, unbroken
from pybal.status.page.facts import Facts

EVENTS = "/page/events"
"""The stream of events: ``beat`` every 5 s, ``change`` after a change of the state."""
BGP_VIEW, SOURCES_VIEW, HOST_VIEW, HISTORY_VIEW = "/page/bgp", "/page/sources", "/page/host", "/page/history"
VIEWS = (
    ("Overview", "/"),
    ("BGP", BGP_VIEW),
    ("Sources", SOURCES_VIEW),
    ("Host", HOST_VIEW),
    ("History", HISTORY_VIEW),
)
"""The links of the navigation."""
_RAW = (("API", "/v1/status"), ("metrics", "/metrics"), ("alerts", "/v1/alerts"))


@dataclass(frozen=True, slots=True)
class Heading:
    """The text and the icon of the tab of the browser: the state of the subject of a view.

    ``overall`` is the mark of the whole balancer, ``here`` the path of the view if the navigation has it.
    """

    title: str
    mark: Mark
    overall: Mark
    here: str = ""


def document(facts: Facts, heading: Heading, sections: Iterable[str]) -> Iterator[str]:
    """Yield the whole page of a view; ``sections`` are the markup of its content."""
    yield _head(facts, heading)
    yield from sections
    yield "\n</div></main></body></html>\n"


def _head(facts: Facts, heading: Heading) -> str:
    host = escape(facts.balancer.host)
    words = " ".join(filter(None, (heading.mark.glyph, escape(heading.title))))
    return f"""<!DOCTYPE html>
<html lang=en data-host="{host}" data-events={EVENTS} data-now={facts.clocks.iso_time(facts.clocks.monotonic)}>
<head>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<title>{words} · {host}</title>
<link rel=icon href="{favicon(heading.mark)}">
<link rel=stylesheet href=/page/style.css>
<script src=/page/page.js defer></script>
<noscript><meta http-equiv=refresh content=30></noscript>
</head>
<body>
<a class=skip href=#main>Skip to the content</a>
<header class=top><div><a class=host href=/>{icon_of(heading.overall)}{host}</a>
<p class=about>{"".join(f"<span>{name} <b>{escape(text)}</b></span>" for name, text in _about(facts))}</p>
<p id=live>as of {facts.clocks.iso_time(facts.clocks.monotonic)[11:19]}<span> UTC</span></p></div></header>
<nav class=views aria-label=Views>{_links(VIEWS, heading.here)}<span class=raw>{_links(_RAW)}</span></nav>
<main id=main>
{_PATTERNS}{_lost(host)}<div class=old>
"""


_PATTERNS = (
    "<svg class=defs aria-hidden=true>"
    "<pattern id=hatch width=5 height=5 patternUnits=userSpaceOnUse patternTransform=rotate(45)>"
    "<rect class=hb width=5 height=5 /><path class=hl d='M1.5 0v5'/></pattern>"
    "<pattern id=lines width=5 height=5 patternUnits=userSpaceOnUse patternTransform=rotate(45)><path class=ll d='M1.5 0v5'/></pattern>"
    "<pattern id=dots width=5 height=5 patternUnits=userSpaceOnUse>"
    "<rect class=qb width=5 height=5 /><circle class=ql cx=2.5 cy=2.5 r=1.4 /></pattern></svg>"
)
"""Hatched is down and pooled, dotted is unknown; lined is a slow check."""


def _lost(host: str) -> str:
    """Return the banner that the page shows when the stream of events is silent; ``host`` is markup."""
    return (
        f"<section class=lost aria-live=assertive>{icon(LOST)}<h2>No contact with PyBal on {host}</h2>"
        "<p>The data below may be outdated. IPVS keeps forwarding to the servers that were pooled; servers are not checked or depooled"
        " if PyBal has stopped. Retrying every 5 s.</p>"
        "<div class=when><b id=gone></b> <time>since <span id=since></span></time></div></section>"
    )


def _links(links: Iterable[tuple[str, str]], here: str = "") -> str:
    return "".join(f"<a href={path}{' aria-current=page' if path == here else ''}>{label}</a>" for label, path in links)


def _about(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the facts of the header: name and text."""
    balancer = facts.balancer
    yield "PyBal", balancer.version
    yield "up", unbroken(format_age(age(balancer.started, facts.clocks.monotonic)))
    yield from _role(facts)
    yield "mode", mode(facts)


def _role(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the role of the balancer, which follows from the MED of its announcements: a primary has 0."""
    made = [verdict.announcement for verdict in facts.bgp.verdicts if verdict.announcement]
    meds = sorted({each.med for each in made if not each.graceful_shutdown} or {each.med for each in made})
    if not facts.bgp.verdicts:
        yield "role", "no BGP"
    elif not meds:
        yield "role", "announces no VIP"
    else:
        yield "role", "primary" if not meds[-1] else "backup" if meds[0] else "primary and backup"
        yield "MED", str(meds[0]) if len(meds) == 1 else f"{meds[0]} to {meds[-1]}"


def mode(facts: Facts) -> str:
    """Return ``active``, or why the balancer does not change what it should."""
    modes = (
        "dry run" if facts.balancer.dry_run else "",
        "IPVS in memory" if facts.balancer.in_memory else "",
        "frozen" if facts.frozen else "",
    )
    return ", ".join(filter(None, modes)) or "active"
