"""All alerts: those of the pools and those of the other parts of the daemon. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from pybal.core.model import Alert, Severity, Snapshot
from pybal.core.outage import outage
from pybal.core.policy import too_small
from pybal.core.text import format_age, printable
from pybal.runtime.clocks import age
from pybal.status.compat115 import Level, pooled_down
from pybal.status.json_pieces import Elements

POOLED_DOWN = "pooled-down"
TOO_SMALL = "too-small"


def alerts(snapshot: Snapshot) -> Iterator[Alert]:
    """Yield all alerts: those of the pools first, critical before warning, then those of the snapshot."""
    for alert in chain(_pool_alerts(snapshot), snapshot.alerts):
        yield alert if alert.since is not None else replace(alert, since=snapshot.since(alert.key))


def _pool_alerts(snapshot: Snapshot) -> Iterator[Alert]:
    for name, pool in snapshot.pools.items():
        if hosts := pooled_down(pool):
            text = f"Servers {', '.join(hosts)} are marked down but pooled"
            yield Alert(name, POOLED_DOWN, text, severity=Severity.CRITICAL)
    for name, pool in snapshot.pools.items():
        if reason := outage(pool):
            yield Alert(name, "no-servers", f"no server takes new connections: {reason}", severity=Severity.CRITICAL)
    for name, pool in snapshot.pools.items():
        if too_small(pool):
            yield Alert(name, TOO_SMALL, f"Pool {name} is too small to allow depooling")


def level(alert: Alert) -> Level:
    """Return the level of an alert."""
    return Level(alert.severity)


def alerts_text(snapshot: Snapshot, now: float) -> Iterator[str]:
    """Yield a line for each alert."""
    return (f"{alert_text(alert, now)}\n" for alert in alerts(snapshot))


def alert_text(alert: Alert, now: float) -> str:
    """Return ``CRITICAL web pooled-down: Servers a are marked down but pooled [12 s]``, with its duration."""
    lasted = "" if alert.since is None else f" [{format_age(age(alert.since, now))}]"
    return f"{level(alert).upper()} {alert.service or 'pybal'} {alert.kind}: {printable(alert.text)}{lasted}"


def alerts_json(snapshot: Snapshot, now: float) -> Elements:
    """Return a list of the alerts; ``service`` is empty for an alert of the whole daemon.

    ``since`` is the monotonic time at which it was first seen, ``age`` the time from then to ``now``; both in seconds.
    """
    return Elements(
        {
            "level": str(level(alert)),
            "service": alert.service,
            "kind": alert.kind,
            "subject": alert.subject,
            "text": alert.text,
            "since": None if alert.since is None else round(alert.since, 3),
            "age": None if alert.since is None else age(alert.since, now),
        }
        for alert in alerts(snapshot)
    )
