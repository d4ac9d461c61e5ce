"""What is wanted of the ratios, and what PyBal 1.15 was measured to use: on another machine, so those are only quoted."""

from __future__ import annotations

NORMAL, HIGHEST, GUEST = "normal", "highest", "guest"
"""A thousand checks a second; more than a core can do; the same in a guest, beside who needs a kernel of its own."""

COST = {
    ("tcp", NORMAL): {"haproxy": 1.0, "c": 1.3},
    ("http", NORMAL): {"haproxy": 1.0, "c": 1.3, "pybal": 0.2},
    ("https", NORMAL): {"haproxy": 1.0, "c": 1.1},
    ("dns", NORMAL): {"pybal": 0.15},
    ("http", HIGHEST): {"haproxy": 1 / 0.9},
    ("https", HIGHEST): {"haproxy": 1.0, "c": 1.1},
    ("tcp", GUEST): {"keepalived": 0.6},
    ("http", GUEST): {"keepalived": 0.6},
    ("dns", GUEST): {"keepalived": 0.7},
}
"""Our CPU per check ÷ the peer's is at most this. 0.9 of the highest rate of a core are wanted: 1.11 of the cost."""

PYBAL_1_15 = {
    ("http", NORMAL): 440.0,
    ("http", HIGHEST): 298.0,
    ("https", HIGHEST): 984.0,
    ("dns", NORMAL): 341.0,
}
"""Microseconds."""

SYSCALLS = 14
MEMORY_IDLE, MEMORY_FULL = 4.0, 12.0
"""KB for each monitor: with one result, and with as many as are kept."""


def met(value: float, target: float | None) -> str:
    """Return the target, and whether it was met."""
    if target is None:
        return ""
    return f"≤ {target:.2f}  {'met' if value <= target else 'MISSED'}"
