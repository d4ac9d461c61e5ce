"""A balancer and its routers, each in its own network namespace, with one cable to each router.

The namespaces have no names: they end with their last descriptor, even if the tests are killed, and concurrent suites do
not interfere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from pybal.core.model import Address
from tests.harness.bgp.bird import Bird
from tests.harness.bgp.frr import Frr
from tests.harness.bgp.gobgp import Gobgp
from tests.harness.bgp.router import Program, Router
from tests.harness.guest import namespace

ROUTER_ASN = 64601
KINDS = ("bird", "frr", "gobgp")
CASES = 16
_PROGRAMS: Mapping[str, Program] = {"bird": Bird(), "frr": Frr(), "gobgp": Gobgp()}
_FORMS = {4: "10.{}.{}.{}", 6: "fd91:{}:{}::{}"}
_FAR = 100


def missing() -> str:
    """Return why the network cannot be created here, empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [program for kind in _PROGRAMS.values() for program in kind.programs if not Path(program).exists()]
    if absent or not shutil.which("ip"):
        return f"missing: {', '.join(absent) or 'ip'}; `make packages` installs it"
    return ""


class RouterNetwork:
    """Routers by kind, not started, each with a cable to the namespace ``balancer``."""

    def __init__(self, directory: Path) -> None:
        self.balancer = namespace.create()
        self.routers: dict[str, Router] = {}
        _ip(self.balancer, "link set lo up")
        for kind in KINDS:
            place = directory / kind
            place.mkdir()
            inside = namespace.create()
            self.routers[kind] = Router(_PROGRAMS[kind], inside, place, ROUTER_ASN)
            self._lay_cable(kind, inside)

    def close(self) -> None:
        for router in self.routers.values():
            router.stop()
            os.close(router.namespace)
        os.close(self.balancer)

    def pair(self, kind: str, case: int, family: int = 4, *, far: bool = False) -> tuple[Address, Address]:
        """Return an address of the router and one of the balancer, for ``case`` from 1 to CASES.

        ``far`` addresses are not on the cable: packets between them pass a hop.
        """
        number, net = KINDS.index(kind) + 1, case + _FAR * far
        return ip_address(_FORMS[family].format(number, net, 1)), ip_address(_FORMS[family].format(number, net, 2))

    def nexthops(self, kind: str) -> tuple[IPv4Address, IPv6Address]:
        """Return unused addresses on the cable to the router, for next hops."""
        number = KINDS.index(kind) + 1
        return IPv4Address(f"10.{number}.0.9"), IPv6Address(f"fd91:{number}::9")

    def cut(self, kind: str) -> None:
        """Cut the cable: neither side can close its connection."""
        _ip(self.balancer, f"link set {kind} down")

    def mend(self, kind: str) -> None:
        """Mend the cable."""
        _ip(self.balancer, f"link set {kind} up")

    def _lay_cable(self, kind: str, inside: int) -> None:
        _ip(self.balancer, f"link add {kind} type veth peer name balancer netns /proc/self/fd/{inside}", pass_on=inside)
        for end, space, device in ((0, inside, "balancer"), (1, self.balancer, kind)):
            commands = [f"link set {device} up", "link set lo up"]
            for family, width in ((4, 16), (6, 32)):
                hop = self.pair(kind, 1, family)[1 - end]
                commands += [
                    f"addr add {self.pair(kind, case, family)[end]}/{width} dev {device} {'nodad' if family == 6 else ''}"
                    for case in range(1, CASES + 1)
                ]
                for case in range(1, CASES + 1):
                    far = self.pair(kind, case, family, far=True)
                    commands += [f"addr add {far[end]} dev lo", f"route add {far[1 - end]} via {hop}"]
            _ip(space, *commands)


def _ip(inside: int, *commands: str, pass_on: int | None = None) -> None:
    """Run commands of ip(8) in the namespace of the descriptor ``inside``."""
    descriptors = () if pass_on is None else (pass_on,)
    with namespace.entered(inside):
        subprocess.run(("ip", "-batch", "-"), input="\n".join(commands), text=True, check=True, pass_fds=descriptors)
