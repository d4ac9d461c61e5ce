"""The script check-real-server with real IPVS: clients fail, and its commands repair the server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.harness.guest.network import VIP, Host, LVSNetwork, lab

SCRIPT = Path(__file__).resolve().parents[3] / "etc/check-real-server"
ROUTED, TUNNELLED = 80, 81
"""The ports of the service with direct routing and of that with tunnels."""


VIP_MISSING = (f"ip addr del {VIP}/32 dev lo", f"VIP {VIP}: on no device, wanted on lo")
TUNNEL_DOWN = ("ip link set tunl0 down", "tunl0: down, wanted up")
LOOSE = ("sysctl -w net.ipv4.conf.tunl0.rp_filter=2", "net.ipv4.conf.tunl0.rp_filter: 2, wanted 0")


@pytest.fixture(scope="module")
def network() -> Iterator[LVSNetwork]:
    """A server without a fault, and both services on the director."""
    with lab(servers=1) as made:
        server = made.servers[0]
        server.ip("route add default via 10.0.0.2 advmss 1440")
        for port, method in ((ROUTED, "-g"), (TUNNELLED, "-i")):
            server.serve(port)
            made.director.run("ipvsadm", "-A", "-t", f"{VIP}:{port}", "-s", "rr")
            made.director.run("ipvsadm", "-a", "-t", f"{VIP}:{port}", "-r", f"{server.address}:{port}", method)
        yield made


def _check(server: Host, *arguments: str) -> tuple[int, str]:
    with server.entered():
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def _served(network: LVSNetwork) -> list[int]:
    ports = []
    for port in (ROUTED, TUNNELLED):
        try:
            network.client.get(VIP, port, timeout=1)
            ports.append(port)
        except OSError:
            continue
    return ports


@pytest.mark.parametrize(
    ("faults", "served"),
    [([LOOSE], [ROUTED]), ([VIP_MISSING, TUNNEL_DOWN], [])],
    ids=["rp_filter", "VIP and tunnel"],
)
def test_clients_are_served_after_the_commands_of_the_script(
    network: LVSNetwork, faults: Sequence[tuple[str, str]], served: list[int]
) -> None:
    server, arguments = network.servers[0], ("-t", str(TUNNELLED), str(VIP))
    for plant, _ in faults:
        server.run("sh", "-c", plant)
    assert _served(network) == served
    status, found = _check(server, *arguments)
    assert status == 2
    assert re.findall(r"^fail +(.*)", found, re.MULTILINE) == [finding for _, finding in faults]
    for repair in re.findall(r"fix: (.*)", found):
        server.run("sh", "-c", repair)
    assert _check(server, *arguments)[0] == 0
    assert _served(network) == [ROUTED, TUNNELLED]
