"""The responses of PyBal 1.15 (``/alerts``, ``/pools`` and below) as text and JSON. Pure.

Other programs parse these responses, so every byte is fixed. New facts have their own paths below ``/v1``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pybal.core.model import Health, Pool, Server, Snapshot
from pybal.core.policy import can_depool, floor, serving, too_small
from pybal.status.json_pieces import JSON, PAUSE, Members, Pause

NOT_FOUND = "The desired url was not found"


@dataclass(frozen=True, slots=True)
class Tally:
    """The arithmetic of a pool: counts of its servers by state, and the effect of the depool threshold."""

    total: int
    enabled: int
    up: int
    unknown: int
    down: int
    serving: int
    pooled: int
    forced: int
    pooled_down: int
    floor: int
    can_depool: bool
    threshold: float
    could_not_depool: int


def tally(pool: Pool, could_not_depool: int = 0) -> Tally:
    """Count the servers of a pool."""
    count = pool.servers.count
    return Tally(
        total=len(pool.servers),
        enabled=count(lambda server: server.enabled),
        up=count(lambda server: server.health is Health.UP),
        unknown=count(lambda server: server.health is Health.UNKNOWN),
        down=count(lambda server: server.health is Health.DOWN),
        serving=serving(pool),
        pooled=count(lambda server: server.pooled),
        forced=count(lambda server: server.forced),
        pooled_down=count(lambda server: server.pooled_down),
        floor=floor(pool),
        can_depool=can_depool(pool),
        threshold=pool.service.depool_threshold,
        could_not_depool=could_not_depool,
    )


class Level(StrEnum):
    """The severity of an alert; ``ok`` means no alert."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


def level(snapshot: Snapshot) -> tuple[Level, str]:
    """Return the level of all pools together and its explanation, as PyBal 1.15 does."""
    return next(found for found in _level_in_parts(snapshot) if found is not None)


def _level_in_parts(snapshot: Snapshot) -> Iterator[tuple[Level, str] | None]:
    """Yield ``None`` after each pool, and then what :func:`level` returns."""
    critical = []
    for name, pool in snapshot.pools.items():
        if hosts := pooled_down(pool):
            critical.append(f"{name}: Servers {', '.join(hosts)} are marked down but pooled")
        yield None
    if critical:
        yield Level.CRITICAL, "; ".join(critical)
        return
    small = [name for name, pool in snapshot.pools.items() if too_small(pool)]
    if small:
        yield Level.WARNING, "".join(f"Pool {name} is too small to allow depooling. " for name in small)
    else:
        yield Level.OK, "All pools are healthy"


def pooled_down(pool: Pool) -> list[str]:
    """Return the hosts that are down but pooled, in the order of the source."""
    if not pool.servers.count(lambda server: server.pooled_down):
        return []
    return [host for host, server in pool.servers.items() if server.pooled_down]


def alerts_text(snapshot: Snapshot) -> Iterator[str]:
    """Yield ``/alerts`` as text, without a trailing newline; some texts are empty."""
    return (f"{found[0].upper()} - {found[1]}" if found else "" for found in _level_in_parts(snapshot))


def alerts_json(snapshot: Snapshot) -> Members:
    """Return ``/alerts`` as JSON, the message without the prefix."""

    def members() -> Iterator[tuple[str, JSON] | Pause]:
        for found in _level_in_parts(snapshot):
            if found is None:
                yield PAUSE
            else:
                yield "status", str(found[0])
                yield "msg", found[1]

    return Members(members())


def pools_text(snapshot: Snapshot) -> str:
    """Return the names of the services, one per line, in the order of the configuration."""
    return "".join(f"{name}\n" for name in snapshot.pools)


def pools_json(snapshot: Snapshot) -> JSON:
    """Return the names of the services as a list."""
    return list(snapshot.pools)


def pool_text(pool: Pool) -> Iterator[str]:
    """Yield the three words of each server, in the order of the source."""
    return (f"{host}:\t{server.status}\n" for host, server in pool.servers.items())


def pool_json(pool: Pool) -> Members:
    """Return the four keys of each server, by host."""
    return Members((host, server_json(server)) for host, server in pool.servers.items())


def server_text(server: Server) -> str:
    """Return the three words of one server."""
    return f"{server.status}\n"


def server_json(server: Server) -> JSON:
    """Return the four keys that deployment tools require; they reject any other key."""
    return {
        "pooled": server.pooled,
        "weight": server.member.weight,
        "up": server.health is Health.UP,
        "enabled": server.member.enabled,
    }
