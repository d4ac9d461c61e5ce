"""A router with bird that forwards packets for VIPs to the balancer with the lowest MED."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.harness.daemon_process import wait_for
from tests.harness.guest.network import VIP, Host

ASN = 64601
BALANCER_ASN = 64600
HOLD_TIME = 3

_HEAD = """\
router id {router};
protocol device {{ scan time 1; }}
protocol kernel {{ ipv4 {{ export all; }}; }}
"""
_NEIGHBOUR = """\
protocol bgp {name} {{
    local {router} as {asn};
    neighbor {balancer} as {balancer_asn};
    direct;
    passive;
    hold time {hold_time};
    error wait time 1, 2;
    ipv4 {{ import all; export none; }};
}}
"""


class BirdRouter:
    """``host`` with bird, passive for the sessions of ``balancers``; its files are in ``directory``."""

    def __init__(self, host: Host, directory: Path, balancers: Iterable[Host]) -> None:
        self.host = host
        self._control = directory / "bird.ctl"
        conf = directory / "bird.conf"
        text = _HEAD.format(router=host.address)
        for balancer in balancers:
            text += _NEIGHBOUR.format(
                name=balancer.name,
                router=host.address,
                asn=ASN,
                balancer=balancer.address,
                balancer_asn=BALANCER_ASN,
                hold_time=HOLD_TIME,
            )
        conf.write_text(text)
        host.sysctl("net.ipv4.ip_forward", 1)
        for device in ("all", "eth0"):  # packets leave on the device they came in on
            host.sysctl(f"net.ipv4.conf.{device}.send_redirects", 0)
        host.popen(["bird", "-f", "-c", str(conf), "-s", str(self._control)])
        wait_for(self._control.exists, lambda: "bird")

    def next_hop(self) -> str:
        """Return the next hop of the VIP, empty without a route."""
        words = self.host.run("ip", "-4", "route", "show", f"{VIP}/32").split()
        return words[words.index("via") + 1] if "via" in words else ""

    def established(self, balancer: Host) -> bool:
        return "Established" in self._protocol(balancer)

    def updates(self, balancer: Host) -> int:
        """Return how many announcements a balancer has sent in this session, withdrawn ones included."""
        found = re.search(r"Import updates: +(\d+)", self._protocol(balancer))
        return int(found[1]) if found else 0

    def _protocol(self, balancer: Host) -> str:
        return self.host.run("birdc", "-s", str(self._control), "show", "protocols", "all", balancer.name)
