"""Correlated failures: many servers begin to fail one check alike, so suspect the check. Pure.

A check URL that became a redirect once emptied half of every pool (2015-06-13). Failures are correlated if a monitor reports
at least :data:`MIN_SERVERS` servers, and half of those that were up, as down for the same cause within one interval.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from typing_extensions import override

from pybal.core.model import Health, Report, Server, Servers
from pybal.core.steps import Steps, parts

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
            f"within {max(1.0, self.seconds):.0f} s"
        )


class _Failure(NamedTuple):
    at: float
    host: str
    reason: str


def may_be_correlated(servers: Servers, reports: int = 0) -> bool:
    """Return whether failures can be correlated, now or during that many further reports.

    It takes a sum over the census, and is false while most servers are up. Correlated failures are at least as many as the servers that pass the monitor.
    """
    down = servers.count(lambda server: server.eligible and server.health is Health.DOWN)
    up = servers.count(lambda server: server.eligible and server.health is Health.UP and not server.pending)
    return down + reports >= max(MIN_SERVERS, up - reports)


def correlated_failures(servers: Servers, window: float) -> Steps[Sequence[CorrelatedFailures]]:
    """Return the correlated failures of eligible servers; ``window`` is one interval, in seconds."""
    if not may_be_correlated(servers):
        return ()
    failures = yield from failures_of(servers, window)
    return tuple(failures.correlated())


def failures_of(servers: Servers, window: float) -> Steps[Failures]:
    """Return the failures of eligible servers."""
    failures = Failures(window)
    for part in parts(servers.values()):
        failures.add(part)
        yield
    return failures


class Failures:
    """The failures of eligible servers, by monitor and cause, kept up to date from report to report."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._up: Counter[str] = Counter()
        self._groups: dict[str, dict[str, _Group]] = {}

    def add(self, servers: Iterable[Server]) -> None:
        """Add the failures of further servers."""
        for server in servers:
            for monitor, report in server.reports.items():
                self._add(server, monitor, report)

    def correlated(self) -> Iterator[CorrelatedFailures]:
        """Yield the correlated failures, at most one group for each monitor and cause."""
        for monitor, groups in self._groups.items():
            up = self._up[monitor]
            for cause, group in groups.items():
                if run := group.correlated(up):
                    hosts = frozenset(failure.host for failure in run)
                    seconds = run[-1].at - run[0].at
                    yield CorrelatedFailures(monitor, cause, run[0].reason, hosts, up + len(run), seconds)

    def update(self, old: Server, new: Server, monitor: str) -> None:
        """Replace the report of one monitor on a server."""
        self._remove(old, monitor, old.reports[monitor])
        self._add(new, monitor, new.reports[monitor])

    def newly_suspect(self, monitor: str) -> Iterator[tuple[str, str]]:
        """Yield host and cause of the correlated failures not yet attributed to the check.

        Each is yielded once: it counts as attributed from then on.
        """
        for cause, group in self._groups.get(monitor, {}).items():
            for host in group.take_correlated(self._up[monitor]):
                yield host, cause

    def _add(self, server: Server, monitor: str, report: Report | None) -> None:
        if report is None or not server.eligible:
            return
        if report.up:
            self._up[monitor] += 1
            return
        groups = self._groups.setdefault(monitor, {})
        group = groups.get(report.cause) or groups.setdefault(report.cause, _Group(self._window))
        suspect = (monitor, report.cause) in server.suspect_failures
        group.add(_Failure(report.at, server.host, report.reason), suspect=suspect)

    def _remove(self, server: Server, monitor: str, report: Report | None) -> None:
        if report is None or not server.eligible:
            return
        if report.up:
            self._up[monitor] -= 1
        else:
            self._groups[monitor][report.cause].remove(_Failure(report.at, server.host, report.reason))


class _Group:
    """The failures of one monitor with one cause, in the order of time.

    The search for the largest run goes on where it ended, if failures were only added at the end; else it begins again.
    """

    __slots__ = ("_failures", "_first", "_last", "_searched", "_start", "_unsuspected", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._failures: list[_Failure] = []
        self._unsuspected: dict[str, _Failure] = {}
        """Failures not attributed to the check, by host."""
        self._search_again()

    def add(self, failure: _Failure, *, suspect: bool) -> None:
        if not suspect:
            self._unsuspected[failure.host] = failure
        if self._failures and failure < self._failures[-1]:
            insort(self._failures, failure)
            self._search_again()
        else:
            self._failures.append(failure)

    def remove(self, failure: _Failure) -> None:
        self._unsuspected.pop(failure.host, None)
        del self._failures[bisect_left(self._failures, failure)]
        self._search_again()

    def correlated(self, up: int) -> Sequence[_Failure]:
        """Return the correlated failures if ``up`` servers pass the monitor, otherwise nothing."""
        first, last = self._largest_run() if len(self._failures) >= max(MIN_SERVERS, up) else (0, 0)
        return self._failures[first:last] if last - first >= max(MIN_SERVERS, up) else ()

    def take_correlated(self, up: int) -> Sequence[str]:
        """Attribute the correlated failures to the check; return the hosts of the new ones."""
        if not self._unsuspected or len(self._failures) < max(MIN_SERVERS, up):
            return ()
        first, last = self._largest_run()
        if last - first < max(MIN_SERVERS, up):
            return ()
        begin, end = self._failures[first], self._failures[last - 1]
        hosts = [host for host, failure in self._unsuspected.items() if begin <= failure <= end]
        for host in hosts:
            del self._unsuspected[host]
        return hosts

    def _search_again(self) -> None:
        self._start = self._first = self._last = self._searched = 0

    def _largest_run(self) -> tuple[int, int]:
        """Return the bounds of the first of the largest runs of failures within the window."""
        failures = self._failures
        for end in range(self._searched + 1, len(failures) + 1):
            oldest = failures[end - 1].at - self._window
            while failures[self._start].at < oldest:
                self._start += 1
            if end - self._start > self._last - self._first:
                self._first, self._last = self._start, end
        self._searched = len(failures)
        return self._first, self._last
