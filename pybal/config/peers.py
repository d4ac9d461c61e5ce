"""BGP peers: the options of [global] about all of them, and the sections [bgp NAME], each about one."""

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

ADDRESS = "bgp-peer-address"
_SECTION = re.compile(r"bgp[ \t]+\S.*", re.IGNORECASE)


def is_peer_section(name: str) -> bool:
    """Tell whether a section is about a peer, however its name is spelt: it is no service."""
    return _SECTION.fullmatch(name) is not None


def peer_places(general: Options, sections: Sequence[Options]) -> Mapping[Address, Options]:
    """Return the addresses of all peers, in order, each with the section that speaks for it."""
    listed = general.get(ADDRESS, peer_addresses, ()) if sections else general.need(ADDRESS, peer_addresses, ())
    places = dict.fromkeys(listed, general)
    for options in sections:
        if (found := options.need(ADDRESS, peer_address, None)) is None:
            continue
        if (twin := places.get(found, general)) is not general:
            place = f"[{twin.name}] (line {twin.line})"
            options.refuse(ADDRESS, f"{found}, which is that of {place}", "another peer in each section")
        places[found] = options
    return places


def read_peers(general: Options, sections: Sequence[Options]) -> tuple[PeerSettings, ...]:
    """Return the peers that [global] lists and those that have sections, whose options are before those of [global]."""
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
    # Inside an AS a path with its own number would be taken for a loop.
    as_path = () if peer.peer_asn == peer.local_asn else (peer.local_asn,)
    return replace(peer, as_path=peer.as_path or as_path, router_id=peer.router_id or derived)


def _refuse_conflicts(options: Options, peer: PeerSettings) -> None:
    """Note what is wrong between the options of one peer, each good by itself."""
    local = peer.local_address
    if local and local.version != peer.address.version:
        wanted = f"an IPv{peer.address.version} address, as that of the peer {peer.address} is one"
        options.refuse("bgp-local-address", shown(str(local)), wanted)
    if local == peer.address:
        options.refuse("bgp-local-address", shown(str(local)), "an address of our own: this is the peer's")
    if peer.ttl_security and peer.multihop:
        wanted = "no, or bgp-multihop = 0: it is for peers on the same link"
        options.refuse("bgp-ttl-security", f"yes with bgp-multihop = {peer.multihop}", wanted)
    underivable = ("bgp-router-id", "bgp-nexthop-ipv4", "bgp-local-address")
    if peer.router_id is None and not any(map(options.refused, underivable)):
        wanted = "an IPv4 address to be known by: neither bgp-nexthop-ipv4 nor bgp-local-address is one"
        options.refuse("bgp-router-id", "nothing", wanted)
    if not options.refused("bgp-as-path") and not options.refused("bgp-local-asn"):
        _check_as_path(options, peer)


def _check_as_path(options: Options, peer: PeerSettings) -> None:
    """Note a path that the peer would not accept; doubt one that it may not, as long as its AS is not known."""
    own, found = peer.local_asn, shown(" ".join(map(str, peer.as_path)))
    if peer.peer_asn == own:
        if own in peer.as_path:
            wanted = f"a path without {own}, or none: to the peer {peer.address} of the same AS it is a loop"
            options.refuse("bgp-as-path", found, wanted)
    elif peer.as_path[0] != own:
        tell = options.warn if peer.peer_asn is None else options.refuse
        tell("bgp-as-path", found, f"a path that begins with {own}, our own AS: routers refuse others")


PEER_OPTIONS = names_of(PeerSettings, "bgp-")
"""The names of all options of a peer."""
