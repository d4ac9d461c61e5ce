"""The text that ``pybal --check-config`` prints for valid settings."""

from __future__ import annotations

from collections.abc import Iterator

from pybal.config.errors import masked
from pybal.config.settings import ServiceSettings, Settings
from pybal.core.text import end_of, numbered

NO_SERVICES = "no services configured"


def describe(settings: Settings) -> str:
    """Return a line of totals, then one line per service; credentials are masked."""
    return "\n".join([", ".join(_totals(settings)), *(_line(service) for service in settings.services)])


def _totals(settings: Settings) -> Iterator[str]:
    services = settings.services
    if services:
        yield numbered(len(services), "service")
        yield numbered(len({each.service.vip for each in services}), "VIP")
        yield numbered(len({each.source.url for each in services}), "pool source")
    else:
        yield NO_SERVICES
    if settings.bgp:
        yield "BGP " + ", ".join(f"as {peer.local_asn} to {peer.address}" for peer in settings.bgp.peers)
    else:
        yield "no BGP"
    if settings.instrumentation:
        yield "HTTP on " + " ".join(end_of(ip, settings.instrumentation.port) for ip in settings.instrumentation.ips)
    else:
        yield "no HTTP"
    yield f"IPVS through {settings.ipvs_backend}"
    if settings.dry_run:
        yield "dry run"


def _line(settings: ServiceSettings) -> str:
    service = settings.service
    parts = [
        f"{service.protocol} {end_of(service.vip, service.port)}",
        " ".join((service.scheduler, *service.scheduler_flags)),
        *(["one-packet"] if service.one_packet else []),
        *(["tunneling"] if service.tunneling else []),
        f"threshold {service.depool_threshold:g}",
        " ".join(service.monitors) or "no monitors",
        *(["shared checks"] if settings.share_checks else []),
        masked(settings.source.url),
    ]
    return f"{service.name}: {', '.join(parts)}"
