"""Faults of the table in the kernel: other programs that write to it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from typing_extensions import override

from tests.chaos.whole_system.fault import BalancerFault, Consequences, Fault, alerts
from tests.chaos.whole_system.site import VIPS


class TableFlushed(BalancerFault):
    """``ipvsadm -C``, which pybal repairs."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(possible=alerts({name}, "not-in-ipvs", "ipvs", "ipvs-writer", "not-announced"))

    @override
    def cause(self) -> None:
        self.balancer.host.run("ipvsadm", "-C")

    @override
    def repair(self) -> None:
        pass


class TableEdited(BalancerFault):
    """a destination removed or changed with ipvsadm, which pybal repairs."""

    @override
    def choose(self, random: Random) -> str:
        self.service = f"{random.choice(list(VIPS.values()))}:80"
        self.server = f"{random.choice(self.site.network.servers).address}:80"
        self.words = random.choice([("-d",), ("-e", "-w", "0"), ("-e", "-w", "77")])
        return f"{super().choose(random)}: {self.words[0]} {self.service} {self.server}"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(possible=alerts({name}, "ipvs", "ipvs-writer"))

    @override
    def cause(self) -> None:
        command, *weight = self.words
        gateway = ("-g",) if command == "-e" else ()
        self.balancer.host.run("ipvsadm", command, "-t", self.service, "-r", self.server, *gateway, *weight)

    @override
    def repair(self) -> None:
        pass


class ForeignService(BalancerFault):
    """a service of another program in the table."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "ipvs-foreign"))

    @override
    def cause(self) -> None:
        self.balancer.host.run("ipvsadm", "-A", "-t", "10.2.9.9:80", "-s", "rr")

    @override
    def repair(self) -> None:
        self.balancer.host.run("ipvsadm", "-D", "-t", "10.2.9.9:80")


KINDS: Sequence[type[Fault]] = (TableFlushed, TableEdited, ForeignService)
