"""The whole system as a run changes it: each step is one fault, or two that overlap."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.chaos.whole_system import configuration_faults, kernel_faults, network_faults, process_faults, state_faults
from tests.chaos.whole_system.clients import Clients
from tests.chaos.whole_system.fault import Consequences, Fault, together
from tests.chaos.whole_system.invariants import PATIENCE, Invariants
from tests.chaos.whole_system.site import Site, running_site

FAULTS: Sequence[type[Fault]] = (
    *process_faults.KINDS,
    *network_faults.KINDS,
    *kernel_faults.KINDS,
    *configuration_faults.KINDS,
    *state_faults.KINDS,
)
_OVERLAP = 0.4
"""The share of the steps with a second fault."""
_IDLE_START = 45.0
"""Seconds of a start on an idle machine."""


class WholeSystem:
    """A running site with clients."""

    def __init__(self, site: Site, clients: Clients, kinds: Sequence[type[Fault]], patience: float) -> None:
        self._site = site
        self._kinds = kinds
        self._invariants = Invariants(site, clients, patience)

    def step(self, number: int, random: Random) -> Iterator[str]:
        """Cause a fault, often a second, repair them in this order; check the invariants after each change."""
        first = self._fault(random)
        second = self._fault(random) if random.random() < _OVERLAP else None
        present: list[Fault] = []
        for fault in (first, second):
            if fault is not None and not any(fault.touches & other.touches for other in present):
                present.append(fault)
                yield f"cause {fault}"
                fault.cause()
                self._invariants.check(together(present), f"step {number}, after the cause of {fault}")
        while present:
            fault = present.pop(0)
            yield f"repair {fault}"
            fault.repair()
            what = f"step {number}, after the repair of {fault}"
            if present:
                self._invariants.check(together(present), what)
            else:
                self.finish(what)

    def _fault(self, random: Random) -> Fault:
        return random.choice(self._kinds)(self._site, random)

    def finish(self, what: str = "at the end") -> None:
        """Check that all is as at the start."""
        self._invariants.check(Consequences(), what)
        self._invariants.check_usage()


@contextmanager
def whole_system(directory: Path, faults: Sequence[str] = ()) -> Iterator[WholeSystem]:
    """Run the system, with all kinds of faults or those that are named.

    An exception has the ends of the logs as notes.
    """
    kinds = [kind for kind in FAULTS if kind.__name__ in faults or not faults]
    began = time.monotonic()
    with running_site(directory) as site:
        slowness = max(1.0, (time.monotonic() - began) / _IDLE_START)
        with Clients(site) as clients:
            system = WholeSystem(site, clients, kinds, PATIENCE * slowness)
            try:
                system.finish(f"at the start (slowness {slowness:.1f})")
                yield system
            except Exception as error:
                for balancer in site.balancers:
                    error.add_note("\n".join([balancer.name, *balancer.daemon.log.splitlines()[-30:]]))
                raise
