"""Every kind of session with every router, all in one ExaBGP: routes arrive with all attributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest

from pybal.bgp.model import Announcement, SessionState
from tests.harness.bgp.network import KINDS, ROUTER_ASN, RouterNetwork
from tests.harness.bgp.sessions import VIP, VIP6, Topology, peering
from tests.harness.daemon_process import wait_for

DRAINED = Announcement(ip_address("198.51.100.2"), 4294967294, graceful_shutdown=True)
ALL = (VIP, VIP6, DRAINED)

KEYED = "keyed"
CASES: dict[str, dict[str, Any]] = {
    "eBGP over IPv4": {},
    "eBGP over IPv6": {"family": 6},
    "iBGP over IPv4": {"local_asn": ROUTER_ASN},
    "iBGP over IPv6": {"local_asn": ROUTER_ASN, "family": 6},
    "MD5 over IPv4": {KEYED: True},
    "MD5 over IPv6": {KEYED: True, "family": 6},
    "TTL security over IPv4": {"ttl_security": True},
    "TTL security over IPv6": {"ttl_security": True, "family": 6},
    "multihop": {"multihop": 4},
    "multihop over IPv6": {"multihop": 4, "family": 6},
    "iBGP multihop with MD5": {"multihop": 4, "local_asn": ROUTER_ASN, KEYED: True},
    "AS path": {"as_path": (64600, 64600, 64610)},
    "communities": {
        "communities": ("64600:2", "64600:1"),
        "large_communities": ("64600:1:2", "4200000001:4294967295:0"),
    },
    "AS number of 4 bytes": {"local_asn": 4200000001},
    "the shortest hold time": {"hold_time": 3},
}


@pytest.fixture(scope="module")
def topology(network: RouterNetwork, python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """All peerings, with all VIPs announced."""
    directory = tmp_path_factory.mktemp("matrix")
    key = directory / "key"
    key.write_text("not-a-secret.42\n")
    peerings = []
    for kind in KINDS:
        for number, given in enumerate(CASES.values(), 1):
            options = dict(given)
            password_file = key if options.pop(KEYED, False) else None
            peerings.append(
                peering(network, kind, number, options.pop("family", 4), password_file=password_file, **options)
            )
    with closing(Topology(network, directory, python, peerings)) as opened:
        opened.announce(*ALL)
        yield opened


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_router_holds_the_routes_with_all_attributes(topology: Topology, kind: str, case: str) -> None:
    number = list(CASES).index(case) + len(CASES) * KINDS.index(kind)
    mine = topology.peerings[number]
    wait_for(
        lambda: topology.routes(mine) == mine.holds(ALL),
        lambda: f"{topology.routes(mine)}\nwanted {mine.holds(ALL)}\n{topology.balancer.log}",
    )
    assert topology.network.routers[kind].established(mine.neighbour)


def test_every_session_is_established_once_without_errors(topology: Topology) -> None:
    wait_for(lambda: all(s.established for s in topology.balancer.sessions().values()), lambda: topology.balancer.log)
    sessions = topology.balancer.sessions().values()
    assert [s for s in sessions if s.entered[SessionState.ESTABLISHED] != 1 or s.refused] == []
    assert [s for s in sessions if set(s.on_wire) != set(ALL) or s.wanted != len(ALL)] == []
    # 4.2 does not check the TTL, which one alert reports for all peers.
    assert [text for text in topology.balancer.alerts() if "TTL" not in text] == []


def test_changes_and_withdrawals_reach_every_router(topology: Topology) -> None:
    changed = Announcement(VIP.vip, 99)
    topology.announce(changed, VIP6)
    topology.held(changed, VIP6)
    topology.announce(VIP6)
    topology.held(VIP6)
    topology.announce(*ALL)
    topology.held(*ALL)
