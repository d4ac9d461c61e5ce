"""The status page as HTML, from one snapshot. Pure. Every name and reason is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from ipaddress import IPv6Address
from urllib.parse import quote

from pybal.core.model import Alert, Pool, Report, Server, Severity, Snapshot
from pybal.core.policy import arithmetic, too_small
from pybal.core.why import why
from pybal.status.alerts import alerts, grouped, level, without_service
from pybal.status.bgp import BGP, peer_state, vip_state
from pybal.status.compat115 import Level, Tally, tally
from pybal.status.v1 import report_text

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="/page/style.css">
<script src="/page/page.js" defer></script>
</head>
<body>
<header>
<a class="name" href="/">PyBal</a>
<nav><a href="/v1/ipvs">ipvs</a><a href="/v1/bgp">bgp</a><a href="/v1/alerts">alerts</a><a href="/metrics">metrics</a></nav>
<span id="fresh"></span>
</header>
<main>
"""
_END = """
</main>
</body>
</html>
"""


def index(snapshot: Snapshot, bgp: BGP, now: float) -> Iterator[str]:
    """Yield the page of all pools: the alerts, then a row for each service, each VIP and each BGP peer."""
    shown = list[Alert]()
    for alert in alerts(snapshot):
        shown.append(alert)
        yield ""
    by_severity = sorted(shown, key=lambda alert: alert.severity is Severity.CRITICAL)
    worst = {alert.service: level(alert) for alert in by_severity}  # the last alert of a service has its highest level
    yield _HEAD.format(title="PyBal")
    yield from _alerts(shown, now)
    yield "\n"
    lacking = {alert.service for alert in shown if alert.kind == "not-in-ipvs"}
    rows = (
        _pool_row(pool, worst.get(name, Level.OK), "not in IPVS" if name in lacking else "")
        for name, pool in snapshot.pools.items()
    )
    columns = ("Service", "Address", "State", "Up", "Pooled", "Floor", "Total")
    yield from _table(columns, rows, "pools", '<tr><td colspan="7">No services are configured.</td></tr>')
    yield "\n"
    yield from _bgp(bgp, now)
    yield _END


def pool(snapshot: Snapshot, pool: Pool, now: float) -> Iterator[str]:
    """Yield the page of one pool: its arithmetic, then a row for each server with its monitor reports."""
    service = pool.service
    facts = " · ".join(
        (
            f"{service.protocol} {_endpoint(pool)}",
            service.scheduler,
            f"threshold {service.depool_threshold:g}",
            f"{arithmetic(pool)}, {tally(pool).pooled} pooled",
        )
    )
    shown = list[Alert]()
    for alert in alerts(snapshot):
        if alert.service == service.name or alert.kind == "frozen":
            shown.append(alert)
        yield ""
    yield _HEAD.format(title=f"{escape(service.name)} - PyBal")
    yield f'<h1>{escape(service.name)}</h1>\n<p class="facts">{escape(facts)}</p>\n'
    yield from _alerts(shown, now)
    yield "\n"
    empty = "The pool is empty." if pool.listed else "Waiting for the first server list."
    rows = (_server_row(server, now) for server in pool.servers.values())
    columns = ("Server", "Address", "Weight", "State", "Reason", "Monitors")
    yield from _table(columns, rows, "servers", f'<tr><td colspan="6">{empty}</td></tr>')
    yield _END


def _bgp(bgp: BGP, now: float) -> Iterator[str]:
    """Yield a table of the VIPs and one of the peers; nothing if BGP is off."""
    if not bgp.verdicts and not bgp.sessions:
        return
    vips = (
        _row(
            Level.OK if each.wanted and each.announced else Level.WARNING,
            f"<code>{each.verdict.vip}</code>",
            vip_state(each) if each.why is None else f"{vip_state(each)}: {each.why}",
            escape(each.detail),
            f"{each.verdict.announcement.med}" if each.verdict.announcement else "",
        )
        for each in bgp.deliveries()
    )
    peers = [
        _row(
            Level.OK if session.established else Level.WARNING,
            f"<code>{session.peer.address}</code>",
            escape(peer_state(session, now)),
            f"{len(session.on_wire)} of {session.wanted}",
            "" if session.established else escape(session.reason),
        )
        for session in bgp.sessions
    ]
    yield from _table(("VIP", "State", "Reason", "MED"), vips, "vips")
    yield "\n"
    if peers:
        yield from _table(("Peer", "Session", "Sent", "Last error"), peers, "peers")


def _alerts(shown: Iterable[Alert], now: float) -> Iterator[str]:
    items = (f'<li class="{level(alert)}">{_alert(alert, now)}</li>' for alert in grouped(shown))
    yield '<ul class="alerts">'
    yield from _lines(items, "<li class=ok>All pools are healthy.</li>")
    yield "\n</ul>"


def _alert(alert: Alert, now: float) -> str:
    return f"<b>{_service_link(alert.service)}</b> {escape(without_service(alert, now))}"


def _service_link(name: str) -> str:
    return f'<a href="/page/pools/{quote(name, safe="", errors="replace")}">{escape(name)}</a>' if name else "PyBal"


def _pool_row(pool: Pool, worst: Level, state: str) -> str:
    sums = tally(pool)
    return _row(
        worst,
        _service_link(pool.service.name),
        f"<code>{escape(f'{pool.service.protocol} {_endpoint(pool)}')}</code>",
        state or escape(_pool_state(pool, sums)),
        f"{sums.up}",
        f"{sums.pooled}",
        f"{sums.floor}",
        f"{sums.total}",
    )


def _pool_state(pool: Pool, sums: Tally) -> str:
    if not pool.listed:
        return "no server list yet"
    notes = (
        (sums.pooled_down, "down but pooled"),
        (sums.down - sums.pooled_down, "down"),
        (sums.unknown, "unknown"),
        (sums.total - sums.enabled, "disabled"),
    )
    states = [f"{count} {note}" for count, note in notes if count]
    return ", ".join(states + ["too small to depool"] * too_small(pool)) or "ok"


def _server_row(server: Server, now: float) -> str:
    level = Level.CRITICAL if server.pooled_down else Level.OK if server.serving else Level.WARNING
    reports = "<br>".join(_report(name, report, now) for name, report in server.reports.items())
    return _row(
        level,
        escape(server.host),
        f"<code>{server.address or 'none'}</code>",
        f"{server.member.weight}",
        escape(server.placement.value),
        escape(why(server)),
        reports or "none",
    )


def _report(name: str, report: Report | None, now: float) -> str:
    return f"<b>{escape(name)}</b> {escape(report_text(report, now))}"


def _endpoint(pool: Pool) -> str:
    vip = pool.service.vip
    return f"[{vip}]:{pool.service.port}" if isinstance(vip, IPv6Address) else f"{vip}:{pool.service.port}"


def _row(level: Level, first: str, *cells: str) -> str:
    return f'<tr class="{level}"><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(columns: Iterable[str], rows: Iterable[str], kind: str, empty: str = "") -> Iterator[str]:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    yield f'<table class="{kind}">\n<thead><tr>{head}</tr></thead>\n<tbody>'
    yield from _lines(rows, empty)
    yield "\n</tbody>\n</table>"


def _lines(lines: Iterable[str], empty: str) -> Iterator[str]:
    """Yield a line break and the line for each line; ``empty`` if the iterable is."""
    line = None
    for line in lines:
        yield f"\n{line}"
    if line is None:
        yield f"\n{empty}"
