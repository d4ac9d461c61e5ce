"""The facts of which each view shows a part: the state of the daemon at one moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pybal.core.history import PoolHistory
from pybal.core.model import Alert, Snapshot
from pybal.ipvs.audit import Findings
from pybal.monitors.base import Monitor
from pybal.reload.render import Configuration
from pybal.runtime.activities import Activities
from pybal.runtime.clocks import Clocks
from pybal.runtime.held import Held
from pybal.sources.pool_source import PoolSource
from pybal.status.alerts import alerts_in_parts, level
from pybal.status.bgp import BGP
from pybal.status.compat115 import Level
from pybal.status.page.elements import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """The daemon and its host.

    ``started`` is a monotonic time in seconds; ``in_memory`` means that the IPVS table is one in memory.
    """

    host: str = "PyBal"
    version: str = ""
    started: float = 0.0
    dry_run: bool = False
    in_memory: bool = False


class HostFinding(Protocol):
    """A finding of `pybal doctor` that needs action; see :class:`pybal.doctor.finding.Finding`."""

    @property
    def about(self) -> str: ...

    @property
    def grade(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def mend(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The state of the daemon at one moment.

    ``frozen`` is a line about the present freeze, empty without one. ``history`` returns the history of a service's pool,
    ``monitors_of`` the monitors of one host of a service, ``override`` a line about the operator's override of a service's host.
    ``host`` are the findings of `pybal doctor` that need action, ``held`` are the callbacks of the event loop.
    """

    balancer: Balancer
    clocks: Clocks
    snapshot: Snapshot
    bgp: BGP
    findings: Findings
    sources: Sequence[tuple[str, PoolSource]]
    frozen: str
    history: Callable[[str], PoolHistory]
    monitors_of: Callable[[str, str], Iterable[Monitor]]
    override: Callable[[str, str], str]
    host: Sequence[HostFinding] = ()
    held: Held = field(default_factory=Held)
    activities: Activities = field(default_factory=Activities)
    configuration: Configuration | None = None


def unlisted(source: PoolSource) -> bool:
    """Return whether no list has come from a source yet, and no saved one is in use."""
    return source.last_success is None and not source.stale


def collected(facts: Facts) -> Generator[str, None, Sequence[Alert]]:
    """Return all alerts, critical ones first; yield an empty text after each part of the work."""
    found: list[Alert] = []
    for alert in alerts_in_parts(facts.snapshot):
        if alert is not None:
            found.append(alert)
        yield ""
    return sorted(found, key=lambda alert: level(alert) is not Level.CRITICAL)


def worst(found: Iterable[Alert]) -> Mark:
    """Return the mark of the worst of some alerts."""
    levels = {level(alert) for alert in found}
    return Mark.of(next((each for each in (Level.CRITICAL, Level.WARNING) if each in levels), Level.OK))
