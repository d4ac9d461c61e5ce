"""A soak test of memory growth and lateness: ``python -m bench.soak [MINUTES]``.

The daemon is that of :mod:`bench.scale`: 11,780 monitors, held connections and requests every 10 s. Every 15 seconds it is scraped
twice and a pool file is touched. The test prints a line per minute and a verdict at the end.

``python -m bench.soak virtual [HOURS]`` runs in virtual time: the same number of monitors runs for 8 hours in about half an hour of CPU, while servers and lists change. Lateness has no
meaning there: the test judges memory, descriptors, delayed calls and threads.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import scale
from tests.virtual.soak import Sample, Soak

MINUTES = 10
HOURS = 8.0
SEED = 17
QUARTER = 15.0  # seconds
MOST_MEMORY = 150.0  # MB
MOST_CPU = 0.15  # of a core
MOST_LATE = 0.010  # seconds, p99
MOST_GROWTH = 0.01  # of the memory, in the second half; the histories, 50 results each, are full after 9 minutes

_LATE = 'pybal_loop_delay_seconds_bucket{le="'


@dataclass(frozen=True, slots=True)
class Minute:
    """Figures of one minute: memory in MB at its end, rates within it, ``late`` as p99 in seconds."""

    resident: float
    heap: float
    cpu: float
    checks: float
    late: float
    worst: float
    descriptors: int
    scrape: float
    up: int


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line a minute, in virtual time a line every ten minutes, and a verdict."""
    if arguments and arguments[0] == "virtual":
        soak_virtual(float(arguments[1]) if len(arguments) > 1 else HOURS)
        return
    minutes = int(arguments[0]) if arguments else MINUTES
    print(f"soak, {minutes} minutes, {scale.SERVICES} services, {scale.SERVICES * scale.SERVERS} servers")
    with tempfile.TemporaryDirectory() as name, scale.daemon(Path(name)) as pid:
        time.sleep(5.0)
        print("  minute   RSS MB  heap MB     CPU  checks/s  late p99 ms  worst ms  descriptors  scrape ms     up")
        passed = []
        for number in range(1, minutes + 1):
            passed.append(one := minute(pid, Path(name), number))
            print(
                f"  {number:6}{one.resident:9.1f}{one.heap:9.1f}{one.cpu:8.1%}{one.checks:10.1f}{one.late * 1000:13.1f}"
                f"{one.worst * 1000:10.0f}{one.descriptors:13}{one.scrape * 1000:11.0f}{one.up:7}",
                flush=True,
            )
    judge(passed)


def minute(pid: int, directory: Path, number: int) -> Minute:
    """Run one minute of the soak test and return its figures."""
    before, cpu, began = metrics(), scale.cpu(pid), time.monotonic()
    scrapes = []
    for quarter in range(4):
        (directory / f"s{(number * 4 + quarter) % scale.SERVICES}").touch()
        scrapes += [scale.timed("/metrics"), scale.timed("/metrics")]
        time.sleep(max(0.0, began + (quarter + 1) * QUARTER - time.monotonic()))
    share = (scale.cpu(pid) - cpu) / (time.monotonic() - began)
    after = metrics()
    wakes = {late: count - before[late] for late, count in after.items() if late.startswith(_LATE)}
    return Minute(
        resident=scale.memory(pid),
        heap=heap(pid),
        cpu=share,
        checks=(after["pybal_checks_total"] - before["pybal_checks_total"]) / (time.monotonic() - began),
        late=quantile(wakes, 0.99),
        worst=quantile(wakes, 1.0),
        descriptors=int(after["process_open_fds"]),
        scrape=statistics.median(scrapes),
        up=int(sum(value for name, value in after.items() if name.startswith("pybal_service_servers_up{"))),
    )


def metrics() -> dict[str, float]:
    """Return all series of a scrape."""
    lines = (line.rpartition(" ") for line in scale.ask("/metrics").splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def quantile(wakes: Mapping[str, float], share: float) -> float:
    """Return a quantile of the loop's lateness in seconds, interpolated linearly between two bounds.

    ``wakes`` has the cumulative number of wake-ups up to each bound.
    """
    bounds = sorted((float(series.removeprefix(_LATE).removesuffix('"}')), count) for series, count in wakes.items())
    wanted, low, below = share * max(wakes.values()), 0.0, 0.0
    for bound, count in bounds:
        if count > below and wanted <= count:
            return low if bound == math.inf else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def heap(pid: int) -> float:
    """Return the anonymous resident memory of a process, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon:"))


def judge(passed: Sequence[Minute]) -> None:
    """Print the worst minute beside the targets, and the growth of memory in the second half."""
    later = passed[len(passed) // 2 :]
    slope = statistics.linear_regression(range(len(later)), [one.heap for one in later]).slope if len(later) > 1 else 0
    growth = slope * (len(later) - 1) / later[0].heap
    verdict("memory, MB", max(one.resident for one in passed), MOST_MEMORY)
    verdict("CPU, % of a core", statistics.median(one.cpu for one in passed) * 100, MOST_CPU * 100)
    verdict("lateness, p99 of the worst minute, ms", max(one.late for one in passed) * 1000, MOST_LATE * 1000)
    verdict(f"growth in the second half, % ({slope * 60:+.2f} MB an hour)", growth * 100, MOST_GROWTH * 100)
    descriptors = {one.descriptors for one in later}
    verdict("descriptors, range in the second half", max(descriptors) - min(descriptors), 10)


def soak_virtual(hours: float) -> None:
    """Soak the simulated daemon: a line for each sample, and a verdict. Raises AssertionError."""
    soak = Soak(SEED, scale.SERVICES, scale.SERVERS)
    print(f"virtual soak, {hours:g} hours, {soak.monitors} monitors of {soak.servers} servers, seed {SEED}")
    print("   hours  heap MB   objects  garbage  descriptors  delayed calls  threads  sockets   CPU s")
    samples: list[Sample] = []
    for one in soak.run(hours * 3600):
        samples.append(one)
        print(
            f"  {one.now / 3600:6.2f}{one.memory:9.1f}{one.objects:10}{one.garbage:9}{one.descriptors:13}{one.calls:15}{one.threads:9}"
            f"{one.sockets:9}{one.cpu:8.0f}",
            flush=True,
        )
    later = samples[len(samples) // 2 :]
    verdict("growth of memory in the second half, %", (later[-1].memory / later[0].memory - 1) * 100, MOST_GROWTH * 100)
    verdict(
        "growth of objects in the second half, %", (later[-1].objects / later[0].objects - 1) * 100, MOST_GROWTH * 100
    )
    for name in ("descriptors", "threads"):
        values = [getattr(one, name) for one in later]
        verdict(f"{name}, range in the second half", max(values) - min(values), 0)
    calls = [one.calls for one in later]
    verdict("delayed calls, range in the second half", max(calls) - min(calls), 50)
    print(f"  {soak.server_seconds:.3g} server-seconds")


def verdict(what: str, value: float, target: float) -> None:
    print(f"  {what}: {value:.1f}   ≤ {target:g}  {'met' if value <= target else 'MISSED'}")


if __name__ == "__main__":
    main(sys.argv[1:])
