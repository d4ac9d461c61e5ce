"""Conflicts between sections: services that exclude each other, announcements without a next hop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pybal.config.bgp_options import family_names
from pybal.config.options import Options
from pybal.config.peers import ADDRESS, NO_ROUTER_ID, ROUTER_ID_OPTIONS, peer_places
from pybal.config.settings import BGPSettings, IPVSBackend, ServiceSettings, Settings
from pybal.core.model import Address, IPProtocol
from pybal.core.unreachable import why_unreachable

Place = tuple[Options, ServiceSettings]
"""A service and its section."""


def refuse_conflicts(
    options: Options, settings: Settings, services: Sequence[Place], peers: Sequence[Options] = ()
) -> None:
    """Add the problems between ``services``, and between them and [global] or the ``peers``.

    A service with problems of its own is only used to find the families that are announced.
    """
    announced = list(_announced(settings, services))
    services = [place for place in services if place[0].is_valid]
    _refuse_duplicates(services)
    _refuse_contradictions(services)
    _refuse_unreachable(options, settings, services)
    if settings.bgp:
        _check_peers(settings.bgp, peer_places(options, peers), announced)
        if not settings.bgp.peers:
            _need_next_hops(options, announced)
        _warn_of_limits_without_gate(settings.bgp, services)


def _refuse_unreachable(options: Options, settings: Settings, services: Sequence[Place]) -> None:
    """Refuse unreachable VIPs that are announced or written to the kernel; warn of all others."""
    written = settings.ipvs_backend is not IPVSBackend.MEMORY and not settings.dry_run
    for place, each in services:
        if why := why_unreachable(each.service.vip):
            announced = each.bgp and settings.bgp is not None and not settings.dry_run
            report = place.refuse if written or announced else place.warn
            report("ip", f"{each.service.vip}, {why}", "an address that clients can reach")
    if settings.bgp and settings.instrumentation:
        for ip in settings.instrumentation.advertised_ips:
            if why := why_unreachable(ip):
                wanted = "addresses that other hosts can reach: they are announced"
                options.refuse("advertised_instrumentation_ips", f"{ip}, {why}", wanted)


def _refuse_duplicates(services: Sequence[Place]) -> None:
    first: dict[tuple[IPProtocol, Address, int], Options] = {}
    for options, settings in services:
        service = settings.service
        twin = first.setdefault((service.protocol, service.vip, service.port), options)
        if twin is not options:
            found = f"{service.protocol} {service.vip} port {service.port}, as in [{twin.name}] (line {twin.line})"
            options.refuse("port", found, "a unique combination of protocol, ip and port")


def _refuse_contradictions(services: Sequence[Place]) -> None:
    first: dict[Address, Place] = {}
    for options, settings in services:
        if not settings.bgp:
            continue
        other, others = first.setdefault(settings.service.vip, (options, settings))
        for name, found, wanted in (
            ("bgp-med", settings.bgp_med, others.bgp_med),
            ("bgp-vip-policy", settings.bgp_vip_policy, others.bgp_vip_policy),
        ):
            if found != wanted:
                place = f"[{other.name}] (line {other.line_of(name)}) with the same ip"
                options.refuse(name, str(found), f"{wanted}, as in {place}")


def _check_peers(bgp: BGPSettings, places: Mapping[Address, Options], announced: Iterable[tuple[Address, str]]) -> None:
    vips = dict(reversed(list(announced)))
    first = {vip.version: text for vip, text in reversed(vips.items())}
    for version, announcement in first.items():
        if bgp.peers and not any(version in peer.families for peer in bgp.peers):
            wanted = f"ipv{version} for at least one peer, because {announcement} is announced"
            places[bgp.peers[0].address].refuse("bgp-families", family_names(bgp.peers[0].families), wanted)
    for peer in bgp.peers:
        options = places[peer.address]
        listening = f"{peer.address}, one of bgp-local-ips" if peer.address in bgp.local_ips else ""
        if own := vips.get(peer.address, listening):
            options.refuse(ADDRESS, own, "the address of a router, not of this balancer")
        for version, nexthop in ((4, peer.nexthop_ipv4), (6, peer.nexthop_ipv6)):
            name = f"bgp-nexthop-ipv{version}"
            if version in peer.families and version in first and nexthop is None and not options.refused(name):
                options.refuse(name, "nothing", f"an IPv{version} address, because {first[version]} is announced")
            if nexthop is not None and nexthop in vips and not options.refused(name):
                # RFC 4271 §9.1.2.1: a next hop that the route itself leads to is unresolvable.
                wanted = (
                    "an address of this balancer that is not announced; routers do not use a route to its own next hop"
                )
                options.refuse(name, vips[nexthop], wanted)


def _need_next_hops(options: Options, announced: Iterable[tuple[Address, str]]) -> None:
    """Refuse missing options that every peer will need, while no peer is configured."""
    first = {vip.version: text for vip, text in reversed(list(announced))}
    for version, text in first.items():
        name = f"bgp-nexthop-ipv{version}"
        if not options.sets(name):
            options.refuse(name, "nothing", f"an IPv{version} address, because {text} is announced")
    if 4 not in first and not any(map(options.sets, ROUTER_ID_OPTIONS)):  # noqa: PLR2004  the version of IP
        options.refuse("bgp-router-id", "nothing", NO_ROUTER_ID)


def _warn_of_limits_without_gate(bgp: BGPSettings, services: Sequence[Place]) -> None:
    for options, settings in services:
        if settings.bgp and settings.bgp_withdraw_below and not bgp.gate:
            wanted = "off or bgp-announce-gate = yes; without the gate VIPs stay announced"
            options.warn("bgp-withdraw-below", str(settings.bgp_withdraw_below), wanted)


def _announced(settings: Settings, services: Sequence[Place]) -> Iterator[tuple[Address, str]]:
    """Yield each announced address with its description."""
    for options, each in services:
        if each.bgp and not each.service.vip.is_unspecified:
            yield each.service.vip, f"{each.service.vip} of [{options.name}] (line {options.line_of('ip')})"
    if settings.instrumentation:
        for ip in settings.instrumentation.advertised_ips:
            yield ip, f"{ip} of advertised_instrumentation_ips"
