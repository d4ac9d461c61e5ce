"""The view of the pool sources, and of refused lists with the command to accept them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from html import escape

from pybal.core.model import Alert, Pool
from pybal.core.text import first_of, format_age
from pybal.sources.pool_source import PoolSource
from pybal.status.page.alert_list import kinds, summary
from pybal.status.page.document import SOURCES_VIEW, Heading, document
from pybal.status.page.elements import (
    Mark,
    amount,
    card,
    counted,
    foot,
    lasted,
    pool_link,
    row,
    state,
    table,
    tools,
    unbroken,
)
from pybal.status.page.facts import Facts, collected, worst

KINDS = frozenset(("source", "removed", "unverified"))
"""The kinds of alert about pool sources."""

_COLUMNS = ("Service", "State", "Source", "Servers", "Read", "Changed", "Errors", "Problem")
_NAMED = 5


def sources_view(facts: Facts) -> Iterator[str]:
    """Yield the view of the pool sources."""
    found = yield from collected(facts)
    own = [alert for alert in found if alert.kind in KINDS]
    yield from document(facts, Heading("sources", worst(own), worst(found), SOURCES_VIEW), _sections(facts, own))


def _sections(facts: Facts, own: Sequence[Alert]) -> Iterator[str]:
    sources = list(facts.sources)
    by_kind = kinds(own)
    current = sum(source.problem is None for _, source in sources)
    headline = f"{amount(current)} of {counted(len(sources), 'source')} current"
    yield from summary(by_kind, headline, "No alerts of sources.", facts.clocks)
    yield from _refused(facts, sources)
    yield from _table(facts, sources)
    yield foot("In a terminal: <code>pybal alerts</code>. All facts: <a href=/v1/sources>/v1/sources</a>.")


def _refused(facts: Facts, sources: Sequence[tuple[str, PoolSource]]) -> Iterator[str]:
    """Yield what each refused list would change, and the command to accept it."""
    refused = [(name, members) for name, source in sources if (members := source.refused) is not None]
    if refused:
        items = []
        for name, members in refused:
            pool = facts.snapshot.pools[name]
            hosts = {member.host for member in members}
            removed = [host for host in pool.servers if host not in hosts]
            added = [host for host in hosts if host not in pool.servers]
            command = f"pybal accept {shlex.quote(name)} --reason TEXT"
            items.append(
                f"<b>{pool_link(name)}</b> {escape(_change('removes', removed, pool))};"
                f" {escape(_change('adds', sorted(added), pool))}<p><code>{escape(command)}</code></p>"
            )
            yield ""
        yield card("refused", "Refused lists", "the last accepted list stays in use", items)


def _change(verb: str, hosts: Sequence[str], pool: Pool) -> str:
    if not hosts:
        return f"{verb} no server"
    return f"{verb} {len(hosts)} of {counted(len(pool.servers), 'server')}: {first_of(hosts, _NAMED)}"


def _table(facts: Facts, sources: Sequence[tuple[str, PoolSource]]) -> Iterator[str]:
    odd = [each for each in sources if each[1].problem is not None]
    good = [each for each in sources if each[1].problem is None]
    groups = (("problem", "With a problem", odd), ("current", "Current", good))
    chips = [(key, title, len(own)) for key, title, own in groups if own]
    yield "<section>"
    yield tools("Sources", [("", "All", len(sources)), *chips], search="Filter services and sources")
    bodies = (body for key, _, own in groups if own for body in _body(facts, key, own))
    yield from table("origins lines report", "Pool sources, those with a problem first", _COLUMNS, bodies, name="list")
    yield "</section>\n"


def _body(facts: Facts, key: str, own: Sequence[tuple[str, PoolSource]]) -> Iterator[str]:
    yield f"<tbody data-k={key}>"
    for name, source in own:
        yield _row(facts, name, source)


def _row(facts: Facts, name: str, source: PoolSource) -> str:
    pool = facts.snapshot.pools[name]
    problem = (source.problem or "").removeprefix(f"{source.name}: ")
    changed = "never" if source.last_change is None else lasted(source.last_change, facts.clocks)
    read = "never" if source.last_success is None else unbroken(format_age(source.age))
    return row(
        pool_link(name),
        _state(source, pool),
        f"<span class=mono>{escape(source.name)}</span>",
        amount(len(pool.servers)),
        read,
        changed,
        amount(sum(source.errors.values())),
        escape(problem),
        name=f"source-{name}",
    )


def _state(source: PoolSource, pool: Pool) -> str:
    if source.problem is None:
        return state(Mark.OK, "current") if pool.listed else state(Mark.QUERY, "waiting")
    if source.stale:
        return state(Mark.WARN, "saved list")
    if source.refused is not None:
        return state(Mark.WARN, "refused")
    return state(Mark.WARN, "last list") if pool.listed else state(Mark.CRIT, "no list")
