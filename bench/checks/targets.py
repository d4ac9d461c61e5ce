"""Targets for the ratios, and figures of PyBal 1.15 quoted from another machine."""

from __future__ import annotations

NORMAL, HIGHEST, GUEST = "normal", "highest", "guest"
"""1,000 checks/s; more than a core can do; the same in a guest, for peers that need their own kernel."""

COST = {
    ("tcp", NORMAL): {"haproxy": 1.1, "c": 1.3},
    ("http", NORMAL): {"haproxy": 1.0, "c": 1.3, "pybal": 0.2},
    ("https", NORMAL): {"haproxy": 1.0, "c": 1.1},
    ("dns", NORMAL): {"pybal": 0.15},
    ("tcp", HIGHEST): {"haproxy": 1.1},
    ("http", HIGHEST): {"haproxy": 1 / 0.9},
    ("https", HIGHEST): {"haproxy": 1.0, "c": 1.1},
    ("tcp", GUEST): {"keepalived": 0.6},
    ("http", GUEST): {"keepalived": 0.6},
    ("dns", GUEST): {"keepalived": 0.7},
}
"""Highest ratio of our CPU time per check to that of the peer; 0.9 of a peer's highest rate is 1.11."""

BASE = 1.0
"""Highest ratio to an earlier commit."""

PYBAL_1_15 = {
    ("http", NORMAL): 440.0,
    ("http", HIGHEST): 298.0,
    ("https", HIGHEST): 984.0,
    ("dns", NORMAL): 341.0,
}
"""Microseconds."""

SYSCALLS = 14
MEMORY_IDLE, MEMORY_FULL = 4.0, 12.0
"""KB per monitor: with one result, and with a full history."""


def met(value: float, target: float | None) -> str:
    """Return the target and whether the value meets it."""
    if target is None:
        return ""
    return f"≤ {target:.2f}  {'met' if value <= target else 'MISSED'}"
