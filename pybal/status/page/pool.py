"""The view of one pool: its floor, the reasons of failures, its servers and decisions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pybal.core.decision import Decision
from pybal.core.model import Alert, Pool
from pybal.core.text import end_of, first_of, format_age
from pybal.runtime.clocks import Clocks
from pybal.status.bgp import vip_state
from pybal.status.page.alert_list import Kind, alert_list, beyond_verdict, kinds
from pybal.status.page.document import Heading, document
from pybal.status.page.elements import (
    amount,
    at,
    counted,
    foot,
    pool_path,
    unbroken,
    verdict,
)
from pybal.status.page.facts import Facts, collected, worst
from pybal.status.page.failures import Failure, failures_of
from pybal.status.page.pool_floor import floor_section
from pybal.status.page.pool_servers import grid, servers
from pybal.status.page.states import State, numbers
from pybal.status.page.traffic import loads

_DECISIONS = 8
_REASONS = 6
_NAMED = 3


def pool_view(facts: Facts, pool: Pool) -> Iterator[str]:
    """Yield the view of one pool."""
    found = yield from collected(facts)
    own = [alert for alert in found if alert.service == pool.service.name or alert.kind == "frozen"]
    by_kind = kinds(own)
    title = f"{pool.service.name}: {_headline(by_kind[0])}" if by_kind else pool.service.name
    yield from document(facts, Heading(title, worst(own), worst(found)), _sections(facts, pool, own, by_kind))


def _sections(facts: Facts, pool: Pool, own: Sequence[Alert], by_kind: Sequence[Kind]) -> Iterator[str]:
    name, states = pool.service.name, numbers(pool)
    failures = yield from failures_of(pool)
    yield f"<p class=crumbs><a href=/>Overview</a> / pool</p><div class=title><h1>{escape(name)}</h1></div>"
    yield f"<p class=facts>{''.join(f'<span>{fact}</span>' for fact in _facts(facts, pool))}</p>"
    yield pool_verdict(pool, own, by_kind, facts.clocks)
    yield from alert_list(beyond_verdict(by_kind), facts.clocks, name)
    yield "<div class='cols wider'>"
    yield from floor_section(pool, states)
    if failures:
        yield _reasons(failures)
    yield "</div>"
    if states:
        yield from grid(pool, states)
    yield from _decisions(facts, pool)
    load = yield from loads(facts.findings, pool.service)
    yield from servers(pool, load, facts.clocks)
    yield foot(
        f"Connections are those of IPVS, read {unbroken(format_age(facts.findings.age))} ago."
        f" In a terminal: <code>pybal explain {escape(name)}</code>, <code>pybal history {escape(name)}</code>."
    )


def _facts(facts: Facts, pool: Pool) -> Iterator[str]:
    """Yield the facts below the heading as markup."""
    service = pool.service
    flags = f" ({', '.join(service.scheduler_flags)})" if service.scheduler_flags else ""
    yield f"{service.protocol} <b class=mono>{end_of(service.vip, service.port)}</b>"
    yield f"scheduler <b>{escape(service.scheduler)}</b>{escape(flags)}"
    yield f"monitors <b>{escape(', '.join(service.monitors) or 'none')}</b>"
    for name, source in facts.sources:
        if name == service.name:
            yield f"source <b>{escape(source.name)}</b>, {unbroken(format_age(source.age))} old"
    for delivery in facts.bgp.deliveries():
        if delivery.verdict.vip == service.vip:
            yield f"VIP <b>{escape(vip_state(delivery))}</b>"


def pool_verdict(pool: Pool, own: Sequence[Alert], by_kind: Sequence[Kind], clocks: Clocks) -> str:
    """Return the verdict on a pool: its worst alert."""
    mark = worst(own)
    if not by_kind:
        every = counted(len(pool.servers), "server")
        return verdict(
            mark,
            f"All {every} serve" if State.SERVING in numbers(pool) else "Healthy",
            "No alerts.",
            None,
            clocks,
            tag="h2",
        )
    first = by_kind[0]
    detail = "; ".join([first.members[0].text, *(kind.headline for kind in by_kind[1:] if kind.mark is mark)])
    return verdict(mark, _headline(first), detail, first.since, clocks, tag="h2")


def _headline(kind: Kind) -> str:
    return _HEADLINES.get(kind.name, kind.headline)


_HEADLINES = {"no-servers": "No server takes new connections", "not-in-ipvs": "IPVS lacks the service or its servers"}


def _reasons(failures: Sequence[Failure]) -> str:
    total = sum(failure.number for failure in failures)
    items = "".join(
        f'<li><b>{amount(failure.number)}</b><button data-q="{escape(failure.cause)}">{escape(failure.text)}</button>'
        f"<svg aria-hidden=true><rect class=d width={100 * failure.number / total:.3g}% height=4 /></svg>"
        for failure in failures[:_REASONS]
    )
    others = (
        f"<p class=more>and {counted(len(failures) - _REASONS, 'other reason')}</p>" if len(failures) > _REASONS else ""
    )
    return (
        f"<section class=card id=reasons><h2>Why servers are down <span>{amount(total)}</span></h2>"
        f"<ul class=reasons>{items}</ul>{others}</section>"
    )


def _decisions(facts: Facts, pool: Pool) -> Iterator[str]:
    decisions = list(facts.history(pool.service.name).decisions)
    if decisions:
        path = f"/v1{pool_path(pool.service.name).removeprefix('/page')}/history"
        yield f"<section class=card id=decisions><h2>Decisions <a href={path}>last {amount(len(decisions))}</a></h2><ol class=log>"
        for decision in reversed(decisions[-_DECISIONS:]):
            yield _decision(decision, facts.clocks)
        yield "</ol></section>\n"


def _decision(decision: Decision, clocks: Clocks) -> str:
    number = len(decision.hosts) + decision.others
    subject = decision.hosts[0] if number == 1 else counted(number, "server")
    named = "" if number == 1 else f"{first_of(decision.hosts, _NAMED)}: "
    reasons = list(dict.fromkeys(decision.reasons))
    more = f" and {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    return (
        f"<li><time>{at(decision.at, clocks)}</time><div>{escape(f'{subject} {decision.verb}')}"
        f"<p>{escape(f'{named}{reasons[0]}{more}. {decision.arithmetic}')}</p></div>"
    )
