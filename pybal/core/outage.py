"""Pools whose clients are refused: no server takes new connections. Pure."""

from __future__ import annotations

from pybal.core.model import Condition, Health, Pool
from pybal.core.text import numbered


def outage(pool: Pool) -> str:
    """Return why no server of a pool takes new connections, empty if one does.

    Each server is counted by the first reason that keeps it out: ``1 of 3 servers down, 2 of 3 servers disabled``.
    """
    if pool.servers.count(lambda server: server.pooled and server.weighted) or any(pool.held.values()):
        return ""
    if not pool.listed:
        return "waiting for the first server list"
    counts: dict[str, int] = {}
    for condition, number in pool.servers.census.items():
        reason = _reason(condition)
        counts[reason] = counts.get(reason, 0) + number
    every = numbered(len(pool.servers), "server")
    reasons = [f"{counts[reason]} of {every} {reason}" for reason in _REASONS if reason in counts]
    if not reasons:
        return "the server list is empty"
    threshold = f" (depool-threshold = {pool.service.depool_threshold:g})" if _DOWN in counts else ""
    return f"{', '.join(reasons)}{threshold}"


_DISABLED, _WEIGHT, _LOOKUP, _UNRESOLVED = "disabled", "with weight 0", "not resolved yet", "without an address"
_DOWN, _UNKNOWN = "down", "not checked yet"
_REASONS = (_DOWN, _UNKNOWN, _DISABLED, _WEIGHT, _LOOKUP, _UNRESOLVED)


def _reason(server: Condition) -> str:
    if not server.enabled:
        return _DISABLED
    if not server.weighted:
        return _WEIGHT
    if not server.ready:
        return _UNRESOLVED if server.unresolvable else _LOOKUP
    return _DOWN if server.health is Health.DOWN else _UNKNOWN
