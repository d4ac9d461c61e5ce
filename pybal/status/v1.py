"""The pools below ``/v1``: the arithmetic of each, and the reason for the state of each server. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from pybal.core.model import Pool, Report, Server, Snapshot
from pybal.core.policy import arithmetic
from pybal.core.text import format_age
from pybal.core.why import why
from pybal.runtime.clocks import age
from pybal.status.compat115 import tally
from pybal.status.json_pieces import JSON, PAUSE, LargeJSON, Members, Pause


def pools_text(snapshot: Snapshot) -> Iterator[str]:
    """Yield the arithmetic of each pool, one per line."""
    return map(_pool_line, snapshot.pools.values())


def pools_json(snapshot: Snapshot) -> Members:
    """Return the state of each pool by its name."""

    def members() -> Iterator[tuple[str, JSON] | Pause]:
        for name, pool in snapshot.pools.items():
            yield PAUSE
            yield name, _pool_json(snapshot, pool)

    return Members(members())


def pool_text(_snapshot: Snapshot, pool: Pool, now: float) -> Iterator[str]:
    """Yield the arithmetic of a pool, then the state and reason of each server."""
    yield _pool_line(pool)
    for server in pool.servers.values():
        yield _server_lines(server, now)


def pool_json(snapshot: Snapshot, pool: Pool, now: float) -> dict[str, LargeJSON]:
    """Return the state of a pool and of its servers by host."""
    servers = Members((host, _server_json(server, now)) for host, server in pool.servers.items())
    return {**_pool_json(snapshot, pool), "servers": servers}


def server_text(_snapshot: Snapshot, pool: Pool, server: Server, now: float) -> str:
    """Return the state and reason of one server, then the arithmetic of its pool."""
    return _server_lines(server, now) + _pool_line(pool)


def server_json(snapshot: Snapshot, pool: Pool, server: Server, now: float) -> JSON:
    """Return the state of one server; the key ``pool`` holds the state of its pool."""
    return {**_server_json(server, now), "pool": _pool_json(snapshot, pool)}


def report_text(report: Report | None, now: float) -> str:
    """Return a monitor's state, its duration and reason.

    ``down for 36 s (reason changed 2 s ago): status: HTTP 500, wanted 200``.
    """
    if report is None:
        return "no result yet"
    state = f"{'up' if report.up else 'down'} for {format_age(age(report.began, now))}"
    if not report.up and report.since is not None:
        state += f" (reason changed {format_age(age(report.at, now))} ago)"
    return f"{state}: {report.reason}" if report.reason else state


def _pool_line(pool: Pool) -> str:
    sums = tally(pool)
    return f"{pool.service.name}: {arithmetic(pool)}, {sums.pooled} pooled, {sums.unknown} unknown\n"


def _server_lines(server: Server, now: float) -> str:
    address = server.address or "none"
    head = (
        f"{server.host}: {server.placement.value} ({why(server)}), weight {server.member.weight}, address {address}\n"
    )
    return head + "".join(f"  {name}: {report_text(report, now)}\n" for name, report in server.reports.items())


def _pool_json(snapshot: Snapshot, pool: Pool) -> dict[str, JSON]:
    service = pool.service
    return {
        "service": service.name,
        "protocol": str(service.protocol),
        "vip": str(service.vip),
        "port": service.port,
        "scheduler": service.scheduler,
        "listed": pool.listed,
        **asdict(tally(pool, snapshot.could_not_depool.get(service.name, 0))),
    }


def _server_json(server: Server, now: float) -> dict[str, JSON]:
    reports: JSON = [
        {"monitor": name, "up": None, "reason": "", "age": None, "reason_age": None}
        if report is None
        else {
            "monitor": name,
            "up": report.up,
            "reason": report.reason,
            "age": age(report.began, now),
            "reason_age": age(report.at, now),
        }
        for name, report in server.reports.items()
    ]
    return {
        "host": server.host,
        "address": None if server.address is None else str(server.address),
        "weight": server.member.weight,
        "enabled": server.member.enabled,
        "health": str(server.health),
        "placement": server.placement.value,
        "why": why(server),
        "reports": reports,
    }
