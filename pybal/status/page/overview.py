"""The view of all pools: verdict, alerts, tiles, pools by severity, and cards beside them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from pybal.core.model import Alert, Pool
from pybal.core.outage import outage
from pybal.core.policy import floor, serving
from pybal.core.text import end_of
from pybal.status.alerts import level
from pybal.status.compat115 import Level
from pybal.status.page.alert_list import Kind, alert_list, kinds
from pybal.status.page.beside import cards
from pybal.status.page.document import Heading, document
from pybal.status.page.elements import (
    Mark,
    amount,
    counted,
    foot,
    lasted,
    link,
    pool_path,
    row,
    state,
    table,
    tools,
    verdict,
)
from pybal.status.page.facts import Facts, collected, worst
from pybal.status.page.states import bar, numbers, words
from pybal.status.page.tiles import tiles

_GROUPS = (("critical", "Critical", Mark.CRIT), ("degraded", "Degraded", Mark.WARN), ("healthy", "Healthy", Mark.OK))
"""The groups of pools: class of their rows, title and mark."""
_COLUMNS = ("Service", "Address", "Servers by state", "State", "Serving", "Floor", "Since")


def overview(facts: Facts) -> Iterator[str]:
    """Yield the view of all pools."""
    found = yield from collected(facts)
    of_services = _worst_of_services(found)
    groups = _grouped(facts.snapshot.pools, of_services)
    counts = {mark: len(groups[mark]) for _, _, mark in _GROUPS}
    mark = worst(found)
    title = {Mark.CRIT: f"{counts[Mark.CRIT]} critical", Mark.WARN: f"{counts[Mark.WARN]} degraded"}.get(mark, "")
    heading = Heading(title, mark, mark, "/")
    yield from document(facts, heading, _sections(facts, found, groups))


def _worst_of_services(found: Sequence[Alert]) -> Mapping[str, Alert]:
    """Return the worst alert of each service, the oldest of them; alerts are critical first."""
    worst_of: dict[str, Alert] = {}
    for alert in found:
        before = worst_of.setdefault(alert.service, alert)
        if level(before) is level(alert) and (alert.since or 0.0) < (before.since or 0.0):
            worst_of[alert.service] = alert
    return worst_of


def _grouped(pools: Mapping[str, Pool], worst_of: Mapping[str, Alert]) -> Mapping[Mark, Sequence[str]]:
    groups: dict[Mark, list[str]] = {mark: [] for _, _, mark in _GROUPS}
    for name in pools:
        groups[Mark.of(level(worst_of[name]) if name in worst_of else Level.OK)].append(name)
    return groups


def _sections(facts: Facts, found: Sequence[Alert], groups: Mapping[Mark, Sequence[str]]) -> Iterator[str]:
    by_kind = kinds(found)
    yield _verdict(facts, found, by_kind, groups)
    yield from alert_list(by_kind, facts.clocks)
    yield from tiles(facts, groups)
    yield "<div class=cols>"
    yield from _pools(facts, groups, _worst_of_services(found))
    yield "<div class=side>"
    yield from cards(facts)
    yield "</div></div>\n"
    yield foot(
        "Bars: full height is pooled, a stub is not; solid is up, hatched is down (forced), dotted is unknown."
        " The line is the floor. In a terminal: <code>pybal status</code>, <code>pybal alerts</code>."
    )


def _verdict(
    facts: Facts, found: Sequence[Alert], by_kind: Sequence[Kind], groups: Mapping[Mark, Sequence[str]]
) -> str:
    total = len(facts.snapshot.pools)
    critical, degraded = len(groups[Mark.CRIT]), len(groups[Mark.WARN])
    mark = worst(found)
    since = min(
        (alert.since for alert in found if Mark.of(level(alert)) is mark and alert.since is not None), default=None
    )
    detail = "; ".join(kind.headline for kind in by_kind if kind.mark is mark)
    if critical:
        more = f", {degraded} degraded" if degraded else ""
        headline = f"{critical} of {counted(total, 'service')} critical{more}"
    elif degraded:
        headline = f"{degraded} of {counted(total, 'service')} degraded"
    elif found:
        headline = f"All {counted(total, 'service')} healthy; {by_kind[0].headline}"
        detail = by_kind[0].detail
    else:
        headline = f"All {counted(total, 'service')} healthy"
        detail = "No alerts."
    return verdict(mark, headline, f"{detail}", since, facts.clocks)


def _pools(facts: Facts, groups: Mapping[Mark, Sequence[str]], worst_of: Mapping[str, Alert]) -> Iterator[str]:
    chips = [(key, title, len(groups[mark])) for key, title, mark in _GROUPS if groups[mark]]
    yield "<section>"
    yield tools("Pools", [("", "All", len(facts.snapshot.pools)), *chips], search="Filter services and addresses")
    yield from table("pools cards", "Pools, the worst first", _COLUMNS, _bodies(facts, groups, worst_of), name="list")
    yield "</section>\n"


def _bodies(facts: Facts, groups: Mapping[Mark, Sequence[str]], worst_of: Mapping[str, Alert]) -> Iterator[str]:
    for key, title, mark in _GROUPS:
        if names := groups[mark]:
            yield (
                f"<tbody data-k={key}><tr class=g><th colspan={len(_COLUMNS)} class={mark.css}>{title}"
                f" <span class=soft>{amount(len(names))}</span>\n"
            )
            for name in names:
                yield _row(facts.snapshot.pools[name], worst_of.get(name), facts)


def _row(pool: Pool, alert: Alert | None, facts: Facts) -> str:
    service, found, reason = pool.service, numbers(pool), outage(pool)
    shown = words(found)
    if alert is not None and alert.kind == "not-in-ipvs":
        shown = f"{state(Mark.CRIT, 'not in IPVS')} {shown}"
    elif reason:
        shown = f"{state(Mark.CRIT, 'no new connections' if pool.listed else 'no server list yet')} {shown}"
    since = "" if alert is None or alert.since is None else f"<time>{lasted(alert.since, facts.clocks)}</time>"
    return row(
        link(pool_path(service.name), service.name),
        escape(f"{service.protocol} {end_of(service.vip, service.port)}"),
        bar(pool, found, empty=bool(reason)),
        shown.strip() or "healthy",
        f"{amount(serving(pool))}/{amount(len(pool.servers))}",
        amount(floor(pool)),
        since,
    )
