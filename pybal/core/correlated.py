"""Correlated failures: many servers begin to fail one check alike, so suspect the check. Pure.

A check URL that became a redirect once emptied half of every pool (2015-06-13). Failures are correlated if a monitor reports
at least :data:`MIN_SERVERS` servers, and half of those that were up, as down for the same cause within one interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import override

from pybal.core.model import Server

MIN_SERVERS = 3


@dataclass(frozen=True, slots=True)
class CorrelatedFailures:
    """Failures of ``hosts``, out of ``up`` servers that had passed the monitor, within ``seconds``.

    ``reason`` is the reason of the first failure; ``cause`` is common to all.
    """

    monitor: str
    cause: str
    reason: str
    hosts: frozenset[str]
    up: int
    seconds: float

    @override
    def __str__(self) -> str:
        return (
            f'{len(self.hosts)} of {self.up} servers began to fail {self.monitor} with "{self.reason}" '
            f"within {self.seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True, order=True)
class _Failure:
    at: float
    host: str
    reason: str


def correlated_failures(servers: Iterable[Server], window: float) -> Iterator[CorrelatedFailures]:
    """Yield the correlated failures of eligible servers; ``window`` is one interval, in seconds."""
    up: Counter[str] = Counter()
    failures: dict[tuple[str, str], list[_Failure]] = {}
    for server in servers:
        for monitor, report in server.reports.items():
            if report is None or not server.eligible:
                continue
            if report.up:
                up[monitor] += 1
            else:
                failures.setdefault((monitor, report.cause), []).append(_Failure(report.at, server.host, report.reason))
    for (monitor, cause), alike in failures.items():
        if len(alike) < MIN_SERVERS:
            continue
        together = _largest_run(sorted(alike), window)
        before = up[monitor] + len(together)
        if len(together) >= MIN_SERVERS and 2 * len(together) >= before:
            hosts = frozenset(failure.host for failure in together)
            first, last = together[0], together[-1]
            yield CorrelatedFailures(monitor, cause, first.reason, hosts, before, last.at - first.at)


def _largest_run(failures: list[_Failure], window: float) -> list[_Failure]:
    """Return the first of the largest runs of failures within the window."""
    largest: list[_Failure] = []
    start = 0
    for end, failure in enumerate(failures, start=1):
        while failures[start].at < failure.at - window:
            start += 1
        if end - start > len(largest):
            largest = failures[start:end]
    return largest
