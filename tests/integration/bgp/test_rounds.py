"""Random announcements, other MEDs and withdrawals, while sessions fall: in the end every router holds what it should."""

from __future__ import annotations

import os
import random
import signal
from ipaddress import ip_address

import pytest

from pybal.bgp.model import Announcement
from tests.harness.bgp.balancer import children
from tests.harness.bgp.network import KINDS
from tests.harness.bgp.sessions import Scene

ROUNDS = 60
VIPS = [ip_address(f"198.51.100.{number}") for number in range(1, 13)]
VIPS += [ip_address(f"2001:db8::{number}") for number in range(1, 5)]


@pytest.mark.parametrize("seed", [20261121])
def test_whatever_order_things_change_in_the_routers_end_with_what_is_wanted(scene: Scene, seed: int) -> None:
    choice = random.Random(seed)
    falls = {12: "bird", 24: "frr", 36: "exabgp", 48: "gobgp"}
    for number in range(ROUNDS):
        if number in falls:
            _fall(scene, falls[number])
        # Few values, so that what goes comes back: that is what ExaBGP mixes up.
        goals = [
            [
                Announcement(vip, choice.choice([10, 20]), graceful_shutdown=choice.random() < 0.1)
                for vip in VIPS
                if choice.random() < 0.7
            ]
            for _ in range(choice.randint(1, 12))
        ]
        scene.balancer.announce_in_turn(goals)
        scene.held(*goals[-1])
    assert [session.repairs for session in scene.balancer.sessions().values()] == [0, 0, 0]


def _fall(scene: Scene, what: str) -> None:
    """Have a session fall, or all of them."""
    if what in KINDS:
        scene.lab.routers[what].stop()
        scene.start(what)
    else:
        os.kill(children(scene.balancer.pid)[0], signal.SIGKILL)
