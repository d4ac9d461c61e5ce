"""The interface of monitors: each checks one server repeatedly and reports it up or down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pybal.checks.result import Result
from pybal.core.model import Address, Report

Labels = tuple[tuple[str, str], ...]
"""Names of labels with their values."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The series that belong to one kind of monitor, without their values.

    Monitors with the same series share one object.

    ``metrics`` has full names (``pybal_monitor_proxyfetch_request_duration_seconds``), each with the labels of its
    series, which follow the labels service, host and monitor.
    """

    metrics: tuple[tuple[str, tuple[Labels, ...]], ...] = ()


Samples = tuple[Series, tuple[float | None, ...]]
"""Series and the values of all of them, in order.

The value is ``None`` for a result or an error that has not occurred yet.
"""

NO_SAMPLES: Samples = Series(), ()

PATIENCE = 30.0
"""The least seconds without a conclusive result after which it is an alert."""


class PastResult(NamedTuple):
    """A result in the history of a monitor.

    ``at`` is its monotonic time, in seconds. ``subject`` is the request, if a monitor makes different ones: a URL.
    A ``follow_up`` is a check that diagnoses a failure and does not count. The cause of the result is not kept.
    """

    at: float
    result: Result
    subject: str = ""
    follow_up: bool = False


class Monitor(Protocol):
    """Checks one server for one service, from :meth:`start` to :meth:`stop`.

    It reports transitions (and changed reasons) to the function given at construction, never during :meth:`start` or
    :meth:`stop`, and never after :meth:`stop`. No error ends it. The counters are read at scrape.
    """

    @property
    def name(self) -> str:
        """The name of its kind in pybal.conf: ``ProxyFetch``."""

    @property
    def shared_by(self) -> Sequence[str]:
        """The names of the services that share this monitor; empty if only one service uses it."""

    @property
    def up(self) -> bool | None:
        """The state of the server, ``None`` before the first conclusive result."""

    @property
    def up_results(self) -> int: ...

    @property
    def down_results(self) -> int: ...

    @property
    def up_transitions(self) -> int: ...

    @property
    def down_transitions(self) -> int: ...

    @property
    def passed_at(self) -> float:
        """The monotonic time of the last conclusive check, in seconds, if it passed; else ``-inf``."""

    @property
    def decided_at(self) -> float:
        """The monotonic time of the last conclusive result, in seconds; ``-inf`` before it."""

    @property
    def patience(self) -> float:
        """The seconds without a conclusive result after which it is an alert, at least :data:`PATIENCE`."""

    @property
    def next_check(self) -> float:
        """The monotonic time of the next check, in seconds; ``inf`` if none is scheduled."""

    @property
    def needed(self) -> int:
        """The number of consecutive results to the contrary that change the state; 1 before the first result."""

    def samples(self) -> Samples:
        """Return the series of its kind with their values."""

    def history(self) -> Iterable[PastResult]:
        """Return the last results, oldest first, including inconclusive ones and follow-ups."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def set_urgent(self, urgent: bool) -> None:
        """Set whether the pool is at its floor: a recovered server must then be detected soon."""


class MonitorFactory(Protocol):
    """The part that all monitors of one kind share within a service: created once per service."""

    @property
    def name(self) -> str:
        """The name of the kind in pybal.conf."""

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        """Return a monitor of one server, not started yet, that calls ``report``."""
