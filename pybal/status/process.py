"""Metrics of the process, the Python interpreter and the build, in a registry of prometheus_client."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from pybal import __version__

_PROC = Path("/proc")


def process_registry() -> CollectorRegistry:
    """Return a new registry with the metrics of this process."""
    registry = CollectorRegistry()
    registry.register(BuildCollector())
    registry.register(ProcessCollector())
    PlatformCollector(registry)
    GCCollector(registry)
    return registry


class BuildCollector(Collector):
    """The versions of PyBal and of Python, as labels of ``pybal_build_info``."""

    def __init__(self) -> None:
        versions = {"version": __version__, "python_version": platform.python_version()}
        self._metrics = (InfoMetricFamily("pybal_build", "Versions of PyBal and Python", versions),)

    @override
    def collect(self) -> Iterable[Metric]:
        return self._metrics


class ProcessCollector(Collector):
    """The metrics of prometheus_client's collector of this name; without ``/proc`` none.

    The collector of prometheus_client lists all open descriptors, which blocks the event loop for 10 ms with 20,000
    open connections.
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc

    @override
    def collect(self) -> Iterable[Metric]:
        try:
            return tuple(_process_metrics(self._proc))
        except OSError:
            return ()


def descriptors(proc: Path = _PROC) -> tuple[int, int]:
    """Return the number of open file descriptors, 0 without ``/proc``, and their limit."""
    directory = proc / "self/fd"
    try:
        # Since Linux 6.2 the size of the directory is the number of its entries.
        used = directory.stat().st_size or len(os.listdir(directory))  # noqa: PTH208  # a Path per entry costs more
    except OSError:
        used = 0
    return used, resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _process_metrics(proc: Path) -> Iterator[Metric]:
    # proc(5): the program name in parentheses may contain any byte; field 3 follows the last parenthesis.
    fields = (proc / "self/stat").read_bytes().rpartition(b")")[2].split()
    booted = next(line for line in (proc / "stat").read_bytes().splitlines() if line.startswith(b"btime "))
    ticks = os.sysconf("SC_CLK_TCK")
    used, most = descriptors(proc)
    spent = (int(fields[11]) + int(fields[12])) / ticks
    yield CounterMetricFamily("process_cpu_seconds", "User and system CPU seconds spent", spent)
    started = int(booted.split()[1]) + int(fields[19]) / ticks
    yield GaugeMetricFamily("process_start_time_seconds", "Start time of the process, in Unix time", started)
    yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory size", int(fields[20]))
    resident = int(fields[21]) * resource.getpagesize()
    yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory size", resident)
    yield GaugeMetricFamily("process_open_fds", "Open file descriptors", used)
    yield GaugeMetricFamily("process_max_fds", "Limit of open file descriptors", most)
