"""Sessions of one balancer with the routers of a lab, and what the routers should hold."""

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
from tests.harness.bgp.network import KINDS, ROUTER_ASN, Lab
from tests.harness.bgp.router import Neighbour, Route, Routes
from tests.harness.daemon_process import wait_for

BALANCER_ASN = 64600
VIP, VIP6 = Announcement(ip_address("198.51.100.1"), 10), Announcement(ip_address("2001:db8::1"), 20)


@dataclass(frozen=True)
class Contact:
    """One session: what the balancer is told about the router, and the router about the balancer."""

    kind: str
    peer: PeerSettings
    neighbour: Neighbour

    def holds(self, announcements: Iterable[Announcement]) -> Routes:
        """Return what the router holds when it was told all of these."""
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


def contact(
    lab: Lab, kind: str, case: int, family: int = 4, *, password_file: Path | None = None, **options: object
) -> Contact:
    """Return a plain session, but for the ``options``, which are those of PeerSettings."""
    there, here = lab.pair(kind, case, family, far="multihop" in options)
    nexthop_ipv4, nexthop_ipv6 = lab.nexthops(kind)
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
    return Contact(kind, peer, neighbour)


class Scene:
    """The routers started for their contacts, and a balancer that speaks to all of them.

    ``options`` are those of BGPSettings.
    """

    def __init__(self, lab: Lab, directory: Path, python: str, contacts: Iterable[Contact], **options: Any) -> None:
        self.lab = lab
        self.contacts = tuple(contacts)
        for kind in KINDS:
            lab.routers[kind].stop()
            self.start(kind)
        settings = BGPSettings(tuple(contact.peer for contact in self.contacts), **options)
        self.balancer = Balancer(lab.balancer, directory / "balancer", settings, python)

    def close(self) -> None:
        self.balancer.close()
        for router in self.lab.routers.values():
            router.stop()

    def start(self, kind: str) -> None:
        """Start a router, for the first time or again."""
        self.lab.routers[kind].start(*(contact.neighbour for contact in self.contacts if contact.kind == kind))

    def routes(self, contact: Contact) -> Routes:
        return self.lab.routers[contact.kind].routes(contact.neighbour)

    def announce(self, *announcements: Announcement) -> None:
        self.balancer.announce(announcements)

    def held(
        self, *announcements: Announcement, within: float = 30.0, kinds: Sequence[str] = KINDS
    ) -> Mapping[str, float]:
        """Wait until every router holds just these from every contact; return after how many seconds each did."""
        return self.times(
            lambda contact: self.routes(contact) == contact.holds(announcements),
            lambda contact: f"{contact.kind}: {self.routes(contact)}, wanted {contact.holds(announcements)}",
            within,
            kinds,
        )

    def times(
        self,
        done: Callable[[Contact], bool],
        what: Callable[[Contact], str],
        within: float = 30.0,
        kinds: Sequence[str] = KINDS,
    ) -> Mapping[str, float]:
        """Return after how many seconds it was done for all contacts of each kind of router.

        Each kind is looked at in a thread of its own: one answers in 0.3 ms, another in 30.
        """
        begin = time.monotonic()

        def look(kind: str) -> float:
            left = [contact for contact in self.contacts if contact.kind == kind]

            def finished() -> bool:
                left[:] = [contact for contact in left if not done(contact)]
                return not left

            wait_for(finished, lambda: "\n".join([*map(what, left), self.balancer.log]), within)
            return time.monotonic() - begin

        with ThreadPoolExecutor() as threads:
            return dict(zip(kinds, threads.map(look, kinds), strict=True))
