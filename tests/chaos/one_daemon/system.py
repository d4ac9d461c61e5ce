"""One daemon with its table in memory: a step changes one thing at random, or repairs everything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from tests.chaos.one_daemon.faults import FAULTS, Fault
from tests.chaos.one_daemon.invariants import Invariants
from tests.chaos.one_daemon.site import Site
from tests.harness.daemon_process import Daemon

ROUND = 30
"""Steps in a round, of which the last repairs everything."""
_PAUSES = (0.05, 1.5)


class OneDaemon:
    """A running daemon with its site."""

    def __init__(self, site: Site, running: Daemon, weights: Mapping[Fault, int]) -> None:
        self._weights = weights
        self._site = site
        self._running = running
        self._invariants = Invariants(site, running)

    def step(self, number: int, random: Random) -> Iterator[str]:
        """Make a change, or repair everything, and check the invariants; yield what was done."""
        if number % ROUND == ROUND - 1:
            yield "repair everything"
            self.finish()
            return
        fault = random.choices(list(self._weights), list(self._weights.values()))[0]
        yield fault(self._site, self._running, random)
        time.sleep(random.uniform(*_PAUSES))
        self._invariants.check()

    def finish(self) -> None:
        """Repair everything, and check that everything serves."""
        self._site.heal()
        outcome = self._running.reload()
        assert outcome["accepted"], outcome
        self._invariants.check_healed()


@contextmanager
def one_daemon(directory: Path, faults: Sequence[str] = ()) -> Iterator[OneDaemon]:
    """Run a daemon that serves everything, with all faults or those that are named.

    An exception has the end of its log as a note.
    """
    weights = {fault: weight for fault, weight in FAULTS.items() if fault.__name__ in faults or not faults}
    with ExitStack() as stack:
        site = Site(directory, stack)
        running = stack.enter_context(site.running())
        running.wait(lambda: running.get("/alerts"), "a response")
        system = OneDaemon(site, running, weights)
        try:
            system.finish()
            yield system
        except Exception as error:
            error.add_note("\n".join(running.log.splitlines()[-40:]))
            raise
