"""Connection setup: the direction of the connection, AS number detection, changes of the peers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    "options", [{"hold_time": 30}, {"communities": ("64600:9",)}, {"router_id": IPv4Address("192.0.2.8")}]
)
def test_changed_options_reset_their_peer_only(
    network: RouterNetwork, python: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    peerings = [peering(network, kind, 1) for kind in KINDS]
    with closing(Topology(network, tmp_path, python, peerings)) as topology:
        topology.announce(VIP, VIP6)
        topology.held(VIP, VIP6)
        changed = replace(peerings[0], peer=replace(peerings[0].peer, **options))
        topology.balancer.reconfigure(BGPSettings((changed.peer, *(each.peer for each in peerings[1:]))))
        wait_for(
            lambda: topology.balancer.sessions()[changed.peer.address].established,
            lambda: f"the changed session established\n{topology.balancer.log}",
        )
        topology.peerings = (changed, *peerings[1:])
        topology.held(VIP, VIP6)
        sessions = topology.balancer.sessions()
        entered = [sessions[each.peer.address].entered.get(SessionState.ESTABLISHED) for each in peerings]
        assert entered == [1, 1, 1], topology.balancer.log
        assert topology.balancer.alerts() == []
        assert "exabgp ended" not in topology.balancer.log


def test_changed_password_resets_its_peer_only_while_a_router_is_down(
    network: RouterNetwork, python: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("before\n")
    first, second, third = KINDS
    peerings = [
        peering(network, first, 1, password_file=secret),
        peering(network, second, 1),
        peering(network, third, 1),
    ]
    with closing(Topology(network, tmp_path, python, peerings)) as topology:
        topology.announce(VIP)
        topology.held(VIP)
        network.routers[third].stop()
        secret.write_text("after\n")
        peerings[0] = peering(network, first, 1, password_file=secret)
        topology.peerings = tuple(peerings)
        topology.balancer.reconfigure(BGPSettings(tuple(each.peer for each in peerings)))
        network.routers[first].stop()
        topology.start(first)
        topology.held(VIP, kinds=[first, second])
        sessions = topology.balancer.sessions()
        assert sessions[peerings[1].peer.address].entered.get(SessionState.ESTABLISHED) == 1, topology.balancer.log
