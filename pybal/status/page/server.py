"""The view of one server: what would bring it back, its checks, its past, the pools it is in. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from html import escape

from pybal.core.model import Alert, Pool, Server
from pybal.core.policy import floor, serving
from pybal.ipvs.model import Endpoint
from pybal.monitors.base import Monitor
from pybal.runtime.clocks import Clocks
from pybal.status.explain import address_text, enabled_text, next_change, remedy
from pybal.status.page.document import Heading, document
from pybal.status.page.elements import (
    Mark,
    amount,
    counted,
    foot,
    link,
    pool_link,
    server_path,
    state,
    tools,
    verdict,
)
from pybal.status.page.facts import Facts, collected, worst
from pybal.status.page.failures import reason_of, since_of
from pybal.status.page.pool_servers import rate
from pybal.status.page.server_checks import last_check, timeline
from pybal.status.page.server_past import past_section
from pybal.status.page.states import BY_SEVERITY, State, state_of
from pybal.status.page.traffic import Load, loads
from pybal.status.v1 import report_text

_LISTED = 20
"""Pools of the server that are listed."""
_HEADLINES = {
    State.SERVING: "Serving",
    State.WEIGHTLESS: "Pooled with weight 0: it takes no new connections",
    State.UNKNOWN_POOLED: "Pooled without a result yet",
    State.SUSPECT: "Down, but pooled: the check is under suspicion",
    State.FORCED: "Down, but pooled: it receives traffic",
    State.DOWN: "Down and not pooled",
    State.UNKNOWN: "Not pooled: no result or no address yet",
    State.DISABLED: "Disabled: not pooled",
}


def server_view(facts: Facts, pool: Pool, server: Server) -> Iterator[str]:
    """Yield the view of one server of a pool."""
    found = yield from collected(facts)
    kind = state_of(server.condition)
    mark = worst(alert for alert in found if _names(alert, pool.service.name, server.host))
    mark = kind.mark if mark is Mark.OK else mark
    heading = Heading(f"{server.host}: {kind.word}", mark, worst(found))
    yield from document(facts, heading, _sections(facts, pool, server, mark))


def _names(alert: Alert, service: str, host: str) -> bool:
    """Return whether an alert of a service names a host."""
    hosts = alert.data.get("hosts")
    named = isinstance(hosts, Sequence) and not isinstance(hosts, str) and host in hosts
    return alert.service == service and (named or alert.subject.split(" ")[0] == host)


def _sections(facts: Facts, pool: Pool, server: Server, mark: Mark) -> Iterator[str]:
    service, host, clocks = pool.service.name, server.host, facts.clocks
    kind = state_of(server.condition)
    monitors = list(facts.monitors_of(service, host))
    pools = [each for each in facts.snapshot.pools.values() if host in each.servers]
    load = yield from _loads(facts, pools, host)
    yield f"<p class=crumbs><a href=/>Overview</a> / {pool_link(service)} / server</p>"
    yield f"<div class=title><h1>{escape(host)}</h1>{state(kind.mark, kind.word)}</div>"
    yield f"<p class=facts>{''.join(f'<span>{name} <b>{text}</b></span>' for name, text in _facts(server, pools, load.get(service)))}</p>"
    yield verdict(mark, _HEADLINES[kind], _detail(pool, server, kind), since_of(server), clocks, tag="h2")
    yield f"<div class='cols even'>{_conditions(facts, pool, server, monitors)}{_last(monitors, clocks)}</div>"
    past = facts.history(service)
    last = next(reversed(list(past.decisions_on(host))), None)
    for monitor in monitors:
        yield from timeline(monitor, last, clocks)
    yield from past_section(host, past, kind, facts.balancer.started, clocks)
    yield from _pools(pools, host, load)
    name = escape(shlex.join((service, host)))
    yield foot(
        f"In a terminal: <code>pybal explain {name}</code>, <code>pybal history {name}</code>. To take it out on this balancer:"
        f" <code>pybal depool {name} --for 1h --reason TEXT</code>."
    )


def _loads(facts: Facts, pools: Sequence[Pool], host: str) -> Generator[str, None, Mapping[str, Load]]:
    """Return the load of a host in each service that has a destination for it."""
    found: dict[str, Load] = {}
    for pool in pools:
        address = pool.servers[host].address
        of_pool: Mapping[Endpoint, Load] = yield from loads(facts.findings, pool.service)
        if address is not None and (load := of_pool.get((address, pool.service.port))) is not None:
            found[pool.service.name] = load
    return found


def _facts(server: Server, pools: Sequence[Pool], load: Load | None) -> Iterator[tuple[str, str]]:
    yield "address", f"<span class=mono>{server.address or 'none'}</span>"
    yield "weight", amount(server.member.weight)
    yield "pools", amount(len(pools))
    if load is not None:
        yield "active", amount(load.active)
        yield "inactive", amount(load.inactive)
        if load.rate is not None:
            yield "new", f"{rate(load.rate)}/s"


def _detail(pool: Pool, server: Server, kind: State) -> str:
    reason = reason_of(server)
    if kind is State.FORCED:
        return (
            f"{reason}. The floor of {pool.service.name} keeps it: {serving(pool)} serve, the floor is {floor(pool)}."
        )
    return reason


def _conditions(facts: Facts, pool: Pool, server: Server, monitors: Sequence[Monitor]) -> str:
    """Return the card with a line for each condition, met or not."""
    clocks, service = facts.clocks, pool.service.name
    lines = [_watched(server, monitor, clocks) for monitor in monitors]
    if server.member.enabled and not monitors:
        lines.append((not pool.service.monitors, "No monitor checks it", ""))
    override = facts.override(service, server.host)
    lines.append((server.member.enabled, f"<b>{escape(enabled_text(server).capitalize())}</b>", override))
    lines.append((server.ready, f"<b>{escape(address_text(server))}</b>", ""))
    if not server.member.weighted:
        lines.append((False, "<b>Weight 0</b>: no new connections", ""))
    if facts.frozen:
        lines.append((False, "<b>Frozen</b>: IPVS stays as it is", facts.frozen))
    items = "".join(
        f"<li{' class=done' if done else ''}><div>{markup}{f'<p>{escape(text)}</p>' if text else ''}</div>"
        for done, markup, text in lines
    )
    title = "Why it serves" if server.serving and server.pooled else "To bring it back"
    outlook = escape(remedy(pool, server, monitors, clocks.monotonic))
    return f"<section class=card id=back><h2>{title}</h2><ol class=back>{items}</ol><p class='more soft'>{outlook}</p></section>"


def _watched(server: Server, monitor: Monitor, clocks: Clocks) -> tuple[bool, str, str]:
    report = server.reports.get(monitor.name)
    told = escape(report_text(report, clocks.monotonic))
    text = next_change(monitor, clocks.monotonic)
    return report is not None and report.up, f"<b>{escape(monitor.name)}</b> {told}", text[0].upper() + text[1:]


def _last(monitors: Sequence[Monitor], clocks: Clocks) -> str:
    """Return the last check of the first monitor that is down, else of the first one with a result."""
    in_order = sorted(monitors, key=lambda monitor: monitor.up is not False)
    return next(filter(None, (last_check(monitor, clocks) for monitor in in_order)), "")


def _pools(pools: Sequence[Pool], host: str, load: Mapping[str, Load]) -> Iterator[str]:
    yield f"<section id=pools>{tools('Pools')}<div class=wide><table class=lines><thead><tr>"
    yield "".join(f"<th scope=col>{name}" for name in ("Pool", "State", "Why"))
    yield "".join(f"<th scope=col class=num>{name}" for name in ("Weight", "Active", "New/s"))
    yield "</thead><tbody>"
    worst_first = sorted(pools, key=lambda pool: BY_SEVERITY.index(state_of(pool.servers[host].condition)))
    for pool in worst_first[:_LISTED]:
        yield _pool(pool, pool.servers[host], load.get(pool.service.name))
    more = f"<p class=more>and {counted(len(pools) - _LISTED, 'more pool')}</p>" if len(pools) > _LISTED else ""
    yield f"</table></div>{more}</section>\n"


def _pool(pool: Pool, server: Server, load: Load | None) -> str:
    kind = state_of(server.condition)
    name = pool.service.name
    active = "" if load is None else amount(load.active)
    new = "" if load is None or load.rate is None else rate(load.rate)
    return (
        f"<tr><th scope=row>{link(server_path(name, server.host), name)}<td>{state(kind.mark, kind.word)}"
        f"<td class=why>{escape(reason_of(server))}<td class=num data-h=weight>{amount(server.member.weight)}"
        f"<td class=num data-h=active>{active}<td class=num data-h=new/s>{new}\n"
    )
