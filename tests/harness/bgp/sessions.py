"""Sessions of one balancer with the routers of a network, and the routes that the routers should hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from pybal.bgp.model import Announcement
from pybal.config.settings import BGPSettings, PeerSettings
from tests.harness.bgp.balancer import Balancer
from tests.harness.bgp.network import KINDS, ROUTER_ASN, RouterNetwork
from tests.harness.bgp.router import Neighbour, Route, Routes
from tests.harness.daemon_process import wait_for

BALANCER_ASN = 64600
VIP, VIP6 = Announcement(ip_address("198.51.100.1"), 10), Announcement(ip_address("2001:db8::1"), 20)


@dataclass(frozen=True)
class Peering:
    """One session: the balancer's settings of the router, and the router's of the balancer."""

    kind: str
    peer: PeerSettings
    neighbour: Neighbour

    def holds(self, announcements: Iterable[Announcement]) -> Routes:
        """Return the router's routes after all of these announcements."""
        peer = self.peer
        default = () if peer.local_asn == ROUTER_ASN else (peer.local_asn,)
        routes: Routes = {}
        for announcement in announcements:
            nexthop = peer.nexthop_ipv4 if announcement.vip.version == 4 else peer.nexthop_ipv6
            assert nexthop is not None
            shutdown = ("65535:0",) if announcement.graceful_shutdown else ()
            routes[announcement.prefix] = Route(
                nexthop=nexthop,
                med=announcement.med,
                as_path=peer.as_path or default,
                communities=tuple(sorted((*peer.communities, *shutdown))),
                large_communities=tuple(sorted(peer.large_communities)),
            )
        return routes


def peering(
    network: RouterNetwork,
    kind: str,
    case: int,
    family: int = 4,
    *,
    password_file: Path | None = None,
    **options: object,
) -> Peering:
    """Return a plain eBGP session, changed by ``options`` of PeerSettings."""
    there, here = network.pair(kind, case, family, far="multihop" in options)
    nexthop_ipv4, nexthop_ipv6 = network.nexthops(kind)
    peer = PeerSettings(
        **{
            "address": there,
            "local_asn": BALANCER_ASN,
            "peer_asn": ROUTER_ASN,
            "nexthop_ipv4": nexthop_ipv4,
            "nexthop_ipv6": nexthop_ipv6,
            "local_address": here,
            "router_id": IPv4Address("192.0.2.9"),
            "md5_password_file": str(password_file or ""),
            **options,
        }  # type: ignore[arg-type]  # options of any type, by name
    )
    neighbour = Neighbour(
        address=here,
        local=there,
        asn=peer.local_asn,
        password=password_file.read_text().strip() if password_file else "",
        ttl_security=peer.ttl_security,
        multihop=peer.multihop,
        hold_time=peer.hold_time,
    )
    return Peering(kind, peer, neighbour)


class Topology:
    """The running routers of all peerings, and a balancer with a session to each.

    ``options`` are options of BGPSettings.
    """

    def __init__(
        self, network: RouterNetwork, directory: Path, python: str, peerings: Iterable[Peering], **options: Any
    ) -> None:
        self.network = network
        self.peerings = tuple(peerings)
        for kind in KINDS:
            network.routers[kind].stop()
            self.start(kind)
        settings = BGPSettings(tuple(peering.peer for peering in self.peerings), **options)
        self.balancer = Balancer(network.balancer, directory / "balancer", settings, python)

    def close(self) -> None:
        self.balancer.close()
        for router in self.network.routers.values():
            router.stop()

    def start(self, kind: str) -> None:
        """Start a router, also for a second time."""
        self.network.routers[kind].start(*(peering.neighbour for peering in self.peerings if peering.kind == kind))

    def routes(self, peering: Peering) -> Routes:
        return self.network.routers[peering.kind].routes(peering.neighbour)

    def announce(self, *announcements: Announcement) -> None:
        self.balancer.announce(announcements)

    def held(
        self, *announcements: Announcement, within: float = 90.0, kinds: Sequence[str] = KINDS
    ) -> Mapping[str, float]:
        """Wait until every router holds exactly these routes; return the seconds for each kind of router."""
        return self.times(
            lambda peering: self.routes(peering) == peering.holds(announcements),
            lambda peering: f"{peering.kind}: {self.routes(peering)}, wanted {peering.holds(announcements)}",
            within,
            kinds,
        )

    def times(
        self,
        done: Callable[[Peering], bool],
        what: Callable[[Peering], str],
        within: float = 90.0,
        kinds: Sequence[str] = KINDS,
    ) -> Mapping[str, float]:
        """Wait until ``done`` is true for all peerings; return the seconds for each kind of router.

        Each kind is polled in its own thread: one router answers in 0.3 ms, another in 30 ms.
        """
        begin = time.monotonic()

        def look(kind: str) -> float:
            left = [peering for peering in self.peerings if peering.kind == kind]

            def finished() -> bool:
                left[:] = [peering for peering in left if not done(peering)]
                return not left

            wait_for(finished, lambda: "\n".join([*map(what, left), self.balancer.log]), within)
            return time.monotonic() - begin

        with ThreadPoolExecutor() as threads:
            return dict(zip(kinds, threads.map(look, kinds), strict=True))
