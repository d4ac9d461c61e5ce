"""A soak in virtual time: servers and lists change for hours; memory and descriptors stay flat."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.harness.simulated.network import Mode, SimulatedServer
from tests.virtual.invariants import Invariants
from tests.virtual.site import Site, site

PERIOD = 600.0
"""Virtual seconds between two samples."""
CHANGES = 30.0
"""Virtual seconds between two changes of a server, each with a change of a list."""
FILLING, FILLED = 3.0, 0.25
"""The pause in the first part of a run, which fills the histories, and the share of this part."""
MOST_DOWN = 0.05
"""Share of the servers that are down, at most."""


_KINDS = ("['IdleConnection', 'ProxyFetch']", *["['IdleConnection']"] * 14)
"""The mix of the largest public deployment: 8 of 116 services have ProxyFetch as well."""


class Sample(NamedTuple):
    """Figures of the process and of the daemon. ``memory`` is in MB, ``now`` and ``cpu`` in seconds.

    ``garbage`` are the objects since the last sample that only an examination of the whole heap frees.
    """

    now: float
    memory: float
    objects: int
    garbage: int
    descriptors: int
    calls: int
    threads: int
    sockets: int
    cpu: float


class Soak:
    """``services`` with ``servers`` each. ``server_seconds`` are their number times the virtual seconds."""

    def __init__(self, seed: int, services: int, servers: int) -> None:
        self._stack = ExitStack()
        self._random = Random(seed)
        self._site: Site = self._stack.enter_context(site(seed, services, servers, _KINDS))
        self._laws = Invariants(self._site)
        self._down: list[str] = []
        self.servers = self._site.members
        self.monitors = self._site.monitors

    def run(self, seconds: float) -> Iterator[Sample]:
        """Yield a sample after each period, and one after everything was repaired. Raises AssertionError."""
        with self._stack:
            self._laws.check_healed()
            balancer = self._site.balancer
            while balancer.now < seconds:
                end = balancer.now + PERIOD
                pause = FILLING if balancer.now < FILLED * seconds else CHANGES
                while balancer.now < end:
                    self._change()
                    balancer.run(pause)
                self._laws.check()
                yield self._sample()
            self._site.heal()
            self._laws.check_healed()
            yield self._sample()
            self._laws.check_replay()

    @property
    def server_seconds(self) -> float:
        return self.servers * self._site.balancer.now

    def _change(self) -> None:
        """Let a server fail, and the one that failed first recover; change a weight of a list."""
        site, random = self._site, self._random
        host = random.choice(site.hosts)
        self._server(host).change(random.choice([Mode.STOPPED, Mode.FAILING, Mode.HUNG, Mode.LOST, Mode.RESETTING]))
        self._down.append(host)
        if len(self._down) > MOST_DOWN * len(site.hosts):
            self._server(self._down.pop(0)).change(Mode.SERVING)
        service = site.services[random.choice(site.present)]
        service.lines[random.choice(list(service.lines))].weight = random.choice([5, 10, 20])
        site.write_list(service.name)

    def _server(self, host: str) -> SimulatedServer:
        return self._site.balancer.network.servers[self._site.balancer.names.addresses[host]]

    def _sample(self) -> Sample:
        gc.collect()  # the garbage that each pass frees
        gc.unfreeze()
        garbage = gc.collect()
        return Sample(
            self._site.balancer.now,
            _memory(),
            gc.get_freeze_count() + len(gc.get_objects()),
            garbage,
            len(list(Path("/proc/self/fd").iterdir())),
            len(self._site.balancer.reactor.getDelayedCalls()),
            threading.active_count(),
            len(self._site.balancer.network.sockets),
            time.process_time(),
        )


def _memory() -> float:
    """Return the anonymous resident memory of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon:"))
