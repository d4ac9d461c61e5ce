"""Routers with bird or FRRouting that forward packets for VIPs to the balancer with the lowest MED."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from tests.harness.bgp.frr import Frr
from tests.harness.bgp.router import Neighbour
from tests.harness.guest.network import VIP, Host
from tests.harness.guest.program import HostProgram

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
    {password}
    ipv4 {{ import all; export none; }};
}}
"""

_ZEBRA = Path("/run/frr")
"""The directory of zebra's sockets, which it opens as its own user; a guest has one zebra."""


class BirdRouter:
    """``host`` with bird, passive for the sessions of ``balancers``; its files are in ``directory``.

    ``hold_time`` is in seconds. With a ``password`` all sessions have MD5 signatures (RFC 2385).
    """

    def __init__(
        self,
        host: Host,
        directory: Path,
        balancers: Sequence[Host],
        *,
        password: str = "",
        hold_time: int = HOLD_TIME,
    ) -> None:
        self.host = host
        self._balancers = balancers
        self._hold_time = hold_time
        self._conf = directory / "bird.conf"
        self._control = directory / "bird.ctl"
        _forward(host)
        self.configure(password)
        command = ["/usr/sbin/bird", "-f", "-c", str(self._conf), "-s", str(self._control)]
        self.program = HostProgram(host, command, directory, self._ready)
        self.program.start()

    def configure(self, password: str) -> None:
        """Write the configuration for the next start."""
        text = _HEAD.format(router=self.host.address)
        for balancer in self._balancers:
            text += _NEIGHBOUR.format(
                name=balancer.name,
                router=self.host.address,
                asn=ASN,
                balancer=balancer.address,
                balancer_asn=BALANCER_ASN,
                hold_time=self._hold_time,
                password=f'password "{password}";' if password else "",
            )
        self._conf.write_text(text)

    def _ready(self) -> bool:
        """Return whether bird responds; its socket remains after it was killed."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._control)) == 0

    def next_hop(self, vip: IPv4Address = VIP) -> str:
        """Return the next hop of a VIP, empty without a route."""
        return _next_hop(self.host, vip)

    def established(self, balancer: Host) -> bool:
        return "Established" in self._protocol(balancer)

    def routes(self, balancer: Host) -> Mapping[str, int]:
        """Return the MED of each prefix that a balancer announces."""
        text = self._ask("show", "route", "all", "protocol", balancer.name)
        prefixes = re.findall(r"^(\S+)/32 ", text, re.MULTILINE)
        return dict(zip(prefixes, map(int, re.findall(r"BGP\.med: (\d+)", text)), strict=True))

    def updates(self, balancer: Host) -> int:
        """Return how many announcements a balancer has sent in this session, withdrawn ones included."""
        found = re.search(r"Import updates: +(\d+)", self._protocol(balancer))
        return int(found[1]) if found else 0

    def _protocol(self, balancer: Host) -> str:
        return self._ask("show", "protocols", "all", balancer.name)

    def _ask(self, *words: str) -> str:
        return self.host.run("birdc", "-s", str(self._control), *words)


class FrrRouter:
    """``host`` with zebra and bgpd of FRRouting; otherwise like :class:`BirdRouter`."""

    def __init__(
        self, host: Host, directory: Path, balancers: Sequence[Host], *, password: str = "", hold_time: int = HOLD_TIME
    ) -> None:
        self.host = host
        self._directory = directory
        self._bgpd = Frr()
        self._neighbours = {
            balancer.name: Neighbour(balancer.address, host.address, BALANCER_ASN, hold_time=hold_time)
            for balancer in balancers
        }
        _forward(host)
        command = self.configure(password)
        _ZEBRA.mkdir(exist_ok=True)
        shutil.chown(_ZEBRA, "frr", "frr")
        self._zebra = HostProgram(host, ["/usr/lib/frr/zebra", "-P", "0"], directory, (_ZEBRA / "zserv.api").exists)
        self._zebra.start()
        self.program = HostProgram(host, command, directory, lambda: self._bgpd.ready(directory))
        self.program.start()

    def configure(self, password: str) -> Sequence[str]:
        """Write the configuration for the next start and return the command."""
        neighbours = [replace(neighbour, password=password) for neighbour in self._neighbours.values()]
        return self._bgpd.configure(self._directory, ASN, neighbours, zebra=True)

    def next_hop(self, vip: IPv4Address = VIP) -> str:
        """Return the next hop of a VIP, empty without a route."""
        return _next_hop(self.host, vip)

    def established(self, balancer: Host) -> bool:
        return self._bgpd.established(self._directory, self._neighbours[balancer.name])

    def routes(self, balancer: Host) -> Mapping[str, int]:
        """Return the MED of each prefix that a balancer announces."""
        found = self._bgpd.routes(self._directory, self._neighbours[balancer.name])
        return {str(prefix.network_address): route.med or 0 for prefix, route in found.items()}


def _forward(host: Host) -> None:
    host.sysctl("net.ipv4.ip_forward", 1)
    for device in ("all", "eth0"):  # packets leave on the device they came in on
        host.sysctl(f"net.ipv4.conf.{device}.send_redirects", 0)


def _next_hop(host: Host, vip: IPv4Address) -> str:
    words = host.run("ip", "-4", "route", "show", f"{vip}/32").split()
    return words[words.index("via") + 1] if "via" in words else ""
