"""What no section shows by itself: services that cannot be together, and announcements without a next hop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pybal.config.options import Options
from pybal.config.settings import ServiceSettings, Settings
from pybal.model import Address, IPProtocol

Place = tuple[Options, ServiceSettings]
"""A service, and where it is written."""


def refuse_conflicts(options: Options, settings: Settings, services: Sequence[Place]) -> None:
    """Note what is wrong between ``services``, each good by itself, or between them and [global] (``options``)."""
    _refuse_twins(services)
    _refuse_different_meds(services)
    _require_nexthops(options, settings, services)


def _refuse_twins(services: Sequence[Place]) -> None:
    first: dict[tuple[IPProtocol, Address, int], Options] = {}
    for options, settings in services:
        service = settings.service
        twin = first.setdefault((service.protocol, service.vip, service.port), options)
        if twin is not options:
            found = f"{service.protocol} {service.vip} port {service.port}, which is [{twin.name}] (line {twin.line})"
            options.refuse("port", found, "a protocol, ip and port of its own")


def _refuse_different_meds(services: Sequence[Place]) -> None:
    first: dict[Address, Place] = {}
    for options, settings in services:
        if not settings.bgp:
            continue
        other, others = first.setdefault(settings.service.vip, (options, settings))
        if settings.bgp_med != others.bgp_med:
            place = f"[{other.name}] (line {other.line_of('bgp-med')}) with the same ip"
            options.refuse("bgp-med", str(settings.bgp_med), f"{others.bgp_med}, as in {place}")


def _require_nexthops(options: Options, settings: Settings, services: Sequence[Place]) -> None:
    if settings.bgp is None:
        return
    announced = dict(reversed(list(_announced(settings, services))))
    for version, missing in (
        (4, any(peer.nexthop_ipv4 is None for peer in settings.bgp.peers)),
        (6, any(peer.nexthop_ipv6 is None for peer in settings.bgp.peers)),
    ):
        name = f"bgp-nexthop-ipv{version}"
        if version in announced and missing and not options.refused(name):
            options.refuse(name, "nothing", f"an IPv{version} address, for {announced[version]} is announced")


def _announced(settings: Settings, services: Sequence[Place]) -> Iterator[tuple[int, str]]:
    """Yield the version of each address that is announced, and what it is."""
    for options, each in services:
        if each.bgp:
            yield each.service.vip.version, f"{each.service.vip} of [{options.name}] (line {options.line_of('ip')})"
    if settings.instrumentation:
        for ip in settings.instrumentation.advertised_ips:
            yield ip.version, f"{ip} of advertised_instrumentation_ips"
