"""BGP peers: the options of [global], and the sections [bgp NAME] that override them for one peer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from pybal.config.bgp_options import asn, peer_address, peer_addresses
from pybal.config.bgp_settings import NO_ADDRESS, PeerSettings
from pybal.config.errors import shown
from pybal.config.option import names_of, read_options
from pybal.config.options import Options
from pybal.core.model import Address
from pybal.core.unreachable import why_unreachable

ADDRESS = "bgp-peer-address"
ROUTER_ID_OPTIONS = ("bgp-router-id", "bgp-nexthop-ipv4", "bgp-local-address")
"""The options of which one is the router ID."""
NO_ROUTER_ID = "an IPv4 address, because neither bgp-nexthop-ipv4 nor bgp-local-address is one"
_SECTION = re.compile(r"bgp[ \t]+\S.*", re.IGNORECASE)


def is_peer_section(name: str) -> bool:
    """Return whether a section configures a peer, in any spelling of its name."""
    return _SECTION.fullmatch(name) is not None


def peer_places(general: Options, sections: Sequence[Options]) -> Mapping[Address, Options]:
    """Return the addresses of all peers, in order, each with the section that configures it."""
    listed = general.get(ADDRESS, peer_addresses, ()) if sections else general.need(ADDRESS, peer_addresses, ())
    places = dict.fromkeys(listed, general)
    for options in sections:
        if (found := options.need(ADDRESS, peer_address, None)) is None:
            continue
        if (twin := places.get(found, general)) is not general:
            place = f"[{twin.name}] (line {twin.line})"
            options.refuse(ADDRESS, f"{found}, as in {place}", "one section per peer")
        places[found] = options
    return places


def read_peers(general: Options, sections: Sequence[Options]) -> tuple[PeerSettings, ...]:
    """Return the peers of [global] and of the sections, whose options override those of [global]."""
    local_asn = general.need("bgp-local-asn", asn, 0)
    read_peer(general, NO_ADDRESS, local_asn)
    places = peer_places(general, sections)
    peers = tuple(read_peer(options, address, local_asn) for address, options in places.items())
    for peer, options in zip(peers, places.values(), strict=True):
        _refuse_conflicts(options, peer)
    return peers


def read_peer(options: Options, address: Address, local_asn: int) -> PeerSettings:
    """Return the settings of the peer at ``address``, with the defaults that depend on other options."""
    peer = read_options(PeerSettings, options, "bgp-", defaults={"local_asn": local_asn}, address=address)
    candidates = (peer.nexthop_ipv4, peer.local_address)
    derived = next((ip for ip in candidates if isinstance(ip, IPv4Address)), None)
    # Inside an AS, routers treat a path with its own number as a loop.
    as_path = () if peer.peer_asn == peer.local_asn else (peer.local_asn,)
    return replace(peer, as_path=peer.as_path or as_path, router_id=peer.router_id or derived)


def _refuse_conflicts(options: Options, peer: PeerSettings) -> None:
    """Add the problems between the options of one peer."""
    local = peer.local_address
    if local and (why := why_unreachable(local)) and not local.is_loopback:
        options.refuse("bgp-local-address", f"{local}, {why}", "an address of this balancer that the router can reach")
    if local and local.version != peer.address.version:
        wanted = f"an IPv{peer.address.version} address, like that of the peer {peer.address}"
        options.refuse("bgp-local-address", shown(str(local)), wanted)
    if peer.address.is_loopback and not (local and local.is_loopback):
        wanted = "the address of a router; for one on this host set bgp-local-address to another loopback address"
        options.refuse(ADDRESS, f"{peer.address}, a loopback address", wanted)
    if local == peer.address:
        options.refuse("bgp-local-address", shown(str(local)), "an address of this balancer; this is the peer's")
    for name, nexthop in ("bgp-nexthop-ipv4", peer.nexthop_ipv4), ("bgp-nexthop-ipv6", peer.nexthop_ipv6):
        if nexthop == peer.address:
            # RFC 4271 §5.1.3: a router ignores routes whose next hop is its own address.
            options.refuse(name, str(nexthop), "an address of this balancer; this is the peer's")
    if peer.ttl_security and peer.multihop:
        wanted = "no, or bgp-multihop = 0: ttl-security is for peers on the same link"
        options.refuse("bgp-ttl-security", f"yes with bgp-multihop = {peer.multihop}", wanted)
    if peer.router_id is None and not any(map(options.refused, ROUTER_ID_OPTIONS)):
        options.refuse("bgp-router-id", "nothing", NO_ROUTER_ID)
    if not options.refused("bgp-as-path") and not options.refused("bgp-local-asn"):
        _check_as_path(options, peer)


def _check_as_path(options: Options, peer: PeerSettings) -> None:
    """Refuse a path that the peer would reject; warn if its AS number is unknown."""
    own, found = peer.local_asn, shown(" ".join(map(str, peer.as_path)))
    if peer.peer_asn == own:
        if own in peer.as_path:
            wanted = (
                f"a path without {own}, or an empty one: the peer {peer.address} of the same AS rejects it as a loop"
            )
            options.refuse("bgp-as-path", found, wanted)
    elif peer.as_path[0] != own:
        report = options.warn if peer.peer_asn is None else options.refuse
        report("bgp-as-path", found, f"a path that begins with the local AS {own}: routers reject others")


PEER_OPTIONS = names_of(PeerSettings, "bgp-")
"""The names of all options of a peer."""
