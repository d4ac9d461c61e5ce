"""The failures of servers: counted by cause, and each with its reason. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from pybal.core.model import Health, Pool, Report, Server
from pybal.core.steps import parts
from pybal.core.why import why


@dataclass(slots=True)
class Failure:
    """The servers of a pool that are down for one cause, by the reason of each."""

    cause: str
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def number(self) -> int:
        return self.reasons.total()

    @property
    def text(self) -> str:
        """The reason if it is the same for all servers, else the cause: it has no measured values."""
        return next(iter(self.reasons)) if len(self.reasons) == 1 else self.cause


def failures_of(pool: Pool) -> Generator[str, None, Sequence[Failure]]:
    """Return the failures of a pool, the most frequent first; yield empty texts between steps."""
    found: dict[str, Failure] = {}
    if pool.servers.count(lambda server: server.enabled and server.health is Health.DOWN):
        for part in parts(pool.servers.values()):
            for server in part:
                if (failed := first_failure(server)) is not None:
                    cause = cause_of(failed)
                    (found.get(cause) or found.setdefault(cause, Failure(cause))).reasons[failed.reason] += 1
            yield ""
    return sorted(found.values(), key=lambda failure: -failure.number)


def cause_of(report: Report) -> str:
    """Return the cause of a failure; its reason if the monitor named none."""
    return report.cause or report.reason


def first_failure(server: Server) -> Report | None:
    """Return the report of the first monitor that reports an enabled server down; ``None`` without one."""
    if server.health is not Health.DOWN or not server.member.enabled:
        return None
    return next((report for report in server.reports.values() if report is not None and not report.up), None)


def reason_of(server: Server) -> str:
    """Return why a server does not serve; empty if it does."""
    failing = "; ".join(_failing(server))
    if server.member.enabled and failing:
        return f"{why(server)}: {failing}" if server.only_suspect_failures else failing
    if server.serving and server.pooled:
        return ""
    if server.pooled and server.health is Health.UP:
        return "takes no new connections"
    return why(server)


def _failing(server: Server) -> Iterator[str]:
    for name, report in server.reports.items():
        if report is not None and not report.up:
            yield f"{name}: {report.reason}"


def since_of(server: Server) -> float | None:
    """Return the monotonic time since which a server is up or down; ``None`` while it is unknown."""
    reports = [report for report in server.reports.values() if report is not None]
    if server.health is Health.DOWN:
        return min((report.began for report in reports if not report.up), default=None)
    if server.health is Health.UP:
        return max((report.began for report in reports), default=None)
    return None
