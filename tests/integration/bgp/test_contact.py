"""Who connects to whom, and what is learnt when they do."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pybal.bgp.model import SessionState
from pybal.config.settings import BGPSettings
from tests.harness.bgp.network import KINDS, Lab
from tests.harness.bgp.sessions import VIP, VIP6, Scene, contact
from tests.harness.daemon_process import wait_for


def test_a_router_whose_as_number_is_not_given_is_taken_at_its_word(lab: Lab, python: str, tmp_path: Path) -> None:
    contacts = [contact(lab, kind, 1, peer_asn=None) for kind in KINDS]
    with closing(Scene(lab, tmp_path, python, contacts)) as scene:
        scene.announce(VIP, VIP6)
        scene.held(VIP, VIP6)


def test_a_router_that_connects_to_us_and_does_not_listen_holds_the_routes(
    lab: Lab, python: str, tmp_path: Path
) -> None:
    """On the one address that we listen on for each router."""
    contacts = [contact(lab, kind, 1) for kind in KINDS]
    contacts = [replace(each, neighbour=replace(each.neighbour, passive=False)) for each in contacts]
    local_ips = tuple(each.neighbour.address for each in contacts)
    with closing(Scene(lab, tmp_path, python, contacts, local_ips=local_ips)) as scene:
        scene.announce(VIP, VIP6)
        scene.held(VIP, VIP6)


def test_routers_come_and_go_and_the_sessions_of_the_others_stay_up(lab: Lab, python: str, tmp_path: Path) -> None:
    contacts = [contact(lab, kind, 1) for kind in KINDS]
    with closing(Scene(lab, tmp_path, python, contacts)) as scene:
        scene.announce(VIP, VIP6)
        scene.held(VIP, VIP6)
        peers = [each.peer for each in contacts]
        scene.balancer.reconfigure(BGPSettings(tuple(peers[:2])))
        wait_for(
            lambda: scene.routes(contacts[2]) == {}, lambda: f"the last router without routes\n{scene.balancer.log}"
        )
        scene.announce(VIP)
        wait_for(lambda: scene.routes(contacts[0]) == contacts[0].holds([VIP]), lambda: scene.balancer.log)
        scene.balancer.reconfigure(BGPSettings(tuple(peers)))
        scene.held(VIP)
        sessions = scene.balancer.sessions()
        assert [sessions[peer.address].entered.get(SessionState.ESTABLISHED) for peer in peers] == [1, 1, 1]
        assert scene.balancer.alerts() == []
