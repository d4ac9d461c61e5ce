"""Connection setup: the direction of the connection, AS number detection, changes of the peers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pybal.bgp.model import SessionState
from pybal.config.settings import BGPSettings
from tests.harness.bgp.network import KINDS, RouterNetwork
from tests.harness.bgp.sessions import VIP, VIP6, Topology, peering
from tests.harness.daemon_process import wait_for


def test_router_without_a_configured_as_number_is_accepted(network: RouterNetwork, python: str, tmp_path: Path) -> None:
    peerings = [peering(network, kind, 1, peer_asn=None) for kind in KINDS]
    with closing(Topology(network, tmp_path, python, peerings)) as topology:
        topology.announce(VIP, VIP6)
        topology.held(VIP, VIP6)


def test_routers_that_connect_to_the_balancer_hold_the_routes(
    network: RouterNetwork, python: str, tmp_path: Path
) -> None:
    """The balancer listens on one address for each router."""
    peerings = [peering(network, kind, 1) for kind in KINDS]
    peerings = [replace(each, neighbour=replace(each.neighbour, passive=False)) for each in peerings]
    local_ips = tuple(each.neighbour.address for each in peerings)
    with closing(Topology(network, tmp_path, python, peerings, local_ips=local_ips)) as topology:
        topology.announce(VIP, VIP6)
        topology.held(VIP, VIP6)


def test_peers_are_added_and_removed_while_other_sessions_stay_up(
    network: RouterNetwork, python: str, tmp_path: Path
) -> None:
    peerings = [peering(network, kind, 1) for kind in KINDS]
    with closing(Topology(network, tmp_path, python, peerings)) as topology:
        topology.announce(VIP, VIP6)
        topology.held(VIP, VIP6)
        peers = [each.peer for each in peerings]
        topology.balancer.reconfigure(BGPSettings(tuple(peers[:2])))
        wait_for(
            lambda: topology.routes(peerings[2]) == {},
            lambda: f"the last router without routes\n{topology.balancer.log}",
        )
        topology.announce(VIP)
        wait_for(lambda: topology.routes(peerings[0]) == peerings[0].holds([VIP]), lambda: topology.balancer.log)
        topology.balancer.reconfigure(BGPSettings(tuple(peers)))
        topology.held(VIP)
        sessions = topology.balancer.sessions()
        assert [sessions[peer.address].entered.get(SessionState.ESTABLISHED) for peer in peers] == [1, 1, 1]
        assert topology.balancer.alerts() == []
