"""Metrics of the process, with the names that every Prometheus client library uses.

The collector of prometheus_client lists all open descriptors, which blocks the event loop for 10 ms if 20,000
connections are open.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

from pybal.status.metrics import Family, Kind


def process_families() -> Iterator[Family]:
    """Yield the metrics of this process; without ``/proc`` only the version of Python."""
    python = dict(zip(("major", "minor", "patchlevel"), platform.python_version_tuple(), strict=True))
    labels = {"implementation": platform.python_implementation(), **python, "version": platform.python_version()}
    yield Family("python_info", "gauge", "Python platform information", ((tuple(labels.items()), 1),))
    try:
        values = tuple(_from_proc(Path("/proc")))
    except OSError:
        return
    for name, kind, explanation, value in values:
        yield Family(f"process_{name}", kind, explanation, (((), value),))


def descriptors(proc: Path = Path("/proc")) -> tuple[int, int]:
    """Return the number of open file descriptors, 0 without ``/proc``, and their limit."""
    folder = proc / "self/fd"
    try:
        # Since Linux 6.2 the size of the directory is the number of its entries.
        used = folder.stat().st_size or sum(1 for _ in folder.iterdir())
    except OSError:
        used = 0
    return used, resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _from_proc(proc: Path) -> Iterator[tuple[str, Kind, str, float]]:
    # proc(5): the program name in parentheses may contain any byte; field 3 follows the last parenthesis.
    fields = (proc / "self/stat").read_bytes().rpartition(b")")[2].split()
    booted = next(line for line in (proc / "stat").read_bytes().splitlines() if line.startswith(b"btime "))
    ticks = os.sysconf("SC_CLK_TCK")
    used, most = descriptors(proc)
    yield (
        "cpu_seconds_total",
        "counter",
        "User and system CPU seconds spent",
        (int(fields[11]) + int(fields[12])) / ticks,
    )
    yield (
        "start_time_seconds",
        "gauge",
        "Start time of the process, in Unix time",
        int(booted.split()[1]) + int(fields[19]) / ticks,
    )
    yield "virtual_memory_bytes", "gauge", "Virtual memory size", int(fields[20])
    yield "resident_memory_bytes", "gauge", "Resident memory size", int(fields[21]) * resource.getpagesize()
    yield "open_fds", "gauge", "Open file descriptors", used
    yield "max_fds", "gauge", "Limit of open file descriptors", most
