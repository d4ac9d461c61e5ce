"""Misconfigured sessions are not established, and an alert shows the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pybal.bgp.model import SessionState
from tests.harness.bgp.network import KINDS, RouterNetwork
from tests.harness.bgp.sessions import VIP, Peering, Topology, peering
from tests.harness.daemon_process import wait_for

NO_CONNECTION = ("never established", "no TCP connection")
# Both ends set the minimum TTL after the connection: on a busy machine some messages pass before, and an end closes.
TTL_CHECK = (
    *NO_CONNECTION,
    "hold timer expired",
    "before the session was established",
    "without a NOTIFICATION",
    "connection not synchronized",
)
LATE_TTL_CHECK = "TTL security that we lack"
"""FRR sets the minimum TTL after accepting: an OPEN that arrives before may establish the session."""
REASONS = {
    "another MD5 key": NO_CONNECTION,
    "an MD5 key that the router lacks": NO_CONNECTION,
    "an MD5 key that we lack": NO_CONNECTION,
    "TTL security that the router lacks": TTL_CHECK,
    LATE_TTL_CHECK: TTL_CHECK,
    "another AS than the router is of": ("bad peer AS",),
    "another AS than the router expects": ("bad peer AS",),
}
ONE_SIDED = "TTL security that the router lacks"
"""ExaBGP checks the TTL since 5.0.14."""


@pytest.fixture(scope="module")
def topology(network: RouterNetwork, python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """Peerings with one mistake each, and one without a mistake for each router."""
    directory = tmp_path_factory.mktemp("refused")
    key = directory / "key"
    key.write_text("not-a-secret.42\n")
    peerings = [each for kind in KINDS for each in (peering(network, kind, 15), *_mistaken(network, kind, key))]
    with closing(Topology(network, directory, python, peerings)) as opened:
        opened.announce(VIP)
        yield opened


def _mistaken(network: RouterNetwork, kind: str, key: Path) -> list[Peering]:
    """Return a peering for each mistake, in the order of REASONS."""
    keyed, unkeyed, plain, strict, lax, here, there = (
        peering(network, kind, 1, password_file=key),
        peering(network, kind, 2, password_file=key),
        peering(network, kind, 3),
        peering(network, kind, 4, ttl_security=True),
        peering(network, kind, 5),
        peering(network, kind, 6, peer_asn=64699),
        peering(network, kind, 7),
    )
    return [
        replace(keyed, neighbour=replace(keyed.neighbour, password="another-secret.42")),
        replace(unkeyed, neighbour=replace(unkeyed.neighbour, password="")),
        replace(plain, neighbour=replace(plain.neighbour, password="not-a-secret.42")),
        replace(strict, neighbour=replace(strict.neighbour, ttl_security=False)),
        replace(lax, neighbour=replace(lax.neighbour, ttl_security=True)),
        here,
        replace(there, neighbour=replace(there.neighbour, asn=64698)),
    ]


@pytest.mark.parametrize("mistake", [mistake for mistake in REASONS if mistake != ONE_SIDED])
@pytest.mark.parametrize("kind", KINDS)
def test_misconfigured_session_is_not_established_and_raises_an_alert(
    topology: Topology, kind: str, mistake: str
) -> None:
    _refused(topology, kind, mistake)


@pytest.mark.parametrize("python", ["exabgp5"], indirect=True, scope="module")
@pytest.mark.parametrize("kind", KINDS)
def test_missing_ttl_security_of_the_router_is_detected(topology: Topology, kind: str) -> None:
    _refused(topology, kind, ONE_SIDED)


@pytest.mark.parametrize("python", ["exabgp42"], indirect=True, scope="module")
def test_exabgp_without_ttl_check_raises_an_alert(topology: Topology) -> None:
    wait_for(
        lambda: any("exabgp 4.2.21 does not check the TTL" in text for text in topology.balancer.alerts()),
        lambda: topology.balancer.log,
    )


def _refused(topology: Topology, kind: str, mistake: str) -> None:
    mine = [each for each in topology.peerings if each.kind == kind][1 + list(REASONS).index(mistake)]
    address = str(mine.peer.address)

    def alerts() -> list[str]:
        return [text for text in topology.balancer.alerts() if f" {address} down " in text]

    def reported() -> bool:
        # Not in the first 5 s, in which any peer is reported like this.
        tried = not any(re.search(r" down for [0-4] s \(\w+\): never established", text) for text in alerts())
        return tried and any(reason in text for text in alerts() for reason in REASONS[mistake])

    wait_for(reported, lambda: f"{alerts()}, wanted {REASONS[mistake]}\n{topology.balancer.log}")
    if mistake == LATE_TTL_CHECK:
        wait_for(lambda: topology.routes(mine) == {}, lambda: f"{topology.routes(mine)}, wanted none")
        return
    assert SessionState.ESTABLISHED not in topology.balancer.sessions()[mine.peer.address].entered
    assert topology.routes(mine) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_correct_session_is_not_disturbed(topology: Topology, kind: str) -> None:
    mine = next(each for each in topology.peerings if each.kind == kind)
    wait_for(lambda: topology.routes(mine) == mine.holds([VIP]), lambda: topology.balancer.log)
    assert topology.balancer.sessions()[mine.peer.address].entered[SessionState.ESTABLISHED] == 1
