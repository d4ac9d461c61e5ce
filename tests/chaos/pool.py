"""The invariants of one pool, from its document at ``/v1/pools``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from pybal.core.model import Placement

OUT = Placement.OUT.value
Document = Mapping[str, Any]


def check_floor(pool: Document) -> None:
    """Check that a pool has as many servers as the floor requires, counting members with a weight above 0."""
    members = [each for each in pool["servers"].values() if each["weight"] > 0]
    threshold = Fraction(str(pool["threshold"]))
    floor = max(1, ceil(threshold * len(members))) if threshold else 0
    eligible = sum(each["enabled"] and each["address"] is not None for each in members)
    pooled = sum(each["placement"] != OUT for each in members)
    # Addresses that left the list count while members without an address are looked up.
    awaited = sum(awaiting(members))
    assert pooled + awaited >= min(floor, eligible), (
        f"floor: {pooled} pooled, floor {floor}, {eligible} eligible: {pool}"
    )
    up = [each for each in members if each["enabled"] and each["address"] and each["health"] == "up"]
    assert all(each["placement"] == "pooled" for each in up), f"floor: up and not pooled: {pool}"


def awaiting(members: Iterable[Document]) -> Iterable[bool]:
    """Yield for each member whether it is enabled and has no address yet."""
    return (each["enabled"] and each["address"] is None for each in members)


def pooled(pool: Document) -> Mapping[str, Document]:
    """Return the pooled servers by host."""
    return {host: each for host, each in pool["servers"].items() if each["placement"] != OUT}


def wanted(pool: Document) -> Mapping[str, int]:
    """Return the weights that the table should hold by address.

    The first weight above 0 at an address counts.
    """
    members = list(pooled(pool).values())
    weights = {each["address"]: each["weight"] for each in sorted(members, key=lambda each: each["weight"] > 0)}
    return weights | {each["address"]: each["weight"] for each in reversed(members) if each["weight"]}


def difference(pool: Document, table: Mapping[str, int]) -> str:
    """Return how the table differs from the pool, empty if it does not."""
    expected = wanted(pool)
    # Addresses that left the list stay while a member of it has not been looked up.
    allowed = any(awaiting(pool["servers"].values())) and table.items() >= expected.items()
    return f"table {table}, pool {expected}" if pool["listed"] and table != expected and not allowed else ""
