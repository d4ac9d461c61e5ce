"""Faults of processes: killed, and paused."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from typing_extensions import override

from tests.chaos.faulty_servers import Mode
from tests.chaos.whole_system.balancer import send_signal
from tests.chaos.whole_system.fault import BALANCERS, ROUTERS, BalancerFault, Consequences, Fault, alerts, sessions
from tests.harness.guest.program import HostProgram


class DaemonKilled(BalancerFault):
    """kill -9 of pybal."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(dead=frozenset({name}), withdrawn=sessions(name))

    @override
    def cause(self) -> None:
        self.balancer.daemon.stop(signal.SIGKILL)

    @override
    def repair(self) -> None:
        self.balancer.start()


class DaemonPaused(BalancerFault):
    """SIGSTOP of pybal, for longer than bgp-dead-after."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(silent=frozenset({name}), withdrawn=sessions(name))

    @override
    def cause(self) -> None:
        self.balancer.daemon.process.send_signal(signal.SIGSTOP)

    @override
    def repair(self) -> None:
        self.balancer.daemon.process.send_signal(signal.SIGCONT)


class ExaBGPFault(BalancerFault):
    """A signal to exabgp; pybal starts another one."""

    number: ClassVar[signal.Signals]

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(
            passing=alerts({name}, "bgp"), possible=alerts({name}, "not-announced"), interrupted=sessions(name)
        )

    @override
    def cause(self) -> None:
        send_signal(self.balancer.child("exabgp.conf"), self.number)

    @override
    def repair(self) -> None:
        pass


class ExaBGPKilled(ExaBGPFault):
    """kill -9 of exabgp."""

    number = signal.SIGKILL


class ExaBGPPaused(ExaBGPFault):
    """SIGSTOP of exabgp."""

    number = signal.SIGSTOP


class ProgramFault(Fault):
    """A fault of a router or of a member of etcd."""

    program: HostProgram

    @override
    def choose(self, random: Random) -> str:
        programs = {name: router.program for name, router in self.site.routers.items()}
        programs |= {member.host.name: member.program for member in self.site.etcd.members}
        target = random.choice(list(programs))
        self.program = programs[target]
        self.touches = frozenset({target if target in ROUTERS else "etcd"})
        if target in ROUTERS:
            self.consequences = Consequences(raised=alerts(BALANCERS, "bgp"), unserved=frozenset({target}))
        else:
            # pybal uses another member; until then the source may have failed.
            self.consequences = Consequences(possible=alerts(BALANCERS, "source"))
        return target


class ProgramKilled(ProgramFault):
    """kill -9."""

    @override
    def cause(self) -> None:
        self.program.kill()

    @override
    def repair(self) -> None:
        self.program.start()


class ProgramPaused(ProgramFault):
    """SIGSTOP."""

    @override
    def cause(self) -> None:
        self.program.pause()

    @override
    def repair(self) -> None:
        self.program.resume()


class QuorumLost(Fault):
    """kill -9 of two of three etcd."""

    consequences = Consequences(possible=alerts(BALANCERS, "source"))
    touches = frozenset({"etcd"})

    @override
    def choose(self, random: Random) -> str:
        self.members = random.sample(self.site.etcd.members, 2)
        return " ".join(member.host.name for member in self.members)

    @override
    def cause(self) -> None:
        for member in self.members:
            member.program.kill()

    @override
    def repair(self) -> None:
        for member in self.members:
            member.program.start()
        self.site.etcd.wait()


class EtcdWiped(Fault):
    """All data of etcd lost: an empty cluster with the same members."""

    consequences = Consequences(raised=alerts(BALANCERS, "source"))
    touches = frozenset({"etcd"})

    @override
    def choose(self, random: Random) -> str:
        return "etcd"

    @override
    def cause(self) -> None:
        self.site.etcd.wipe()

    @override
    def repair(self) -> None:
        self.site.write_lists()


class ServersFail(Fault):
    """servers fail."""

    touches = frozenset({"servers"})

    @override
    def choose(self, random: Random) -> str:
        hosts = random.sample(list(self.site.servers), random.randint(1, 4))
        self.mode = random.choice([Mode.STOPPED, Mode.HUNG, Mode.FAILING, Mode.LYING])
        self.servers = [self.site.servers[host] for host in hosts]
        possible = alerts(BALANCERS, "down", "pooled-down", "suspect-check", "checker", "unknown")
        raised = alerts(BALANCERS, "down") if len(hosts) < 3 else alerts(BALANCERS, "pooled-down")
        unserved = frozenset(ROUTERS) if len(hosts) >= 3 else frozenset()
        self.consequences = Consequences(raised=raised, possible=possible, unserved=unserved)
        return f"{' '.join(sorted(hosts))} {self.mode}"

    @override
    def cause(self) -> None:
        for server in self.servers:
            server.change(self.mode)

    @override
    def repair(self) -> None:
        for server in self.servers:
            server.change(Mode.SERVING)


KINDS: Sequence[type[Fault]] = (
    DaemonKilled,
    DaemonPaused,
    ExaBGPKilled,
    ExaBGPPaused,
    ProgramKilled,
    ProgramPaused,
    QuorumLost,
    EtcdWiped,
    ServersFail,
)
