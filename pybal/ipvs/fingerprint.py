"""Fingerprints of a service's state, to compare two balancers. Pure.

A fingerprint is the first 12 hexadecimal digits of a SHA-256 digest. Equal states have equal fingerprints on any machine and
Python version.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType

from pybal.core.model import Service
from pybal.ipvs.model import TableEntry
from pybal.ipvs.render import lines

LENGTH = 12


def of_service(service: Service) -> str:
    """Return the fingerprint of a service's section, without its servers."""
    return _hash(
        service.name,
        service.protocol.value,
        service.vip,
        service.port,
        service.scheduler,
        ",".join(service.scheduler_flags),
        service.one_packet,
        service.tunneling,
        service.depool_threshold,
        ",".join(service.monitors),
    )


def of_entry(entry: TableEntry | None) -> str:
    """Return the fingerprint of an entry of the table; empty for ``None``."""
    if entry is None:
        return ""
    not_printed = [
        f"{d.address} {d.port} {d.upper} {d.lower} {d.tunnel.flags}"
        for d in entry.destinations.values()
        if d.upper or d.lower or d.tunnel.flags
    ]
    table = MappingProxyType({entry.service.key: entry})
    return _hash(*lines(table), int(entry.service.flags), *sorted(not_printed))


def _hash(*facts: object) -> str:
    return sha256("\n".join(map(str, facts)).encode()).hexdigest()[:LENGTH]
