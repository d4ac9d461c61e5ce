"""Measurements in the current network namespace and kernel; see :mod:`bench.checks.__main__`."""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.checks import measure, servers, targets
from bench.checks.load import KINDS, Load
from bench.checks.measure import Use
from bench.checks.peers import PEERS, Peer, engine, of_commit
from bench.checks.targets import GUEST, HIGHEST, NORMAL, PYBAL_1_15, met

US = Peer("this engine", "true", (*KINDS, "idle"), engine)


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of servers, each checked every ``interval`` seconds; all values in seconds."""

    servers: int
    interval: float
    warm_up: float
    measured: float


RATES = {
    **{(kind, NORMAL): Rate(10_000, 10.0, 3.0, 6.0) for kind in KINDS},
    # A handshake costs the server as much as the client; the first ones, all due together, take longer.
    ("https", NORMAL): Rate(5000, 10.0, 14.0, 6.0),
    # More than one core can do, with few concurrent checks; for DNS, the rate at which unbound still answers all queries.
    ("tcp", HIGHEST): Rate(1000, 0.02, 2.0, 3.0),
    ("http", HIGHEST): Rate(1000, 0.04, 2.0, 3.0),
    ("https", HIGHEST): Rate(200, 0.08, 4.0, 4.0),
    ("dns", HIGHEST): Rate(1000, 0.1, 2.0, 3.0),
    # The clock of a guest is too coarse unless the process uses all of its CPU time.
    **{(kind, GUEST): Rate(500, 0.1, 6.0, 15.0) for kind in KINDS},
    ("dns", GUEST): Rate(500, 0.3, 6.0, 15.0),
}
TITLES = {
    NORMAL: "{servers:,} servers every {interval:g} s",
    HIGHEST: "{rate:,.0f} checks/s wanted",
    GUEST: "in a guest, at its highest rate (only the ratio counts)",
}
FULL = Rate(2000, 0.4, 25.0, 0.1)
"""After the first seconds every history holds its 50 results."""


def main() -> None:
    """Run the measurements named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", required=True)
    parser.add_argument("--beside", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", required=True)
    parser.add_argument("--base", help="a checkout of an earlier commit")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        with servers.running(directory):
            beside = {name: PEERS[name] for name in options.beside.split(",") if name and PEERS[name].path}
            if options.base:
                beside = {"base": of_commit(options.base), **beside}
            rates = options.rates.split(",")
            for kind in options.only.split(","):
                for how in rates:
                    if (kind, how) in RATES:
                        compare(kind, how, beside, options.rounds, directory)
                if NORMAL in rates:
                    only_here(kind, beside, directory)


def compare(kind: str, how: str, beside: Mapping[str, Peer], rounds: int, directory: Path) -> None:
    """Measure one kind of check at one rate with every peer in turn, and print the costs."""
    rate = RATES[kind, how]
    peers = {"": US} | {name: peer for name, peer in beside.items() if kind in peer.kinds}
    uses: dict[str, list[Use]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            uses[name].append(use(peer, kind, rate, directory))
    own = measure.median(uses[""])
    heading = TITLES[how].format(servers=rate.servers, interval=rate.interval, rate=rate.servers / rate.interval)
    print(f"\n{kind.upper()}, {heading}; medians of {rounds} rounds")
    print(
        f"  {'':28}{'µs/check':>9}{'of them':>16}{'kernel':>8}{'checks/s':>10}{'KB/monitor':>12}{'ours ÷ it':>11}   target"
    )
    targeted = {"base": targets.BASE, **targets.COST.get((kind, how), {})}
    for name, peer in peers.items():
        one = measure.median(uses[name])
        costs = [each.micros for each in uses[name]]
        memory = f"{per_monitor(peer, kind, rate, one, directory):12.1f}" if how == NORMAL else " " * 12
        ratio = _ratio(uses[""], uses[name], rate if how == NORMAL else None, targeted.get(name)) if name else ""
        spread = f"{min(costs):.0f}-{max(costs):.0f}"
        print(f"  {peer.title:28}{one.micros:9.1f}{spread:>16}{one.kernel:8.0%}{one.rate:10.0f}{memory}{ratio}")
    if quoted := PYBAL_1_15.get((kind, how)):
        ratio = f"{own.micros / quoted:11.2f}   {met(own.micros / quoted, targeted.get('pybal'))}"
        print(f"  {'PyBal 1.15 (quoted)':28}{quoted:9.1f}{'':46}{ratio}")
    if own.lag is not None:
        print(f"  this engine's checks began at most {own.lag * 1000:.0f} ms late (p99)", flush=True)


def _ratio(owns: Sequence[Use], others: Sequence[Use], wanted: Rate | None, target: float | None) -> str:
    """Return the median ratio of costs in the same round, or that one did not keep up with the rate."""
    own, other = measure.median(owns), measure.median(others)
    enough = 0.9 * wanted.servers / wanted.interval if wanted else own.rate / 10
    if min(own.rate, other.rate) < enough:
        return f"{'':11}   {'did not keep up' if other.rate < enough else 'we did not keep up'}"
    ratio = statistics.median(ours.micros / its.micros for ours, its in zip(owns, others, strict=True))
    return f"{ratio:11.2f}   {met(ratio, target)}"


def only_here(kind: str, beside: Mapping[str, Peer], directory: Path) -> None:
    """Measure and print the figures that one kind of check has alone."""
    if kind == "http":
        for peer in (US, *beside.values()):
            if kind in peer.kinds:
                syscalls(peer, directory, targets.SYSCALLS if peer is US else None)
        full = per_monitor(US, kind, FULL, use(US, kind, FULL, directory), directory)
        print(f"  KB/monitor with a full history: {full:.1f}   {met(full, targets.MEMORY_FULL)}", flush=True)
    elif kind == "idle":
        print("\nIDLE, 10,000 connections held")
        rate = Rate(10_000, 1.0, 4.0, 6.0)
        for peer, target in (
            (US, targets.MEMORY_IDLE),
            *((peer, None) for name, peer in beside.items() if name in ("base", "c")),
        ):
            one = use(peer, kind, rate, directory)
            memory = per_monitor(peer, kind, rate, one, directory)
            share = one.cpu / one.seconds
            print(
                f"  {peer.title:28}{memory:6.1f} KB/monitor {share:8.2%} of a core   {met(memory, target)}", flush=True
            )


def syscalls(peer: Peer, directory: Path, target: float | None) -> None:
    rate = RATES["http", NORMAL]
    command = peer.command(load("http", rate.servers, rate.interval, directory))
    count = servers.counter("http")
    calls = measure.syscalls(command, count, directory, warm_up=rate.warm_up, measured=rate.measured)
    print(f"  syscalls per check, {peer.title}: {calls:.1f}   {met(calls, target)}", flush=True)


def use(peer: Peer, kind: str, rate: Rate, directory: Path) -> Use:
    command = peer.command(load(kind, rate.servers, rate.interval, directory))
    return measure.use(command, servers.counter(kind), warm_up=rate.warm_up, measured=rate.measured)


def per_monitor(peer: Peer, kind: str, rate: Rate, used: Use, directory: Path) -> float:
    """Return the KB of one more monitor: the memory used, less that of a process with one monitor."""
    command = peer.command(load(kind, 1, rate.interval, directory))
    alone = measure.use(command, servers.counter(kind), warm_up=2.0, measured=0.1)
    return (used.memory - alone.memory) / (rate.servers - 1) / 1024


def load(kind: str, number: int, interval: float, directory: Path) -> Load:
    return Load(kind, number, interval, servers.PORTS[kind], directory)


if __name__ == "__main__":
    main()
