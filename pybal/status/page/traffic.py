"""The traffic of IPVS destinations at the last audit, and the rate of new connections. Pure."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import NamedTuple

from pybal.core.model import Service
from pybal.core.steps import parts
from pybal.ipvs.audit import Findings, Reading
from pybal.ipvs.model import Endpoint, Traffic, key_of


class Load(NamedTuple):
    """The traffic of one destination.

    ``rate`` is the number of new connections per second, ``None`` if it is not known yet.
    """

    active: int
    inactive: int
    rate: float | None


def loads(findings: Findings, service: Service) -> Generator[str, None, Mapping[Endpoint, Load]]:
    """Return the load of each destination of a service; yield an empty text after each part of the work."""
    reading = findings.readings.get(key_of(service))
    found: dict[Endpoint, Load] = {}
    if reading is not None:
        before: dict[Endpoint, Traffic] = {}
        for part in parts(reading.traffic_before):
            before.update(part)
            yield ""
        for part in parts(reading.traffic):
            for endpoint, traffic in part:
                found[endpoint] = Load(traffic.active, traffic.inactive, _rate(before.get(endpoint), traffic, reading))
            yield ""
    return found


def _rate(before: Traffic | None, traffic: Traffic, reading: Reading) -> float | None:
    """Return the new connections per second; ``None`` for a destination that was added since."""
    if before is None or before.connections > traffic.connections or reading.at <= reading.at_before:
        return None
    return (traffic.connections - before.connections) / (reading.at - reading.at_before)
