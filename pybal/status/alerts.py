"""All alerts: those of the pools and those of the other parts of the daemon. Pure.

Many alerts of one kind are shown as one, a *group*, which is an alert itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pybal.core.model import Alert, Health, Pool, Severity, Snapshot
from pybal.core.outage import outage
from pybal.core.policy import arithmetic, too_small
from pybal.core.text import first_of, format_age, numbered, printable
from pybal.monitors.base import Labels
from pybal.runtime.clocks import age
from pybal.status.compat115 import Level, pooled_down
from pybal.status.json_pieces import JSON, PAUSE, Elements, Pause
from pybal.status.metrics import Family

POOLED_DOWN = "pooled-down"
TOO_SMALL = "too-small"

MANY = 5
"""Alerts of one kind and severity that are shown one by one; more of them are one group."""
NAMED = 3
"""Names in a text; the data of the alert has all of them."""


def alerts(snapshot: Snapshot) -> Iterator[Alert]:
    """Yield all alerts: those of the pools first, critical before warning, then those of the snapshot."""
    return (alert for alert in alerts_in_parts(snapshot) if alert is not None)


def alerts_in_parts(snapshot: Snapshot) -> Iterator[Alert | None]:
    """Yield what :func:`alerts` yields, and ``None`` between two parts."""
    for alert in chain(_pool_alerts(snapshot), snapshot.alerts):
        if alert is None or alert.since is not None:
            yield alert
        else:
            yield replace(alert, since=snapshot.since(alert.key))


def _pool_alerts(snapshot: Snapshot) -> Iterator[Alert]:
    for name, pool in snapshot.pools.items():
        if hosts := pooled_down(pool):
            yield Alert(
                name,
                POOLED_DOWN,
                f"{_share(hosts, pool)} down but pooled: {first_of(hosts, NAMED)} ({arithmetic(pool)})",
                severity=Severity.CRITICAL,
                data={"hosts": hosts},
            )
    for name, pool in snapshot.pools.items():
        if reason := outage(pool):
            yield Alert(name, "no-servers", f"no server takes new connections: {reason}", severity=Severity.CRITICAL)
    for name, pool in snapshot.pools.items():
        if hosts := _depooled(pool):
            text = f"{_share(hosts, pool)} down and not pooled: {first_of(hosts, NAMED)}"
            yield Alert(name, "down", text, data={"hosts": hosts})
    for name, pool in snapshot.pools.items():
        if too_small(pool):
            yield Alert(name, TOO_SMALL, f"Pool {name} is too small to allow depooling")


def _share(hosts: Sequence[str], pool: Pool) -> str:
    return f"{len(hosts)} of {numbered(len(pool.servers), 'server')}"


def _depooled(pool: Pool) -> list[str]:
    """Return the enabled hosts that are down and not pooled, in the order of the source."""
    if not pool.servers.count(lambda server: server.enabled and server.health is Health.DOWN and not server.pooled):
        return []
    return [
        host
        for host, server in pool.servers.items()
        if server.member.enabled and server.health is Health.DOWN and not server.pooled
    ]


def grouped(found: Iterable[Alert]) -> Iterator[Alert]:
    """Yield the alerts, critical first, with one in place of more than :data:`MANY` of a kind.

    These have the same severity. It began with the first of them; its data has their number, services and subjects.
    """
    by_kind: dict[tuple[Severity, str], list[Alert]] = {}
    for alert in found:
        by_kind.setdefault((alert.severity, alert.kind), []).append(alert)
    for severity in Severity:
        for (own, _), members in by_kind.items():
            if own is severity:
                yield from members if len(members) <= MANY else [_group(members)]


def _group(members: Sequence[Alert]) -> Alert:
    services = list(dict.fromkeys(alert.service for alert in members if alert.service))
    subjects = [alert.subject for alert in members if alert.subject]
    text = f"{len(members)} alerts"
    if len(services) > 1:
        text += f" of {len(services)} services ({first_of(services, NAMED)})"
    if subjects:
        text += f": {first_of(subjects, NAMED)}"
    times = [alert.since for alert in members if alert.since is not None]
    return Alert(
        services[0] if len(services) == 1 else "",
        members[0].kind,
        text,
        severity=members[0].severity,
        since=min(times, default=None),
        data={"alerts": len(members), "services": services, "subjects": subjects},
    )


def families(found: Iterable[Alert]) -> Iterator[Family | None]:
    """Yield the metric of the alerts, and ``None`` between the alerts that are counted."""
    counts: Counter[Labels] = Counter()
    for alert in found:
        counts[("kind", alert.kind), ("service", alert.service), ("severity", str(alert.severity))] += 1
        yield None
    yield Family("pybal_alerts", "gauge", "Present alerts, by kind, service and severity", sorted(counts.items()))


def level(alert: Alert) -> Level:
    """Return the level of an alert."""
    return Level(alert.severity)


def alerts_text(found: Iterable[Alert], now: float) -> Iterator[str]:
    """Yield a line for each alert."""
    return (f"{alert_text(alert, now)}\n" for alert in found)


def groups_text(found: Iterable[Alert], now: float) -> Iterator[str]:
    """Yield a line for each group; some texts are empty."""
    collected: list[Alert] = []
    for alert in found:
        collected.append(alert)
        yield ""
    yield from alerts_text(grouped(collected), now)


def alert_text(alert: Alert, now: float) -> str:
    """Return ``CRITICAL web pooled-down: 1 of 2 servers down but pooled: a [12 s]``, with its duration."""
    return f"{level(alert).upper()} {alert.service or 'pybal'} {printable(without_service(alert, now))}"


def without_service(alert: Alert, now: float) -> str:
    """Return ``pooled-down: 1 of 2 servers down but pooled: a [12 s]``."""
    lasted = "" if alert.since is None else f" [{format_age(age(alert.since, now))}]"
    return f"{alert.kind}: {alert.text}{lasted}"


def alerts_json(found: Iterable[Alert], now: float) -> Elements:
    """Return a list of the alerts; ``service`` is empty for an alert of the whole daemon.

    ``since`` is the monotonic time at which it was first seen, ``age`` the time from then to ``now``; both in seconds.
    """
    return Elements(_alert_json(alert, now) for alert in found)


def groups_json(found: Iterable[Alert], now: float) -> Elements:
    """Return a list of the groups, each like an alert."""

    def elements() -> Iterator[JSON | Pause]:
        collected: list[Alert] = []
        for alert in found:
            collected.append(alert)
            yield PAUSE
        for group in grouped(collected):
            yield _alert_json(group, now)

    return Elements(elements())


def _alert_json(alert: Alert, now: float) -> JSON:
    return {
        "level": str(level(alert)),
        "service": alert.service,
        "kind": alert.kind,
        "subject": alert.subject,
        "text": alert.text,
        "since": None if alert.since is None else round(alert.since, 3),
        "age": None if alert.since is None else age(alert.since, now),
        "data": {
            name: fact if isinstance(fact, str | float | int | None) else list(fact)
            for name, fact in alert.data.items()
        },
    }
