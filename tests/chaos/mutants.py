"""Mutants for the invariants: defects of the daemon that a run of the whole system must find.

``python -m tests.chaos.mutants [WORDS]`` makes a few steps with each mutant, or with those whose line contains the words, and exits 1 if
an invariant does not find its mutant. The defect exists in a copy only.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.attempt import Run, attempt
from tests.chaos.one_daemon.system import ROUND
from tests.chaos.play import say
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
SEED = 4
_STEPS = {"whole-system": range(3), "one-daemon": [n for n in range(75) if (n + 1) % ROUND]}
"""Steps without the repair at the end of each round, because checks take 25 s to count."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A mutant of a module, the kind of fault that shows it, and the invariant that finds it."""

    invariant: str
    path: str
    mutant: Mutant
    fault: str
    system: str = "whole-system"

    @property
    def line(self) -> str:
        """A row of the table in README.md."""
        columns = (self.system, self.invariant, f"{self.mutant.name} (`{self.path}`)", f"`{self.fault}`")
        return f"| {' | '.join(columns)} |"

    def matches(self) -> int:
        """Return how often the module contains the text that the mutant replaces."""
        return (ROOT / self.path).read_text().count(self.mutant.old)

    def copy(self, directory: Path) -> None:
        """Copy the code with the defect."""
        for folder in ("pybal", "tests"):
            shutil.copytree(ROOT / folder, directory / folder)
        module = directory / self.path
        module.write_text(module.read_text().replace(self.mutant.old, self.mutant.new))


_PROBLEM = "        if self._listeners is not None and text != self.problem:\n"
_SOLVED = """                count=numbered(len(listing.members), "server"),
            )
"""
_ACCEPTED = "        targets.accepted()\n"


def _leak(name: str, leaked: str) -> Mutant:
    return Mutant(name, _ACCEPTED, f"{_ACCEPTED}        self.leaked = getattr(self, 'leaked', []) + {leaked}\n")


FLOOR = Mutant("the floor is 0", "return floor_of(pool.service.depool_threshold, total(pool))", "return 0")
PASSED = Mutant(
    "a failed check is a passed one", "        self.down_results += 1\n", "        return self.passed(at)\n"
)
LOST = Mutant("problems of sources are lost", _PROBLEM, "        if False:\n")
ENDLESS = Mutant("problems of sources never end", f"{_SOLVED}            self.problem = None\n", _SOLVED)
RAISES = Mutant("problems of sources raise an exception", _PROBLEM, f"        raise KeyError(text)\n{_PROBLEM}")
EXITS = Mutant("problems of sources end the daemon", _PROBLEM, f"        __import__('os')._exit(3)\n{_PROBLEM}")
CLOSES = Mutant(
    "a reload closes the endpoints",
    "await targets.listening.close(besides=settings.instrumentation)",
    "await targets.listening.close(besides=())",
)
IDLE = Mutant(
    "the audit repairs nothing",
    "        self._writer.distrust(key)\n        self._pursue(key)\n\n    async def read",
    "        pass\n\n    async def read",
)
IMMORTAL = Mutant("a hung daemon announces for ever", "if self.silence > self.timeout:", "if False:")
ASTRAY = Mutant(
    "the next hop is another address",
    "return peer.nexthop_ipv4 if",
    "return (peer.nexthop_ipv4 and peer.nexthop_ipv4 + 100) if",
)
KEPT = Mutant(
    "removed servers stay in the table", "for endpoint, destination in part if endpoint not in want]", "for _ in ()]"
)
_POLICY, _RELOADER, _FEED = "pybal/core/policy.py", "pybal/daemon/reloader.py", "pybal/sources/feed.py"
_CHECKS, _DIFF = "pybal/monitors/rise_fall.py", "pybal/ipvs/diff.py"
DEFECTS: Sequence[Defect] = (
    Defect("floor", _POLICY, FLOOR, "ServersFail"),
    Defect("servers", _CHECKS, PASSED, "ServersFail"),
    Defect("kernel", "pybal/ipvs/reconciler.py", IDLE, "TableEdited"),
    Defect("announced", "pybal/bgp/exabgp/relay.py", IMMORTAL, "DaemonPaused"),
    Defect("clients", "pybal/bgp/exabgp/config.py", ASTRAY, "ListChanged"),
    Defect("endpoints", _RELOADER, CLOSES, "ValidReload"),
    Defect("alerts", _FEED, LOST, "EtcdWiped"),
    Defect("alerts", _FEED, ENDLESS, "EtcdWiped"),
    Defect(
        "leak", _RELOADER, _leak("a reload leaks descriptors", "[open('/dev/null') for _ in range(20)]"), "ValidReload"
    ),
    Defect("leak", _RELOADER, _leak("a reload leaks memory", "[b'x' * (50 << 20)]"), "ValidReload"),
    Defect(
        "leak",
        _RELOADER,
        _leak("a reload leaks processes", "[__import__('subprocess').Popen(['sleep', '1000']) for _ in range(3)]"),
        "ValidReload",
    ),
    Defect("traceback", _FEED, RAISES, "EtcdWiped"),
    Defect("ended", _FEED, EXITS, "EtcdWiped"),
    Defect("floor", _POLICY, FLOOR, "change_all_servers", "one-daemon"),
    Defect("servers", _CHECKS, PASSED, "change_server", "one-daemon"),
    Defect("agreement", _DIFF, KEPT, "change_all_servers", "one-daemon"),
    Defect("healed", _FEED, ENDLESS, "break_list", "one-daemon"),
    Defect("traceback", _FEED, RAISES, "break_list", "one-daemon"),
    Defect("ended", _FEED, EXITS, "break_list", "one-daemon"),
)


def find(defect: Defect) -> bool:
    """Return whether the invariant finds the defect."""
    with TemporaryDirectory(prefix="pybal-mutant-") as directory:
        defect.copy(Path(directory))
        run = Run(defect.system, SEED, (defect.fault,))
        played = attempt(run, steps=_STEPS[defect.system], root=Path(directory))
    broken = played.output.partition("broken:\n")[2]
    return re.search(rf"\b{defect.invariant}: ", broken) is not None


def main(arguments: Sequence[str]) -> int:
    """Print a line for each defect; return 1 if one was not found."""
    chosen = [each for each in DEFECTS if all(word in each.line for word in arguments)]
    found = {each.line: find(each) for each in chosen}
    for line, was_found in found.items():
        say(f"{'found' if was_found else 'NOT FOUND'} {line}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
