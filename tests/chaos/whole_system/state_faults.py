"""Faults of the host of a balancer: its disk, its descriptors, its CPU and its clock."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random

from typing_extensions import override

from tests.chaos.whole_system.fault import BALANCERS, BalancerFault, Consequences, Fault, alerts, sessions
from tests.harness.hung_mount import hung_mount
from tests.harness.list_line import Line

_UNKNOWN_USER = 54321
"""A user that no file names."""


class StateFault(BalancerFault):
    """A fault of the state directory, and a change of a list that has to be stored in it."""

    @override
    def choose(self, random: Random) -> str:
        target = super().choose(random)
        self.touches |= {"lists"}
        return target

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "state"), possible=alerts({name}, "journal", "stalled"))

    @override
    def cause(self) -> None:
        self.spoil()
        self._write(Line(weight=20))

    @override
    def repair(self) -> None:
        self.restore()
        self._write(Line())

    def _write(self, line: Line) -> None:
        for host in self.site.servers:
            self.site.lists["files"][host] = line
        self.site.write_line("files", "s1.test")

    def spoil(self) -> None: ...

    def restore(self) -> None: ...


class DiskFull(StateFault):
    """the disk of the state directory full."""

    @override
    def spoil(self) -> None:
        filler = self.balancer.state / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)

    @override
    def restore(self) -> None:
        (self.balancer.state / "filler").unlink()


class StateReadOnly(StateFault):
    """a read-only state directory."""

    @override
    def spoil(self) -> None:
        state = str(self.balancer.state)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", state], check=True)

    @override
    def restore(self) -> None:
        subprocess.run(["umount", str(self.balancer.state)], check=True)


class StateHung(StateFault):
    """a state directory that hangs, as NFS does without its server."""

    @override
    def spoil(self) -> None:
        subprocess.run(["modprobe", "fuse"], check=True)
        self.stack = ExitStack()
        self.stack.enter_context(hung_mount(self.balancer.state))

    @override
    def restore(self) -> None:
        self.stack.close()


class FewDescriptors(BalancerFault):
    """no more file descriptors."""

    @override
    def effects(self, name: str) -> Consequences:
        kinds = ("checker", "unknown", "source", "unresolved", "down", "log", "journal", "state", "ipvs", "config")
        return Consequences(
            raised=alerts({name}, "checker"), possible=alerts({name}, *kinds), unchecked=frozenset({name})
        )

    @override
    def cause(self) -> None:
        process = self.balancer.daemon.process.pid
        self.limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        few = self.balancer.usage().descriptors + 2
        resource.prlimit(process, resource.RLIMIT_NOFILE, (few, self.limits[1]))

    @override
    def repair(self) -> None:
        resource.prlimit(self.balancer.daemon.process.pid, resource.RLIMIT_NOFILE, self.limits)


_STARVED = (
    *("checker", "unknown", "source", "unresolved", "down", "pooled-down", "suspect-check", "log", "journal"),
    *("state", "ipvs", "ipvs-audit", "config", "bgp", "not-announced", "stalled", "names"),
)
"""The kinds of alert of a daemon that has too little CPU time."""


class LittleCPU(BalancerFault):
    """a tenth of the CPU."""

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(
            possible=alerts({name}, *_STARVED),
            silent=frozenset({name}),
            undecided=sessions(name),
            unchecked=frozenset({name}),
        )

    @override
    def cause(self) -> None:
        self.balancer.limit_cpu(0.1)
        time.sleep(20)

    @override
    def repair(self) -> None:
        self.balancer.limit_cpu(1.0)


class ClockStepped(Fault):
    """the clock of all hosts stepped."""

    touches = frozenset({"clock"})

    @override
    def choose(self, random: Random) -> str:
        self.seconds = random.choice([-7 * 86400, -3600, 3600, 30 * 86400])
        return f"{self.seconds / 3600:+.0f} h"

    @override
    def cause(self) -> None:
        self._step(self.seconds)

    @override
    def repair(self) -> None:
        self._step(-self.seconds)

    def _step(self, seconds: int) -> None:
        time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + seconds)


class NamesGone(Fault):
    """the name server killed, or paused."""

    touches = frozenset({"names", *BALANCERS})

    @override
    def choose(self, random: Random) -> str:
        self.killed = random.random() < 0.5
        self.consequences = Consequences(raised=alerts(BALANCERS, "unresolved"))
        return "killed" if self.killed else "paused"

    @override
    def cause(self) -> None:
        if self.killed:
            self.site.names.kill()
        else:
            self.site.names.pause()

    @override
    def repair(self) -> None:
        if self.killed:
            self.site.names.start()
        else:
            self.site.names.resume()


class UsersGone(BalancerFault):
    """the name service of users hangs, and an unknown user calls the control socket."""

    @override
    def choose(self, random: Random) -> str:
        target = super().choose(random)
        self.touches |= {"nss"}
        return target

    @override
    def effects(self, name: str) -> Consequences:
        return Consequences(raised=alerts({name}, "names"))

    @override
    def cause(self) -> None:
        self.stack = ExitStack()
        self.stack.enter_context(self.site.name_service.hanging())
        self.balancer.call(_UNKNOWN_USER)

    @override
    def repair(self) -> None:
        self.stack.close()


KINDS: Sequence[type[Fault]] = (
    DiskFull,
    StateReadOnly,
    StateHung,
    FewDescriptors,
    LittleCPU,
    ClockStepped,
    NamesGone,
    UsersGone,
)
