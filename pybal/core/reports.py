"""Applies reports to a pool at a cost that follows their number and not the size of the pool.

Between two events every server has its place (:mod:`pybal.core.policy`). A report then changes the place of its own server
only, with two exceptions: when the serving servers reach the floor, all forced servers leave; and with ``suspect-check =
hold``, a failure can make earlier failures correlated, which pools their servers again. No server enters to replace
another, because one that goes down while fewer servers than the floor serve stays pooled itself.

The property suite compares the result with that of the whole policy, applied to every server after each report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pybal.core.correlated import Failures, failures_of, may_be_correlated
from pybal.core.events import Reported
from pybal.core.model import Health, Placement, Pool, Report, Server, SuspectCheck
from pybal.core.steps import Steps, parts


def apply_reports(pool: Pool, reports: Sequence[Reported], floor: int) -> Steps[Pool]:
    """Return the pool after these reports, one after the other; the same object if nothing changed."""
    servers = pool.servers
    hold = pool.service.suspect_check is SuspectCheck.HOLD
    failures = None
    if hold and may_be_correlated(servers, len(reports)):
        failures = yield from failures_of(servers, pool.service.interval)
    burst = _Burst(pool, floor, len(reports), failures)
    for event in reports:
        yield from burst.apply(event)
    changed = yield from burst.changed()
    return replace(pool, servers=(yield from servers.replacing_in_steps(changed))) if changed else pool


def placed(server: Server, *, optimistic: bool, lacking: bool) -> Placement:
    """Return the place of a server after a report.

    ``lacking`` means that fewer servers than the floor serve.
    """
    if not server.eligible:
        return Placement.OUT
    if server.health is Health.UP or server.only_suspect_failures:
        return Placement.POOLED
    if server.health is Health.UNKNOWN:
        return Placement.POOLED if optimistic or server.pooled else Placement.OUT
    return Placement.FORCED if lacking and server.pooled else Placement.OUT


def with_report(server: Server, monitor: str, report: Report) -> Server:
    """Return a server with a report recorded, in its former place; the same object if nothing changed."""
    if monitor not in server.reports:
        return server
    before = server.reports[monitor]
    report = report.after(before)
    if before == report:
        return server
    failing = (monitor, report.cause) if not report.up else None
    suspect = server.suspect_failures
    return replace(
        server,
        reports=MappingProxyType({**server.reports, monitor: report}),
        pending_monitors=server.pending_monitors - {monitor} if server.pending_monitors else server.pending_monitors,
        suspect_failures=frozenset(f for f in suspect if f[0] != monitor or f == failing) if suspect else suspect,
    )


class _Burst:
    """A pool while reports are applied: the changed servers, and the counts that decide."""

    def __init__(self, pool: Pool, floor: int, reports: int, failures: Failures | None) -> None:
        self._before = servers = pool.servers
        self._now: dict[str, Server] = {}
        self._floor = floor
        self._optimistic = pool.service.initially_up
        self._serving = servers.count(lambda server: server.serving)
        self._failures = failures
        """The failures of all servers, ``None`` if none can be correlated."""
        forced, may_leave = servers.count(lambda server: server.forced), self._serving + reports >= floor
        self._forced = {host for host, server in servers.items() if _forced(server)} if forced and may_leave else set()
        """The forced servers; of those before the burst only if they may leave within it."""

    def apply(self, event: Reported) -> Steps[None]:
        """Apply one report, as :func:`pybal.core.policy.step` does."""
        old = self._server(event.host)
        if old is None or event.address not in (None, old.address):
            return
        new = with_report(old, event.monitor, event.report)
        if new is old:
            return
        self._serving += new.serving - old.serving
        self._place(new)
        if self._failures is not None:
            self._failures.update(old, new, event.monitor)
            for host, cause in self._failures.newly_suspect(event.monitor):
                self._suspect(host, (event.monitor, cause))
        if self._forced and self._serving >= self._floor:
            for part in parts(list(self._forced)):
                for host in part:
                    self._place(self._now.get(host) or self._before[host])
                yield

    def changed(self) -> Steps[Mapping[str, Server]]:
        """Return the servers that differ from before; those that changed and changed back are left out."""
        changed: dict[str, Server] = {}
        for part in parts(self._now.items()):
            changed.update((host, server) for host, server in part if server != self._before[host])
            yield
        return changed

    def _server(self, host: str) -> Server | None:
        return self._now.get(host) or self._before.get(host)

    def _suspect(self, host: str, failure: tuple[str, str]) -> None:
        server = self._now.get(host) or self._before[host]
        self._place(replace(server, suspect_failures=server.suspect_failures | {failure}))

    def _place(self, server: Server) -> None:
        placement = placed(server, optimistic=self._optimistic, lacking=self._serving < self._floor)
        if placement is not server.placement:
            server = server.placed(placement)
        self._now[server.host] = server
        if placement is Placement.FORCED:
            self._forced.add(server.host)
        else:
            self._forced.discard(server.host)


def _forced(server: Server) -> bool:
    return server.placement is Placement.FORCED
