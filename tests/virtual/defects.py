"""Defects that break the invariants: ``python -m tests.virtual.defects [WORDS]``.

Each is made in a copy of the sources, in which a short story of changes then breaks the named invariant. Exits 1 if one does not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Defect(NamedTuple):
    """A replacement in a module, the story that shows it, and the invariant that it breaks."""

    module: str
    old: str
    new: str
    story: str
    invariant: str


DEFECTS = (
    Defect(
        "pybal/core/policy.py",
        "return max(1, ceil(Decimal(str(threshold)) * members)) if threshold else 0",
        "return max(1, ceil(Decimal(str(threshold)) * members) - 1) if threshold else 0",
        "all_servers_fail",
        "floor",
    ),
    Defect(
        "pybal/core/policy.py",
        "return max(1, ceil(Decimal(str(threshold)) * members)) if threshold else 0",
        "return 0",
        "all_servers_fail",
        "never-empty",
    ),
    Defect(
        "pybal/sources/etcd/v3.py",
        "self._values.remove(self._name(key))",
        "self._name(key)",
        "hosts_leave_all_lists",
        "list",
    ),
    Defect(
        "pybal/checks/http_check.py",
        "if status not in self.request.statuses:",
        "if not self.request.statuses:",
        "servers_return_errors",
        "health",
    ),
    Defect(
        "pybal/status/alerts.py",
        "if hosts := _depooled(pool):",
        "if hosts := _depooled(pool)[:0]:",
        "servers_return_errors",
        "alert",
    ),
    Defect(
        "pybal/bgp/speaker.py",
        "elif not peer.established:",
        "elif False:",
        "router_is_lost",
        "alert",
    ),
    Defect(
        "pybal/ipvs/audit.py",
        "self._foreign = () if self._exclusive else tuple(keys)",
        "self._foreign = ()",
        "other_program_adds_a_service",
        "alert",
    ),
    Defect(
        "pybal/ipvs/audit.py",
        "        self._reconciler.repair(key)\n        now",
        "        now",
        "table_is_cleared",
        "agreement",
    ),
    Defect(
        "pybal/status/compat115.py",
        '{server.status}\\n" for host',
        '{server.status}d\\n" for host',
        "table_is_cleared",
        "agreement",
    ),
    Defect(
        "pybal/bgp/verdict.py",
        "_CONCLUSIVE = frozenset((Why.EMPTY, Why.BELOW, Why.ABSENT))",
        "_CONCLUSIVE = frozenset((Why.EMPTY, Why.BELOW))",
        "table_is_cleared_and_full",
        "announced",
    ),
    Defect(
        "pybal/ipvs/reconciler.py",
        'goal.problem, goal.absent = "", False',
        "goal.absent = False",
        "table_is_cleared_and_full",
        "healed",
    ),
    Defect(
        "pybal/resolve/follow.py",
        "        if name.due is not None:\n            name.due.cancel()\n",
        "",
        "hosts_leave_all_lists",
        "leak",
    ),
    Defect(
        "pybal/checks/socket_check.py",
        "        self._done = None\n        self._close()\n",
        "        self._done = None\n",
        "hosts_leave_all_lists",
        "leak",
    ),
    Defect(
        "pybal/ipvs/audit.py",
        'self._drift["", Drift.SERVICE_EXTRA] += len(new)',
        'self._drift["", Drift.SERVICE] += len(new)',
        "other_program_adds_a_service",
        "error",
    ),
    Defect(
        "pybal/daemon/controller.py",
        "        if self._tape is not None:\n            self._tape.record",
        "        if self._tape is not None and not isinstance(event, events.Listed):\n            self._tape.record",
        "hosts_leave_all_lists",
        "replay",
    ),
    Defect(
        "pybal/journal/recorder.py",
        "event, placed, serving(after))",
        "event, placed, serving(before))",
        "servers_return_errors",
        "replay",
    ),
    Defect(
        "pybal/journal/decisions.py",
        "each.frozen, each.absent)",
        "each.frozen, absent=False)",
        "table_is_cleared_and_full",
        "replay",
    ),
    Defect(
        "pybal/journal/recorder.py",
        "        for number, pool in self._pools.items():\n            self._put",
        "        for number, pool in tuple(self._pools.items())[1:]:\n            self._put",
        "disk_of_the_journal_is_full",
        "replay",
    ),
    Defect(
        "pybal/journal/rebuild.py",
        'self._problems.append(f"{name}: torn record of {len(rest)} bytes")',
        'raise ValueError(f"{name}: torn record of {len(rest)} bytes")',
        "daemon_is_killed",
        "error",
    ),
    Defect(
        "pybal/journal/replay.py",
        'if incomplete is not None and record["n"] != 1:',
        "if incomplete is not None:",
        "machine_loses_power",
        "replay",
    ),
    Defect(
        "pybal/ipvs/reconciler.py",
        "for d in destinations if d.port == service.port",
        "for d in destinations if d.port != service.port",
        "daemon_is_killed",
        "never-empty",
    ),
    Defect(
        "pybal/control/listener.py",
        "                _remove_stale_socket(self._path)\n",
        "",
        "daemon_is_killed",
        "healed",
    ),
)


def main(words: list[str]) -> int:
    """Run the defects whose text contains the words; print the invariant that each broke."""
    failed = False
    for defect in DEFECTS:
        if not all(word in " ".join(defect) for word in words):
            continue
        found = broken(defect)
        failed |= found != defect.invariant
        sys.stdout.write(f"{found or '-':12} {defect.module}: {defect.new.strip()!r} in {defect.story}\n")
        sys.stdout.flush()
    return int(failed)


def broken(defect: Defect) -> str:
    """Return the name of the invariant that a defect breaks, empty for none."""
    source = (ROOT / defect.module).read_text()
    if source.count(defect.old) != 1:
        raise ValueError(f"{defect.module}: {defect.old!r} is not there once")
    with TemporaryDirectory(prefix="pybal-virtual-defect-") as directory:
        copy = Path(directory)
        for folder in ("pybal", "tests/virtual", "tests/harness"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / defect.module).write_text(source.replace(defect.old, defect.new))
        command = [sys.executable, "-B", "-m", "tests.virtual.stories", defect.story]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        _, _, told = done.stderr.rpartition("AssertionError: invariant ")
        return told.partition(":")[0] if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
