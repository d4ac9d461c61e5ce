"""When many servers begin to fail alike at the same time, the check is the suspect, not the servers. Pure.

A check URL that turned into a redirect once emptied half of every pool at once (2015-06-13). So: at least
:data:`LEAST` servers, and half of those that were up, which a monitor called down for the same cause within one interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybal.core.model import Server

LEAST = 3


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What servers began to fail together: ``hosts``, of ``up`` that the monitor had called up, within ``seconds``.

    ``reason`` is that of the first of them; ``cause`` is what they have in common.
    """

    monitor: str
    cause: str
    reason: str
    hosts: frozenset[str]
    up: int
    seconds: float

    def __str__(self) -> str:
        return (
            f'{len(self.hosts)} of {self.up} servers began to fail {self.monitor} with "{self.reason}" '
            f"within {self.seconds:.0f} s"
        )


@dataclass(frozen=True, slots=True, order=True)
class _Fall:
    at: float
    host: str
    reason: str


def suspicions(servers: Iterable[Server], window: float) -> Iterator[Suspicion]:
    """Yield what is suspicious of the reports on eligible servers; ``window`` is one interval, in seconds."""
    up: Counter[str] = Counter()
    falls: dict[tuple[str, str], list[_Fall]] = {}
    for server in servers:
        for monitor, report in server.reports.items():
            if report is None or not server.eligible:
                continue
            if report.up:
                up[monitor] += 1
            else:
                falls.setdefault((monitor, report.cause), []).append(_Fall(report.at, server.host, report.reason))
    for (monitor, cause), fell in falls.items():
        if len(fell) < LEAST:
            continue
        together = _together(sorted(fell), window)
        before = up[monitor] + len(together)
        if len(together) >= LEAST and 2 * len(together) >= before:
            hosts = frozenset(fall.host for fall in together)
            first, last = together[0], together[-1]
            yield Suspicion(monitor, cause, first.reason, hosts, before, last.at - first.at)


def _together(falls: list[_Fall], window: float) -> list[_Fall]:
    """Return the most falls that came within the window, the first such run of them."""
    most: list[_Fall] = []
    start = 0
    for end, fall in enumerate(falls, start=1):
        while falls[start].at < fall.at - window:
            start += 1
        if end - start > len(most):
            most = falls[start:end]
    return most
