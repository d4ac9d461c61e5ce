"""Compare the cost of checks with peers in a network namespace, and with keepalived in a guest.

``python -m bench.checks --only http --beside haproxy`` takes two minutes, everything twenty-five.
Other load on the machine affects the guest most: look at the range of the rounds before trusting a ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.checks.load import KINDS
from bench.checks.peers import PEERS
from bench.checks.targets import GUEST, HIGHEST, NORMAL
from tests.harness.guest import guest

ROOT = Path(__file__).resolve().parent.parent.parent
IN_GUEST = "keepalived"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print ratios beside their targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.checks", description=__doc__)
    parser.add_argument("--only", metavar="KIND,…", default=",".join((*KINDS, "idle")), help="default: %(default)s")
    parser.add_argument("--beside", metavar="PEER,…", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--base", metavar="COMMIT", help="also measure the engine of this commit")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds the context managers, which end all processes
    beside = options.beside.split(",")
    for name in beside:
        if not PEERS[name].path:
            print(f"checks: {PEERS[name].program} is not installed")
    command = [sys.executable, "-m", "bench.checks.run", f"--only={options.only}", f"--rounds={options.rounds}"]
    if others := [name for name in beside if name != IN_GUEST]:
        with checkout(options.base) as base:
            in_namespace([*command, f"--beside={','.join(others)}", f"--rates={NORMAL},{HIGHEST}", *base])
    if IN_GUEST in beside and PEERS[IN_GUEST].path:
        in_guest([*command, f"--beside={IN_GUEST}", f"--rates={GUEST}"])


@contextlib.contextmanager
def checkout(commit: str | None) -> Iterator[Sequence[str]]:
    """Check out a commit, if any; yield the option that names the directory."""
    if commit is None:
        yield ()
        return
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / commit.replace("/", "-")
        tree.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        yield (f"--base={tree}",)


def in_namespace(command: Sequence[str]) -> None:
    """Run a command in its own network and PID namespaces; no process survives it."""
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    alone = ("--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    script = 'ip link set lo up && "$@"'  # the shell stays and reaps orphans
    subprocess.run(["unshare", *user, *alone, "sh", "-c", script, "sh", *command], cwd=ROOT, check=False)


def in_guest(command: Sequence[str]) -> None:
    if reason := guest.missing():
        print(f"checks beside {IN_GUEST}: {reason}")
        return
    sys.stdout.flush()
    limited = ["sh", "-c", 'ulimit -n 20000; exec "$@"', "sh", *command]
    guest.run(limited, stdout=sys.stdout.buffer, stderr=sys.stderr.buffer, cwd=ROOT, timeout=3600.0, memory=2048)


if __name__ == "__main__":
    main()
