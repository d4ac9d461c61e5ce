"""Documents of the daemon as tables and lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pybal.client.terminal import Terminal
from pybal.core.text import format_age, numbered, printable

Document = Mapping[str, Any]

OK, WARNING, CRITICAL = 0, 1, 2
"""The exit statuses of a check of Icinga."""
_POOLS = ("SERVICE", "ADDRESS", "SERVING", "POOLED", "FORCED", "FLOOR", "STATE")
_SERVERS = ("HOST", "ADDRESS", "WEIGHT", "PLACEMENT", "STATE")
_ABBREVIATED = 3


def pools(document: Mapping[str, Document], terminal: Terminal, groups: Sequence[Document] = ()) -> Iterator[str]:
    """Yield a table of all pools; ``groups`` are the present alerts."""
    lacking = _not_in_ipvs(groups)
    return terminal.table(_POOLS, (_pool_row(each, lacking) for each in document.values()))


def pool(document: Document, terminal: Terminal, groups: Sequence[Document] = ()) -> Iterator[str]:
    """Yield a table of one pool, and one of its servers; ``groups`` are the present alerts."""
    yield from terminal.table(_POOLS, [_pool_row(document, _not_in_ipvs(groups))])
    yield ""
    yield from terminal.table(_SERVERS, map(_server_row, document["servers"].values()))


def alerts(document: Sequence[Document], terminal: Terminal) -> Iterator[str]:
    """Yield the lines of all alerts or groups."""
    for alert in document:
        yield from terminal.lines(alert_line(alert))
    if not document:
        yield "no alerts"


def alert_line(alert: Document) -> str:
    """Return ``CRITICAL web pooled-down: 1 of 2 servers down but pooled: a [12 s]``."""
    age = alert.get("age")
    lasted = "" if age is None else f" [{format_age(age)}]"
    return printable(f"{alert['level'].upper()} {alert['service'] or 'pybal'} {alert['kind']}: {alert['text']}{lasted}")


def check(document: Document) -> tuple[int, list[str]]:
    """Return the exit status of ``status --check``, and its lines: a summary and the groups of alerts."""
    found = document["alerts"]
    level = CRITICAL if any(each["level"] == "critical" for each in found) else WARNING if found else OK
    services = document["services"]
    serving = f"{sum(each['serving'] for each in services)} of {sum(each['total'] for each in services)} servers serve"
    summary = f"{numbered(len(services), 'service')}, {serving}"
    worst = [each for each in found if level == WARNING or each["level"] == "critical"]
    named = "; ".join(f"{each['service'] or 'pybal'} {each['kind']}" for each in worst[:_ABBREVIATED])
    more = f" and {numbered(len(worst) - _ABBREVIATED, 'more alert')}" if len(worst) > _ABBREVIATED else ""
    words = ("OK", "WARNING", "CRITICAL")
    first = f"{words[level]} - {named}{more} ({summary})" if found else f"{words[level]} - {summary}"
    # Icinga takes what follows a bar for performance data.
    return level, [
        line.replace("|", "/") for line in (printable(first), *map(alert_line, document.get("groups", found)))
    ]


def _not_in_ipvs(groups: Sequence[Document]) -> frozenset[str]:
    """Return the services that IPVS lacks, for which the pool alone would look healthy."""
    found = (each for each in groups if each["kind"] == "not-in-ipvs")
    return frozenset(name for each in found for name in (each["data"].get("services") or [each["service"]]))


def _pool_row(each: Document, lacking: frozenset[str]) -> tuple[Sequence[str], str]:
    state, colour = ("not in IPVS", "critical") if each["service"] in lacking else _pool_state(each)
    address = f"[{each['vip']}]" if ":" in each["vip"] else each["vip"]
    cells = (
        each["service"],
        f"{each['protocol']} {address}:{each['port']}",
        f"{each['serving']} of {each['total']}",
        str(each["pooled"]),
        str(each["forced"]),
        str(each["floor"]),
        state,
    )
    return tuple(map(printable, cells)), colour


def _pool_state(each: Document) -> tuple[str, str]:
    if not each.get("listed", True):
        return "no server list yet", "critical"
    facts = {
        "down": each["total"] - each["up"] - each["unknown"],
        "forced": each["forced"],
        "unknown": each["unknown"],
        "disabled": each["total"] - each["enabled"],
    }
    text = ", ".join(f"{number} {word}" for word, number in facts.items() if number)
    if not each["serving"]:
        return f"no server serves{': ' if text else ''}{text}", "critical"
    if each["forced"]:
        return text, "critical"
    return (text, "warning") if text else ("ok", "ok")


def _server_row(each: Document) -> tuple[Sequence[str], str]:
    failing = [f"{report['monitor']} {_report(report)}" for report in each["reports"] if report["up"] is False]
    state = "; ".join([each["why"], *failing])
    colour = "critical" if each["placement"] == "forced" else "ok" if each["health"] == "up" else "warning"
    cells = (each["host"], each["address"] or "none", str(each["weight"]), each["placement"], state)
    return tuple(map(printable, cells)), colour


def _report(report: Document) -> str:
    changed = (
        f" (reason changed {format_age(report['reason_age'])} ago)" if report["reason_age"] < report["age"] else ""
    )
    return f"down for {format_age(report['age'])}{changed}: {report['reason']}"
