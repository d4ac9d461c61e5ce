"""Faults of the network: partitions, loss and delay of packets."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from typing_extensions import override

from tests.chaos.whole_system.fault import (
    BALANCERS,
    ROUTERS,
    BalancerFault,
    Consequences,
    Fault,
    alerts,
    sessions,
)
from tests.harness.guest.network import Host

_OUTAGE = ("checker", "down", "pooled-down", "suspect-check", "unknown", "unresolved", "source", "bgp", "not-announced")
"""The kinds of alert of a balancer that some packets do not reach."""


def _drop(host: Host, others: Sequence[Host]) -> None:
    """Drop all packets between a host and others, without a word to either side."""
    host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    for other in others:
        for direction, field in (("ingress", "src_ip"), ("egress", "dst_ip")):
            host.run(
                *("tc", "filter", "add", "dev", "eth0", direction, "protocol", "ip", "flower"),
                *(field, str(other.address), "action", "drop"),
            )


def _pass(host: Host) -> None:
    """End all that :func:`_drop` did on a host."""
    host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")


class Isolated(BalancerFault):
    """partitioned from every other host, as by a dead switch port."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(
            raised=alerts({name}, "bgp"),
            possible=alerts({name}, *_OUTAGE),
            withdrawn=sessions(name),
            unchecked=frozenset({name}),
        )

    @override
    def cause(self) -> None:
        self.site.network.cable(self.balancer.host, up=False)

    @override
    def repair(self) -> None:
        self.site.network.cable(self.balancer.host, up=True)


class WithoutRouter(BalancerFault):
    """partitioned from one router."""

    @override
    def choose(self, random: Random) -> str:
        self.router = random.choice(ROUTERS)
        return f"{super().choose(random)} and {self.router}"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "bgp"), withdrawn=frozenset({(name, self.router)}))

    @override
    def cause(self) -> None:
        _drop(self.balancer.host, [self.site.routers[self.router].host])

    @override
    def repair(self) -> None:
        _pass(self.balancer.host)


class WithoutServers(BalancerFault):
    """partitioned from some servers."""

    @override
    def choose(self, random: Random) -> str:
        self.servers = random.sample(self.site.network.servers, random.randint(1, 2))
        return f"{super().choose(random)} and {' '.join(server.name for server in self.servers)}"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(
            raised=alerts({name}, "down"),
            possible=alerts({name}, "checker", "suspect-check", "unknown"),
            unchecked=frozenset({name}),
            unserved=frozenset(ROUTERS),
        )

    @override
    def cause(self) -> None:
        _drop(self.balancer.host, self.servers)

    @override
    def repair(self) -> None:
        _pass(self.balancer.host)


class WithoutEtcd(BalancerFault):
    """partitioned from etcd."""

    @override
    def choose(self, random: Random) -> str:
        target = super().choose(random)
        self.touches |= {"etcd"}
        return target

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "source"))

    @override
    def cause(self) -> None:
        _drop(self.balancer.host, [member.host for member in self.site.etcd.members])

    @override
    def repair(self) -> None:
        _pass(self.balancer.host)


class EtcdPartitioned(Fault):
    """partitioned from the other members, but not from the balancers."""

    consequences = Consequences(possible=alerts(BALANCERS, "source"))
    touches = frozenset({"etcd"})

    @override
    def choose(self, random: Random) -> str:
        self.member, *self.others = random.sample(self.site.etcd.members, 3)
        return self.member.host.name

    @override
    def cause(self) -> None:
        _drop(self.member.host, [other.host for other in self.others])

    @override
    def repair(self) -> None:
        _pass(self.member.host)
        self.site.etcd.wait()


class PoorNetwork(BalancerFault):
    """packets lost and delayed."""

    @override
    def choose(self, random: Random) -> str:
        self.loss, self.delay = random.choice([0, 5, 20]), random.choice([10, 200, 1000])
        return f"{super().choose(random)}, {self.loss} % lost, {self.delay} ms"

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(
            possible=alerts({name}, *_OUTAGE),
            undecided=sessions(name),
            unchecked=frozenset({name}),
            unserved=frozenset(ROUTERS),
        )

    @override
    def cause(self) -> None:
        netem = ("netem", "loss", f"{self.loss}%", "delay", f"{self.delay}ms", f"{self.delay // 4}ms")
        self.balancer.host.run("tc", "qdisc", "replace", "dev", "eth0", "root", *netem)

    @override
    def repair(self) -> None:
        self.balancer.host.run("tc", "qdisc", "del", "dev", "eth0", "root")


KINDS: Sequence[type[Fault]] = (Isolated, WithoutRouter, WithoutServers, WithoutEtcd, EtcdPartitioned, PoorNetwork)
