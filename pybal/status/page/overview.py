"""The view of all pools: verdict, alerts, tiles, pools by severity, and cards beside them. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TypeAlias

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
from pybal.status.page.failures import failures_of
from pybal.status.page.states import bar, numbers, words
from pybal.status.page.tiles import tiles

ByMark: TypeAlias = Mapping[Mark, Sequence[Pool]]

_GROUPS = (
    ("critical", "Critical", Mark.CRIT),
    ("degraded", "Degraded", Mark.WARN),
    ("healthy", "Healthy", Mark.OK),
)
"""The groups of pools: key of their rows, title and mark."""
_COLUMNS = ("Service", "Address", "Servers by state", "State", "Serving", "Floor", "Since")
_ALIKE = 6
"""The least number of pools of one severity with the same cause that are a group."""
_UNFOLDED = 3
"""Pools of such a group that are shown at first."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pools of one severity; with a ``cause``, most of their failed servers fail for it."""

    key: str
    title: str
    mark: Mark
    pools: Sequence[Pool]
    cause: str = ""


def overview(facts: Facts) -> Iterator[str]:
    """Yield the view of all pools."""
    found = yield from collected(facts)
    worst_of = _worst_of_services(found)
    by_mark = _by_mark(facts.snapshot.pools, worst_of)
    groups: list[Group] = []
    for key, title, mark in _GROUPS:
        groups += yield from _split(Group(key, title, mark, by_mark[mark]))
    mark = worst(found)
    titles = {Mark.CRIT: "critical", Mark.WARN: "degraded"}
    title = counted(len(found), "alert") if found else ""
    if mark in titles and by_mark[mark]:
        title = f"{len(by_mark[mark])} {titles[mark]}"
    yield from document(facts, Heading(title, mark, mark, "/"), _sections(facts, found, by_mark, groups, worst_of))


def _worst_of_services(found: Sequence[Alert]) -> Mapping[str, Alert]:
    """Return the worst alert of each service, the oldest of them; alerts are critical first."""
    worst_of: dict[str, Alert] = {}
    for alert in found:
        before = worst_of.setdefault(alert.service, alert)
        if level(before) is level(alert) and (alert.since or 0.0) < (before.since or 0.0):
            worst_of[alert.service] = alert
    return worst_of


def _by_mark(pools: Mapping[str, Pool], worst_of: Mapping[str, Alert]) -> ByMark:
    found: dict[Mark, list[Pool]] = {mark: [] for _, _, mark in _GROUPS}
    for name, pool in pools.items():
        found[Mark.of(level(worst_of[name]) if name in worst_of else Level.OK)].append(pool)
    return found


def _split(group: Group) -> Generator[str, None, Sequence[Group]]:
    """Return the group without the pools that fail alike, and a group for each common cause."""
    by_cause: dict[str, list[Pool]] = {}
    for pool in group.pools if group.mark is not Mark.OK else ():
        failures = yield from failures_of(pool)
        by_cause.setdefault(failures[0].cause if failures else "", []).append(pool)
    common = {cause: pools for cause, pools in by_cause.items() if cause and len(pools) >= _ALIKE}
    apart = {pool.service.name for pools in common.values() for pool in pools}
    rest = [pool for pool in group.pools if pool.service.name not in apart]
    alike = [replace(group, pools=pools, cause=cause) for cause, pools in common.items()]
    return [*([replace(group, pools=rest)] if rest else []), *alike]


def _sections(
    facts: Facts, found: Sequence[Alert], by_mark: ByMark, groups: Sequence[Group], worst_of: Mapping[str, Alert]
) -> Iterator[str]:
    by_kind = kinds(found)
    yield _verdict(facts, found, by_kind, by_mark)
    yield from alert_list(by_kind, facts.clocks)
    yield from tiles(facts, {mark: len(pools) for mark, pools in by_mark.items()})
    yield "<div class=cols>"
    yield from _pools(facts, by_mark, groups, worst_of)
    yield "<div class=side>"
    yield from cards(facts)
    yield "</div></div>\n"
    yield foot(
        "Bars: full height is pooled, a stub is not; solid is up, hatched is down (forced), dotted is unknown."
        " The line is the floor. In a terminal: <code>pybal status</code>, <code>pybal alerts</code>."
    )


def _verdict(facts: Facts, found: Sequence[Alert], by_kind: Sequence[Kind], by_mark: ByMark) -> str:
    mark = worst(found)
    since = min(
        (alert.since for alert in found if Mark.of(level(alert)) is mark and alert.since is not None), default=None
    )
    detail = "; ".join(kind.headline for kind in by_kind if kind.mark is mark) or "No alerts."
    return verdict(mark, _headline(facts, found, by_kind, by_mark), detail, since, facts.clocks)


def _headline(facts: Facts, found: Sequence[Alert], by_kind: Sequence[Kind], by_mark: ByMark) -> str:
    total, critical, degraded = len(facts.snapshot.pools), len(by_mark[Mark.CRIT]), len(by_mark[Mark.WARN])
    every = counted(total, "service")
    if critical or degraded:
        number, word = (critical, "critical") if critical else (degraded, "degraded")
        also = f", {degraded} degraded" if critical and degraded else ""
        isolated = any((alert.kind, alert.subject) == ("checker", "isolated") for alert in found)
        cause = ": this balancer may be isolated" if isolated else ""
        return f"{f'All {every}' if number == total > 1 else f'{number} of {every}'} {word}{also}{cause}"
    also = f", {by_kind[0].headline}" if by_kind else ""
    return f"{'All ' if total > 1 else ''}{every} healthy{also}"


def _pools(facts: Facts, by_mark: ByMark, groups: Sequence[Group], worst_of: Mapping[str, Alert]) -> Iterator[str]:
    chips = [(key, title, len(by_mark[mark])) for key, title, mark in _GROUPS if by_mark[mark]]
    yield "<section>"
    yield tools("Pools", [("", "All", len(facts.snapshot.pools)), *chips], search="Filter services and addresses")
    bodies = (piece for group in groups for piece in _body(group, facts, worst_of))
    yield from table("pools cards", "Pools, the worst first", _COLUMNS, bodies, name="list")
    yield "</section>\n"


def _body(group: Group, facts: Facts, worst_of: Mapping[str, Alert]) -> Iterator[str]:
    cause = f"<p>{escape(group.cause)}</p>" if group.cause else ""
    fold = f" data-fold={_UNFOLDED}" if group.cause else ""
    name = escape(" ".join(filter(None, (group.key, group.cause))))
    yield (
        f'<tbody id="{name}" data-k={group.key}{fold}><tr class=g><th colspan={len(_COLUMNS)} scope=rowgroup class={group.mark.css}>'
        f"{group.title} <span class=soft>{amount(len(group.pools))}</span>{cause}\n"
    )
    for pool in group.pools:
        yield _row(pool, worst_of.get(pool.service.name), facts)


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
