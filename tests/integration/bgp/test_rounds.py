"""Random changes of the goal while sessions fail: the routers end with the last goal."""

from __future__ import annotations

import os
import random
import signal
from ipaddress import ip_address

import pytest

from pybal.bgp.model import Announcement
from tests.harness.bgp.balancer import children
from tests.harness.bgp.network import KINDS
from tests.harness.bgp.sessions import Topology

ROUNDS = 60
VIPS = [ip_address(f"198.51.100.{number}") for number in range(1, 13)]
VIPS += [ip_address(f"2001:db8::{number}") for number in range(1, 5)]


@pytest.mark.parametrize("seed", [20261121])
def test_routers_end_with_the_last_goal_after_random_changes(topology: Topology, seed: int) -> None:
    choice = random.Random(seed)
    failures = {12: "bird", 24: "frr", 36: "exabgp", 48: "gobgp"}
    for number in range(ROUNDS):
        if number in failures:
            _fail(topology, failures[number])
        # Few values, so that withdrawn routes return: ExaBGP reorders such changes.
        goals = [
            [
                Announcement(vip, choice.choice([10, 20]), graceful_shutdown=choice.random() < 0.1)
                for vip in VIPS
                if choice.random() < 0.7
            ]
            for _ in range(choice.randint(1, 12))
        ]
        topology.balancer.announce_in_turn(goals)
        topology.held(*goals[-1])


def _fail(topology: Topology, program: str) -> None:
    """Restart a router, or kill ExaBGP."""
    if program in KINDS:
        topology.network.routers[program].stop()
        topology.start(program)
    else:
        os.kill(children(topology.balancer.pid)[0], signal.SIGKILL)
