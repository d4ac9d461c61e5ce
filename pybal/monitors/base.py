"""The seam of the monitors: long-lived watchers of one server that report up or down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pybal.checks.result import Result
from pybal.core.model import Address, Report


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric that only one kind of monitor has.

    ``metric`` is the whole name (``pybal_monitor_proxyfetch_request_duration_seconds``); ``labels`` come after
    service, host and monitor.
    """

    metric: str
    labels: tuple[tuple[str, str], ...]
    value: float


class PastResult(NamedTuple):
    """A result of the past.

    ``at`` is the monotonic time, in seconds, at which it came. ``subject`` is what was asked, where that differs: a URL.
    A ``follow_up`` is a check that was made to learn more of a failure and counts for nothing. The cause of the result
    is not kept.
    """

    at: float
    result: Result
    subject: str = ""
    follow_up: bool = False


class Monitor(Protocol):
    """Watches one server for one service, from :meth:`start` to :meth:`stop`.

    It reports transitions (and changed reasons) to the function it was made with, never from within :meth:`start` or
    :meth:`stop`, and never after :meth:`stop`. Nothing that happens to it ends it. The counters are read at scrape.
    """

    @property
    def name(self) -> str:
        """The name of its kind, as in pybal.conf: ``ProxyFetch``."""

    @property
    def shared_by(self) -> Sequence[str]:
        """The names of the services that have this monitor between them, none where it is one service's own."""

    @property
    def up(self) -> bool | None:
        """The last conclusive word, ``None`` before the first."""

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
        """When its last check passed: monotonic, in seconds; ``-inf`` if none did, or one has failed since."""

    def samples(self) -> Iterable[Sample]:
        """Return the metrics of its kind, 0 where nothing has been measured yet."""

    def history(self) -> Iterable[PastResult]:
        """Return its last results, the oldest first, inconclusive ones and follow-ups included."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def set_urgent(self, urgent: bool) -> None:
        """Say whether the pool is at its floor: a server that is back must then be noticed soon."""


class MonitorFactory(Protocol):
    """What all monitors of one kind share within one service: made once per service, never per server."""

    @property
    def name(self) -> str:
        """The name of the kind, as in pybal.conf."""

    def monitor(self, host: str, address: Address, report: Callable[[Report], None]) -> Monitor:
        """Return a monitor of one server, not started yet, which will tell ``report`` what it comes to."""
