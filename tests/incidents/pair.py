"""Two balancers that announce the same VIPs to a router, which prefers the first."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.router import BirdRouter
from tests.incidents.replay import Balancer, Replay

HOLD_TIME = 30
"""Seconds, because the router may be late on a busy machine; the configuration has the same."""


class Pair:
    """``lvs1`` at 10.0.0.1 and ``lvs2`` at 10.0.0.4, with the router at 10.0.0.3 on the way of the client."""

    def __init__(self, incident: Replay, vips: Sequence[IPv4Address]) -> None:
        self._incident = incident
        self._vips = vips
        network = incident.network
        second = network.add("lvs2", 4)
        for host in (network.director, second, *network.servers):
            host.ip(*(f"addr replace {vip}/32 dev lo" for vip in vips))
        for host in (network.director, second):
            host.sysctl("net.ipv4.vs.sloppy_tcp", 1)  # as on balancers with mh: connections survive a failover
        self.lvs1 = incident.balancer("lvs1")
        self.lvs2 = incident.balancer("lvs2", second)
        directory = Path(network.client.stack.enter_context(tempfile.TemporaryDirectory()))
        self.router = BirdRouter(network.add("router", 3), directory, (network.director, second), hold_time=HOLD_TIME)
        network.client.ip(*(f"route replace {vip}/32 via {self.router.host.address}" for vip in vips))

    def configure_second(self) -> None:
        """Write the files of the second balancer: those of the first with its address, and MED 100."""
        text = self.lvs1.read("/etc/pybal/pybal.conf")
        for old, new in (("= 10.0.0.1\n", "= 10.0.0.4\n"), ("bgp-med = 0\n", "bgp-med = 100\n")):
            assert old in text
            text = text.replace(old, new)
        self.lvs2.write("/etc/pybal/pybal.conf", text)
        for name in self.lvs1.run("ls /etc/pybal/pools").output.split():
            self.lvs2.write(f"/etc/pybal/pools/{name}", self.lvs1.read(f"/etc/pybal/pools/{name}"))

    def keep_announced(self) -> None:
        """Wait for both balancers, and add the invariant that a balancer announces each VIP at any time."""
        wait_for(
            lambda: all(map(self._announces_all, (self.lvs1, self.lvs2))),
            lambda: f"not announced: {self.lvs1.log[-4000:]}\n{self.lvs2.log[-4000:]}",
        )
        self.wait_for_route(self.lvs1)

        def violation() -> str:
            routed = self._routed()
            return ", ".join(f"no route to {vip}" for vip in self._vips if vip not in routed)

        self._incident.invariants.add("each VIP announced", violation)

    def wait_for_route(self, balancer: Balancer) -> None:
        """Wait until the router sends the packets of all VIPs to a balancer."""
        hop = str(balancer.host.address)
        wait_for(
            lambda: all(self.router.next_hop(vip) == hop for vip in self._vips),
            lambda: f"no routes by {balancer.name}: {balancer.log[-4000:]}",
        )

    def _routed(self) -> Collection[IPv4Address]:
        """Return the destinations of the router's routes, read without a process."""
        with self.router.host.entered():
            rows = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
        # In the byte order of the machine, as route(8) reads it.
        return {IPv4Address(int.from_bytes(bytes.fromhex(row.split()[1]), sys.byteorder)) for row in rows}

    def _announces_all(self, balancer: Balancer) -> bool:
        metrics = balancer.get("/metrics")
        return all(f'pybal_bgp_vip_announced{{vip="{vip}"}} 1.0\n' in metrics for vip in self._vips)
