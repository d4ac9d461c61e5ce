"""The settings of BGP, and the declarations of their options."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from pybal.config import bgp_options
from pybal.config.convert import (
    boolean,
    member,
    pause,
    port,
    unsigned,
)
from pybal.config.option import group, option, required
from pybal.core.model import Address

NO_ADDRESS: Address = IPv4Address(0)


class VIPPolicy(StrEnum):
    """Number of services of a VIP that must be fit for its announcement."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One BGP peer: the options of [global], or of a section [bgp NAME] that overrides them.

    A ``peer_asn`` of ``None`` accepts any AS number. The password file is read when the sessions start. Communities are
    written for ExaBGP: ``64600:1``, ``64600:1:2``.
    """

    address: Address = required(
        NO_ADDRESS,
        bgp_options.peer_address,
        name="peer-address",
        help="address of the router to peer with; in [global] also a list",
        example="[ '192.0.2.251', '192.0.2.252' ]",
    )
    local_asn: int = required(0, bgp_options.asn, help="AS number of this balancer", example="64600")
    peer_asn: int | None = option(
        None,
        bgp_options.optional_asn,
        default_text="any number the router sends",
        help="AS number of the router; for iBGP equal to bgp-local-asn",
    )
    as_path: tuple[int, ...] = option(
        (),
        bgp_options.as_path,
        show=lambda path: " ".join(map(str, path)),
        default_text="bgp-local-asn; empty for iBGP",
        help="AS path of the announcements: AS numbers separated by blanks",
        example="64600",
    )
    nexthop_ipv4: IPv4Address | None = option(
        None,
        bgp_options.nexthop_ipv4,
        default_text="required if an IPv4 VIP is announced",
        help="next hop of IPv4 VIPs, an address of this balancer",
        example="192.0.2.10",
    )
    nexthop_ipv6: IPv6Address | None = option(
        None,
        bgp_options.nexthop_ipv6,
        default_text="required if an IPv6 VIP is announced",
        help="next hop of IPv6 VIPs, an address of this balancer",
        example="2001:db8::10",
    )
    communities: tuple[str, ...] = option(
        (),
        bgp_options.communities,
        help="communities of the announcements: numbers such as 64600:1, or names: no-export no-advertise"
        " no-export-subconfed no-peer graceful-shutdown",
    )
    large_communities: tuple[str, ...] = option(
        (), bgp_options.large_communities, help="large communities of the announcements, such as 64600:1:1"
    )
    local_address: Address | None = option(
        None,
        bgp_options.optional_address,
        default_text="chosen by the kernel",
        help="source address of the sessions, of the same IP version as the router's address",
    )
    router_id: IPv4Address | None = option(
        None,
        bgp_options.router_id,
        default_text="bgp-nexthop-ipv4, or bgp-local-address if it is an IPv4 address",
        help="BGP identifier of this balancer, an IPv4 address that is unique among the routers",
    )
    hold_time: int = option(
        9,
        bgp_options.hold_time,
        help="hold time in seconds, at least 3: a router that receives nothing for this long closes the session and"
        " removes the routes",
    )
    md5_password_file: str = option(
        "",
        bgp_options.absolute_path,
        secret_file=True,
        help="file whose first line is the MD5 password of the sessions (RFC 2385)",
    )
    ttl_security: bool = option(
        False, boolean, help="send packets with a TTL of 255 and require it (RFC 5082); the router must do the same"
    )
    multihop: int = option(
        0,
        bgp_options.ttl,
        help="TTL of packets to a router that is not on the same link; 0 for a router on the same link",
    )
    families: tuple[int, ...] = option(
        (4, 6),
        bgp_options.families,
        show=bgp_options.family_names,
        default_text="ipv4 ipv6",
        help="address families to negotiate with the router. VIPs of a family that the router does not negotiate are not"
        " announced to it",
    )


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """The drain of a VIP."""

    med: int = option(2**32 - 2, unsigned, help="MED of a drained VIP, unless its own MED is higher")
    graceful_shutdown: bool = option(
        False, boolean, name="community", help="add the community GRACEFUL_SHUTDOWN (RFC 8326) to a drained VIP"
    )
    wait: float = option(30.0, pause, help="time from the start of a drain to the withdrawal of the VIP, in seconds")


@dataclass(frozen=True, slots=True)
class BGPSettings:
    """The global BGP options; present only with ``bgp = yes``."""

    peers: tuple[PeerSettings, ...] = group(PeerSettings, given=True)
    med: int = option(
        0,
        unsigned,
        help="MED of the announcements; routers prefer the lowest. Usually 0 on the primary balancer and 100"
        " on its backup",
    )
    local_ips: tuple[Address, ...] = option(
        (),
        bgp_options.local_addresses,
        help="addresses to accept BGP connections on; if PyBal cannot listen on one, it does not start. By default PyBal"
        " only connects to the routers",
    )
    local_port: int = option(179, port, help="port to accept BGP connections on")
    dead_after: float = option(
        15.0,
        bgp_options.dead_after,
        help="time in seconds without a heartbeat after which the daemon counts as hung and all VIPs are withdrawn: longer than any"
        " stall that ends by itself, shorter than WatchdogSec of the unit, or than 60 without it. A daemon that ends, or is killed,"
        " withdraws them immediately. A change resets every session",
    )
    gate: bool = option(
        True,
        boolean,
        name="announce-gate",
        help="announce a VIP only while its services are fit: server list received, servers checked and pooled, IPVS"
        " verified. With no, VIPs are announced from start to stop, as PyBal 1.15 did",
    )
    wait: float = option(
        30.0,
        pause,
        name="announce-wait",
        help="time in seconds after which unfinished first checks no longer delay an announcement, nor do, with"
        " bgp-vip-policy = any, services of the VIP that are not fit yet",
    )
    hold: float = option(
        30.0,
        pause,
        name="announce-hold",
        help="time in seconds for which a VIP must be ready before it is announced again, after its servers had all failed for the"
        " second time within 10 minutes; doubled by each further time, up to 300",
    )
    vip_policy: VIPPolicy = option(
        VIPPolicy.ANY,
        member(VIPPolicy),
        help="for a VIP of several services: any announces it while at least one is fit, all only while all are fit",
    )
    drain: DrainSettings = group(DrainSettings, prefix="drain-")
