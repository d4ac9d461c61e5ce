"""Settings of every kind of monitor, from the table of kinds: with the required options only."""

from __future__ import annotations

from collections.abc import Mapping

from pybal.monitors.factory import MonitorSettings
from pybal.monitors.kinds import KINDS

REQUIRED: Mapping[str, Mapping[str, object]] = {
    "ProxyFetch": {"urls": ("http://www.example.org/",)},
    "DNSQuery": {"hostnames": ("www.example.org",)},
    "RunCommand": {"command": "/bin/true"},
}


def minimal(kind: str) -> MonitorSettings:
    """Return settings of a kind with the required options only."""
    settings: MonitorSettings = KINDS[kind].settings(**REQUIRED.get(kind, {}))
    return settings
